"""AlexNet for edge devices: five or eight convolutions, and neither large kernels nor dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asl_edge.training.networks.registry import Network, register

if TYPE_CHECKING:
    import keras


def build_5(classes: int, input_size: int) -> keras.Model:
    """Build `alexnet-edge`; 3.8 million parameters and 321 million multiply-adds with 29 classes at 128x128.

    Differences from the tutorial's network: the second convolution is 5x5 instead of 11x11 (which was 83% of all
    arithmetic), global average pooling replaces three dense layers (22 of 28 million parameters), and batch
    normalisation comes before ReLU, where export folds it into the convolution.

    Args:
        classes: number of outputs.
        input_size: side of the square input, in pixels.

    Returns:
        Uncompiled `keras.Sequential`: uint8 (N, input_size, input_size, 3) RGB to float32 (N, classes) probabilities.
    """
    first = [*_convolution(1, 96, 11, 4), _pool(1), *_convolution(2, 256, 5), _pool(2)]
    return _network("alexnet-edge", _body(first), classes, input_size)


def build_8(classes: int, input_size: int) -> keras.Model:
    """Build `alexnet-edge-8`; 3.8 million parameters and 369 million multiply-adds with 29 classes at 128x128.

    Differences from `alexnet-edge`: a 5x5 convolution with strides of 2, not an 11x11 one with strides of 4, so that
    fingers a few pixels wide are seen before the map is downsampled, and 3x3 kernels after it, which make more layers
    of fewer weights each (Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2014). From the last three convolutions on it is `alexnet-edge`.

    Args:
        classes: number of outputs.
        input_size: side of the square input, in pixels.

    Returns:
        Uncompiled `keras.Sequential`: uint8 (N, input_size, input_size, 3) RGB to float32 (N, classes) probabilities.
    """
    return _network("alexnet-edge-8", body_8(), classes, input_size)


def body_8() -> list[keras.layers.Layer]:
    """Return the layers of `alexnet-edge-8` from the image to the last feature maps, not built yet."""
    first = [
        *_convolution(1, 32, 5, 2), _pool(1),
        *_convolution(2, 64), *_convolution(3, 96), _pool(2),
        *_convolution(4, 192), *_convolution(5, 256), _pool(3),
    ]  # fmt: skip
    return _body(first)


def _body(first: list[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Add to the first convolutions those that both networks have in common."""
    import keras

    done = sum(isinstance(layer, keras.layers.Conv2D) for layer in first)
    return [
        keras.layers.Rescaling(1 / 127.5, -1.0, name="rescale"),
        *first,
        *_convolution(done + 1, 384),
        *_convolution(done + 2, 384),
        *_convolution(done + 3, 256),
    ]


def _network(name: str, body: list[keras.layers.Layer], classes: int, input_size: int) -> keras.Model:
    """Add the classification to a body."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((input_size, input_size, 3), dtype="uint8", name="image"),
            *body,
            layers.GlobalAveragePooling2D(name="features"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(classes, name="logits"),
            # float32 also under mixed precision: half-precision probabilities would round the loss away.
            layers.Activation("softmax", dtype="float32", name="probabilities"),
        ],
        name=name,
    )


def _convolution(number: int, filters: int, kernel: int = 3, strides: int = 1) -> list[keras.layers.Layer]:
    import keras

    layers = keras.layers
    return [
        layers.Conv2D(
            filters, kernel, strides, "valid" if strides > 1 else "same", use_bias=False, name=f"conv{number}"
        ),
        layers.BatchNormalization(name=f"norm{number}"),
        layers.Activation("relu", name=f"relu{number}"),
    ]


def _pool(number: int) -> keras.layers.Layer:
    import keras

    return keras.layers.MaxPooling2D(2, name=f"pool{number}")


register(
    Network(
        name="alexnet-edge",
        summary="Five convolutions, no dense layers: 3.8 million parameters, 321 million multiply-adds at 128x128.",
        input_size=128,
        smallest_input=23,
        build=build_5,
    )
)
register(
    Network(
        name="alexnet-edge-8",
        summary="Eight convolutions with small kernels: 3.8 million parameters, 369 million multiply-adds at 128x128.",
        input_size=128,
        smallest_input=19,
        build=build_8,
    )
)
