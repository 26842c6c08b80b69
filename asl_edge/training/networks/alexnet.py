"""AlexNet as in the tutorial, layer for layer, with the rescaling inside and one output per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asl_edge.training.networks.registry import Network, register

if TYPE_CHECKING:
    import keras


def build(classes: int, input_size: int) -> keras.Model:
    """Build the tutorial's AlexNet; 28,103,776 parameters with 24 classes.

    Batch normalisation comes after ReLU and pooling, as in the tutorial. Rescaling to 0..1 is the first layer, so that
    the model takes uint8 images wherever it runs.

    Args:
        classes: number of outputs.
        input_size: side of the square input, in pixels; 224 in the tutorial.

    Returns:
        Uncompiled `keras.Sequential`: uint8 (N, input_size, input_size, 3) RGB to float32 (N, classes) probabilities.
    """
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((input_size, input_size, 3), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255, name="rescale"),
            layers.Conv2D(96, 11, strides=4, padding="valid", name="conv1"),
            layers.Activation("relu", name="relu1"),
            layers.MaxPooling2D(2, strides=2, padding="valid", name="pool1"),
            layers.BatchNormalization(name="norm1"),
            layers.Conv2D(256, 11, strides=1, padding="valid", name="conv2"),
            layers.Activation("relu", name="relu2"),
            layers.MaxPooling2D(2, strides=2, padding="valid", name="pool2"),
            layers.BatchNormalization(name="norm2"),
            layers.Conv2D(384, 3, strides=1, padding="valid", name="conv3"),
            layers.Activation("relu", name="relu3"),
            layers.BatchNormalization(name="norm3"),
            layers.Conv2D(384, 3, strides=1, padding="valid", name="conv4"),
            layers.Activation("relu", name="relu4"),
            layers.BatchNormalization(name="norm4"),
            layers.Conv2D(256, 3, strides=1, padding="valid", name="conv5"),
            layers.Activation("relu", name="relu5"),
            layers.MaxPooling2D(2, strides=2, padding="valid", name="pool5"),
            layers.BatchNormalization(name="norm5"),
            layers.Flatten(name="flatten"),
            layers.Dense(4096, name="dense6"),
            layers.Activation("relu", name="relu6"),
            layers.Dropout(0.4, name="dropout6"),
            layers.BatchNormalization(name="norm6"),
            layers.Dense(4096, name="dense7"),
            layers.Activation("relu", name="relu7"),
            layers.Dropout(0.6, name="dropout7"),
            layers.BatchNormalization(name="norm7"),
            layers.Dense(1000, name="dense8"),
            layers.Activation("relu", name="relu8"),
            layers.Dropout(0.5, name="dropout8"),
            layers.BatchNormalization(name="norm8"),
            layers.Dense(classes, name="logits"),
            # float32 also under mixed precision: half-precision probabilities would round the loss away.
            layers.Activation("softmax", dtype="float32", name="probabilities"),
        ],
        name="alexnet",
    )


register(
    Network(
        name="alexnet",
        summary="The tutorial's AlexNet: 28 million parameters at 24 classes, 1,040 million multiply-adds at 224x224.",
        input_size=224,
        smallest_input=215,
        build=build,
    )
)
