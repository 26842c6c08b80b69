"""Convolution implementations that are faster on a CPU than the backend's own, with the same result.

Large kernels are convolved with FFTs (discrete Fourier transforms). Transforming images and kernels, multiplying them
frequency by frequency and transforming back are products with constant matrices, so all of it is matrix multiplication,
and the backward pass needs no code of its own. AlexNet's second convolution (11x11 on 27x27, 83% of the network's
arithmetic) takes 859 million multiply-adds per image directly and 52 million with FFTs, plus 0.8 billion per batch for
the kernels.

Strided kernels on few channels, such as a network's first, are rearranged into unstrided ones on many ("space to
depth"), which fill a processor's vectors better.

Both are exact except for rounding. They are used in training only: what is stored, evaluated and exported is the
network as it was built, with the same weights.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.training.compute.backend import cpu_flags

if TYPE_CHECKING:
    import keras

_LEAST_SAVING = 4.25
"""Smallest reduction in multiply-adds that makes up for smaller matrices and for float32 instead of bfloat16; see
benchmarks/results/speed/convolution.md."""

_LEAST_SAVING_WITH_AMX = 10.0
"""The same where bfloat16 is computed four times as fast as float32 (estimated, not measured)."""

_FEW_CHANNELS = 4


def make_fast(network: keras.Model, batch_size: int) -> list[str]:
    """Replace the convolution implementation of layers of `network` where ours is faster; return their names.

    Args:
        network: built, not yet traced; its weights stay unchanged and in their layers.
        batch_size: images in a batch, which share the transform of the kernels.
    """
    import keras

    changed = []
    for layer in network.layers:
        if not isinstance(layer, keras.layers.Conv2D) or not _is_plain(layer):
            continue
        if set(layer.strides) == {1} and fft_saving(layer, batch_size) >= _least_saving(layer):
            layer.convolution_op = partial(fft_convolution, padding=_padding(layer))
            layer.dtype_policy = "float32"  # sums over a whole image need more digits than bfloat16 has
        elif min(layer.strides) > 1 and layer.padding == "valid" and layer.input.shape[-1] <= _FEW_CHANNELS:
            layer.convolution_op = partial(rearranged_convolution, strides=tuple(layer.strides))
        else:
            continue
        changed.append(layer.name)
    return changed


def _is_plain(layer: keras.layers.Conv2D) -> bool:
    dense = layer.groups == 1 and set(layer.dilation_rate) == {1} and layer.data_format == "channels_last"
    return dense and layer.padding in ("valid", "same") and None not in layer.input.shape[1:3]


def _padding(layer: keras.layers.Conv2D) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the zeros before and after rows and columns of an unstrided convolution."""
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    rows, columns = (((size - 1) // 2, size // 2) for size in layer.kernel_size)
    return rows, columns


def _least_saving(layer: keras.layers.Conv2D) -> float:
    with_amx = layer.compute_dtype == "bfloat16" and "amx_bf16" in cpu_flags()
    return _LEAST_SAVING_WITH_AMX if with_amx else _LEAST_SAVING


class _Sizes(NamedTuple):
    """Sizes of one direction of a convolution."""

    whole: int
    kernel: int

    @property
    def valid(self) -> int:
        return self.whole - self.kernel + 1

    @property
    def half(self) -> int:
        """Frequencies that determine real values."""
        return self.whole // 2 + 1


def fft_saving(layer: keras.layers.Conv2D, batch_size: int) -> float:
    """Return how many times fewer multiply-adds an unstrided convolution takes with FFTs."""
    padded = [size + sum(more) for size, more in zip(layer.input.shape[1:3], _padding(layer), strict=True)]
    rows, columns = (_Sizes(*pair) for pair in zip(padded, layer.kernel_size, strict=True))
    channels, filters = layer.input.shape[-1], layer.filters
    direct = rows.valid * columns.valid * rows.kernel * columns.kernel * channels * filters
    products = rows.whole * 3 * columns.half
    forward = 2 * rows.whole * rows.whole * columns.whole + products * 2 * columns.whole
    kernels = 2 * rows.whole * rows.kernel * columns.kernel + products * 2 * columns.kernel
    back = products * 2 * columns.valid + 2 * rows.whole * rows.valid * columns.valid
    total = forward * channels + products * channels * filters + back * filters
    return float(direct / (total + kernels * channels * filters / batch_size))


def fft_convolution(
    images: Any, kernel: Any, padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
) -> Any:
    """Convolve without stride, with FFTs.

    The complex product at a frequency consists of three real ones (Gauss), whose sums are part of the matrices.

    Args:
        images: (N, H, W, C) float32; H and W known.
        kernel: (R, S, C, K) float32.
        padding: zeros before and after rows and columns.

    Returns:
        (N, H - R + 1, W - S + 1, K) float32, as `keras.ops.conv` with padding "valid" computes it; H and W include the
        zeros.
    """
    from keras import ops

    if padding != ((0, 0), (0, 0)):
        images = ops.pad(images, ((0, 0), *padding, (0, 0)))
    _, height, width, channels = images.shape
    filters = kernel.shape[-1]
    rows, columns = _Sizes(height, kernel.shape[0]), _Sizes(width, kernel.shape[1])
    at = _matrices(rows, columns)
    products = 3 * columns.half

    def transformed(values: Any, by_rows: npt.NDArray[np.float32], by_columns: npt.NDArray[np.float32]) -> Any:
        """Transform (H, W, A, B) to (frequencies, A, B), along rows and then along columns."""
        first = ops.matmul(by_rows, ops.reshape(values, (values.shape[0], -1)))
        both = ops.reshape(first, (rows.whole, by_columns.shape[1], -1))
        return ops.matmul(by_columns[None], both)

    # Rows and columns come first, so that everything that follows is a sequence of plain matrix products.
    spectrum = transformed(ops.transpose(images, (1, 2, 0, 3)), at.rows, at.columns)
    spectrum = ops.reshape(spectrum, (rows.whole * products, -1, channels))
    weights = transformed(ops.convert_to_tensor(kernel), at.kernel_rows, at.kernel_columns)
    weights = ops.reshape(weights, (rows.whole * products, channels, filters))
    result = ops.reshape(ops.matmul(spectrum, weights), (rows.whole, products, -1))
    result = ops.matmul(at.back_columns[None], result)
    result = ops.matmul(at.back_rows, ops.reshape(result, (2 * rows.whole, -1)))
    return ops.transpose(ops.reshape(result, (rows.valid, columns.valid, -1, filters)), (2, 0, 1, 3))


class _Matrices(NamedTuple):
    """The constant factors; "part" is cosine, then sine, over the rows; "product" is each of Gauss's three."""

    rows: npt.NDArray[np.float32]
    """(H frequencies x part, H)"""
    columns: npt.NDArray[np.float32]
    """(product x W frequencies, part x W)"""
    kernel_rows: npt.NDArray[np.float32]
    kernel_columns: npt.NDArray[np.float32]
    back_columns: npt.NDArray[np.float32]
    """(part x valid columns, product x W frequencies)"""
    back_rows: npt.NDArray[np.float32]
    """(valid rows, H frequencies x part)"""


@lru_cache(maxsize=32)
def _matrices(rows: _Sizes, columns: _Sizes) -> _Matrices:
    """Return the factors, computed in float64.

    With x = a + bi of an image and w = c + di of a kernel, already conjugated since networks correlate, x * w is
    (k1 - k3) + (k1 + k2)i where k1 = (a + b)c, k2 = a(d - c) and k3 = b(c + d).
    """
    by_rows = np.stack(_waves(rows.whole, rows.whole, rows.whole), 1).reshape(2 * rows.whole, rows.whole)
    kernel_rows = np.stack(_waves(rows.whole, rows.whole, rows.kernel), 1).reshape(2 * rows.whole, rows.kernel)

    cosine, sine = _waves(columns.whole, columns.half, columns.whole)
    real, imaginary = np.hstack([cosine, -sine]), np.hstack([-sine, -cosine])
    by_columns = np.vstack([real + imaginary, real, imaginary])

    cosine, sine = _waves(columns.whole, columns.half, columns.kernel)
    real, imaginary = np.hstack([cosine, -sine]), np.hstack([sine, cosine])
    kernel_columns = np.vstack([real, imaginary - real, real + imaginary])

    # The frequencies that are left out are the complex conjugates of those that are kept.
    times = np.full(columns.half, 2.0)
    times[0] = 1
    if columns.whole % 2 == 0:
        times[-1] = 1
    cosine, sine = (values.T * times for values in _waves(columns.whole, columns.half, columns.valid))
    back_columns = np.vstack(
        [np.hstack([real + imaginary, imaginary, -real]) for real, imaginary in ((cosine, -sine), (-sine, -cosine))]
    )
    cosine, sine = (values.T for values in _waves(rows.whole, rows.whole, rows.valid))
    back_rows = np.stack([cosine, sine], 2).reshape(rows.valid, 2 * rows.whole) / (rows.whole * columns.whole)
    return _Matrices(
        *(m.astype(np.float32) for m in (by_rows, by_columns, kernel_rows, kernel_columns, back_columns, back_rows))
    )


def _waves(period: int, frequencies: int, length: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return cosine and sine, (frequencies, length), of the angles 2 pi f t / period."""
    turns = np.outer(np.arange(frequencies), np.arange(length)) % period
    angles = 2 * np.pi * turns / period
    return np.cos(angles), np.sin(angles)


def rearranged_convolution(images: Any, kernel: Any, strides: tuple[int, int]) -> Any:
    """Convolve with a stride and without padding; each stride-sized block of pixels becomes the channels of one.

    Args:
        images: (N, H, W, C); H and W known.
        kernel: (R, S, C, K).
        strides: of rows and columns.

    Returns:
        (N, (H - R) // strides[0] + 1, (W - S) // strides[1] + 1, K).
    """
    from keras import ops

    kernel = ops.convert_to_tensor(kernel)
    channels, filters = kernel.shape[2:]
    sizes = tuple(images.shape[1:3])
    blocks = [math.ceil(size / stride) for size, stride in zip(kernel.shape[:2], strides, strict=True)]
    steps = [
        (size - window) // stride + blocks_of_kernel
        for size, window, stride, blocks_of_kernel in zip(sizes, kernel.shape[:2], strides, blocks, strict=True)
    ]
    needed = [count * stride for count, stride in zip(steps, strides, strict=True)]
    images = images[:, : needed[0], : needed[1]]
    missing = [max(least - size, 0) for least, size in zip(needed, sizes, strict=True)]
    if any(missing):  # only ever under zeros of the kernel
        images = ops.pad(images, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
    images = ops.reshape(images, (-1, steps[0], strides[0], steps[1], strides[1] * channels))
    images = ops.reshape(
        ops.transpose(images, (0, 1, 3, 2, 4)), (-1, steps[0], steps[1], math.prod(strides) * channels)
    )
    more = [count * stride - size for count, stride, size in zip(blocks, strides, kernel.shape[:2], strict=True)]
    kernel = ops.pad(kernel, ((0, more[0]), (0, more[1]), (0, 0), (0, 0)))
    kernel = ops.reshape(kernel, (blocks[0], strides[0], blocks[1], strides[1] * channels, filters))
    kernel = ops.reshape(ops.transpose(kernel, (0, 2, 1, 3, 4)), (*blocks, math.prod(strides) * channels, filters))
    return ops.conv(images, kernel, strides=1, padding="valid")
