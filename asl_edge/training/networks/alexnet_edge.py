"""AlexNet for the edge: five convolutions as in the tutorial's network, without its waste."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asl_edge.training.networks import Network, register

if TYPE_CHECKING:
    import keras


def build(classes: int, input_size: int) -> keras.Model:
    """Build it; 3.8 million parameters and 321 million multiply-adds with 29 classes at 128x128.

    What differs from the tutorial's network: the second convolution is 5x5 instead of 11x11 (which was 83% of all
    arithmetic), the mean over the last feature maps takes the place of three dense layers (22 of 28 million
    parameters), and batch normalisation comes before ReLU, where it vanishes into the convolution when exported.

    Args:
        classes: number of outputs.
        input_size: side of the square input, in pixels.

    Returns:
        Uncompiled `keras.Sequential`: uint8 (N, input_size, input_size, 3) RGB to float32 (N, classes) probabilities.
    """
    import keras

    layers = keras.layers

    def convolution(number: int, filters: int, kernel: int, strides: int = 1) -> list[keras.layers.Layer]:
        padding = "valid" if strides > 1 else "same"
        return [
            layers.Conv2D(filters, kernel, strides, padding, use_bias=False, name=f"conv{number}"),
            layers.BatchNormalization(name=f"norm{number}"),
            layers.Activation("relu", name=f"relu{number}"),
        ]

    return keras.Sequential(
        [
            keras.Input((input_size, input_size, 3), dtype="uint8", name="image"),
            layers.Rescaling(1 / 127.5, -1.0, name="rescale"),
            *convolution(1, 96, 11, 4),
            layers.MaxPooling2D(2, name="pool1"),
            *convolution(2, 256, 5),
            layers.MaxPooling2D(2, name="pool2"),
            *convolution(3, 384, 3),
            *convolution(4, 384, 3),
            *convolution(5, 256, 3),
            layers.GlobalAveragePooling2D(name="features"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(classes, name="logits"),
            # float32 also under mixed precision: half-precision probabilities would round the loss away.
            layers.Activation("softmax", dtype="float32", name="probabilities"),
        ],
        name="alexnet-edge",
    )


register(
    Network(
        name="alexnet-edge",
        summary="Five convolutions and no more: 3.8 million parameters, 321 million multiply-adds at 128x128.",
        input_size=128,
        smallest_input=23,
        build=build,
    )
)
