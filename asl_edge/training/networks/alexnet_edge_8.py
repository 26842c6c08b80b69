"""AlexNet for the edge, deeper: each large kernel of `alexnet-edge` in two steps or more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asl_edge.training.networks import Network, register

if TYPE_CHECKING:
    import keras


def build(classes: int, input_size: int) -> keras.Model:
    """Build it; 3.8 million parameters and 369 million multiply-adds with 29 classes at 128x128.

    What differs from `alexnet-edge`: a 5x5 convolution with strides of 2, not an 11x11 one with strides of 4, so that
    fingers a few pixels wide are seen before the map is made smaller, and 3x3 kernels after it, which compute more
    steps of fewer weights each (Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014). From its last three convolutions on it is `alexnet-edge`.

    Args:
        classes: number of outputs.
        input_size: side of the square input, in pixels.

    Returns:
        Uncompiled `keras.Sequential`: uint8 (N, input_size, input_size, 3) RGB to float32 (N, classes) probabilities.
    """
    import keras

    layers = keras.layers

    def convolution(number: int, filters: int, kernel: int = 3, strides: int = 1) -> list[keras.layers.Layer]:
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
            *convolution(1, 32, 5, 2),
            layers.MaxPooling2D(2, name="pool1"),
            *convolution(2, 64),
            *convolution(3, 96),
            layers.MaxPooling2D(2, name="pool2"),
            *convolution(4, 192),
            *convolution(5, 256),
            layers.MaxPooling2D(2, name="pool3"),
            *convolution(6, 384),
            *convolution(7, 384),
            *convolution(8, 256),
            layers.GlobalAveragePooling2D(name="features"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(classes, name="logits"),
            # float32 also under mixed precision: half-precision probabilities would round the loss away.
            layers.Activation("softmax", dtype="float32", name="probabilities"),
        ],
        name="alexnet-edge-8",
    )


register(
    Network(
        name="alexnet-edge-8",
        summary="Eight convolutions of small kernels: 3.8 million parameters, 369 million multiply-adds at 128x128.",
        input_size=128,
        smallest_input=19,
        build=build,
    )
)
