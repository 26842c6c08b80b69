"""Large convolutions computed with FFTs, in plain ONNX operators: the same function with less arithmetic.

A convolution (in networks, a cross-correlation) of an L x L image is, frequency by frequency, a product with the
conjugate of the kernel's transform. Of the L x L results of the circular correlation, the first L - k + 1 in each
direction are those of the plain one. This takes a fifteenth of the arithmetic for AlexNet's second convolution (11x11
on 27x27). Its weights, now one per frequency, take eight times the memory, so it pays off with several images per
batch.

All transforms are multiplications by constant matrices from the left, so that channels and images stay contiguous in
memory and few steps change the layout. Padding costs nothing: its rows are left out of the matrices.

Source of the method: Mathieu, Henaff, LeCun, "Fast Training of Convolutional Networks through FFTs" (2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.builder import GraphBuilder
from asl_edge.export.graph.edit import attributes, drop_unused, shapes_of
from asl_edge.export.graph.toolchain import load

if TYPE_CHECKING:
    import onnx

SMALLEST_KERNEL = 7
"""Kernels of fewer rows or columns stay as they are."""


def large_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions that can be computed with FFTs: 7x7 or larger, stride 1, one group."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    shapes = shapes_of(model)
    return [node.name for node in model.graph.node if _suits(node, stored, shapes)]


def with_ffts(model: onnx.ModelProto, names: list[str]) -> None:
    """Replace convolutions by FFT convolutions, in place.

    Args:
        model: float32.
        names: of `large_convolutions`.
    """
    onnx = load("onnx")
    shapes = shapes_of(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.name in names:
            part = _fft_convolution(node, stored, shapes)
            nodes += part.nodes
            model.graph.initializer.extend(
                onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
                for name, value in part.constants.items()
            )
        else:
            nodes.append(type(node).FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)


def _suits(node: onnx.NodeProto, stored: dict[str, Any], shapes: dict[str, list[int | None]]) -> bool:
    if node.op_type != "Conv" or node.input[1] not in stored:
        return False
    if len(node.input) > 2 and node.input[2] and node.input[2] not in stored:
        return False
    kernel, shape = list(stored[node.input[1]].dims), shapes.get(str(node.input[0]))
    settings = attributes(node)
    plain = (
        all(value == 1 for name in ("strides", "dilations") for value in settings.get(name, []))
        and settings.get("group", 1) == 1
        and settings.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )
    return (
        plain
        and len(kernel) == 4
        and min(kernel[2:]) >= SMALLEST_KERNEL
        and shape is not None
        and len(shape) == 4
        and None not in shape[1:]
    )


@dataclass(frozen=True)
class _Sizes:
    """Extents of one convolution, each as (rows, columns)."""

    image: tuple[int, int]
    before: tuple[int, int]
    """Padding above the image and to its left."""
    padded: tuple[int, int]
    """The image with all padding."""
    result: tuple[int, int]
    filters: int
    channels: int

    @property
    def half(self) -> int:
        """Frequencies along the columns that are computed: the image is real, so half of them are enough."""
        return self.padded[1] // 2 + 1

    @property
    def frequencies(self) -> int:
        """Frequencies that are computed."""
        return self.padded[0] * self.half


def _matrices(kernel: npt.NDArray[np.float64], sizes: _Sizes) -> dict[str, npt.NDArray[np.float64]]:
    """Return the forward and inverse transforms, and the transformed kernel, as matrices by name.

    Args:
        kernel: (filters, channels, rows, columns).
        sizes: of the convolution.
    """
    (height, width), (top, left), (tall, wide) = sizes.image, sizes.before, sizes.padded
    out_rows, out_columns = sizes.result
    # Frequency u along the rows, v along the columns.
    u, v = np.arange(tall), np.arange(sizes.half)
    along_width = 2 * np.pi * np.outer(v, np.arange(left, left + width)) / wide
    along_height = 2 * np.pi * np.outer(u, np.arange(top, top + height)) / tall
    back_height = 2 * np.pi * np.outer(np.arange(out_rows), u) / tall
    back_width = 2 * np.pi * np.outer(np.arange(out_columns), v) / wide
    # Every v but the first (and the last of an even length) stands for two frequencies.
    twice = np.where((v == 0) | (2 * v == wide), 1.0, 2.0) / (tall * wide)
    transformed = np.conj(np.fft.rfft2(kernel, (tall, wide))).transpose(2, 3, 0, 1)  # (u, v, filters, channels)
    weights = np.stack([transformed.real, transformed.imag], axis=2)
    return {
        "columns_re": np.cos(along_width),
        "columns_im": -np.sin(along_width),
        "rows": _rotation(along_height, -1.0),
        "kernel": weights.reshape(sizes.frequencies, 2 * sizes.filters, sizes.channels),
        "back_rows": _rotation(back_height, 1.0),
        "back_columns_re": np.cos(back_width) * twice,
        "back_columns_im": -np.sin(back_width) * twice,
    }


def _rotation(angle: npt.NDArray[np.float64], sign: float) -> npt.NDArray[np.float64]:
    """Return multiplication by exp(sign i angle), for real parts above imaginary parts."""
    cosine, sine = np.cos(angle), sign * np.sin(angle)
    return np.block([[cosine, -sine], [sine, cosine]])


def _fft_convolution(node: onnx.NodeProto, stored: dict[str, Any], shapes: dict[str, list[int | None]]) -> GraphBuilder:
    """Return the nodes and constants that take the place of a convolution."""
    to_array = load("onnx").numpy_helper.to_array
    source, end = str(node.input[0]), str(node.output[0])
    kernel = np.asarray(to_array(stored[node.input[1]]), np.float64)
    sizes = _sizes_of(node, kernel, shapes[source])
    part = GraphBuilder(f"{end}/fourier")  # files of earlier versions have this prefix
    for name, matrix in _matrices(kernel, sizes).items():
        part.constant(name, matrix.astype(np.float32))
    spectrum = _add_forward_transform(part, source, sizes)
    real, imaginary = _add_product(part, spectrum, sizes)
    result = _add_inverse_transform(part, real, imaginary, sizes)
    if len(node.input) > 2 and node.input[2]:
        bias = np.asarray(to_array(stored[node.input[2]]), np.float32)
        result = part.add("Add", [result, part.constant("bias", bias.reshape(sizes.filters, 1))], "biased")
    part.add_named("Transpose", [result], [end], node.name, perm=[3, 2, 0, 1])
    return part


def _sizes_of(node: onnx.NodeProto, kernel: npt.NDArray[np.float64], shape: list[int | None]) -> _Sizes:
    filters, channels, rows, columns = kernel.shape
    height, width = (int(size or 0) for size in shape[2:])
    top, left, bottom, right = attributes(node).get("pads", [0, 0, 0, 0])
    tall, wide = height + top + bottom, width + left + right
    result = tall - rows + 1, wide - columns + 1
    return _Sizes((height, width), (top, left), (tall, wide), result, filters, channels)


def _add_forward_transform(part: GraphBuilder, source: str, sizes: _Sizes) -> str:
    """Return the spectrum, (u v, channels, 2 N): real parts of all images, then imaginary ones."""
    height, width = sizes.image
    image = part.add("Transpose", [source], "turned", perm=[2, 3, 1, 0])  # (height, width, channels, N)
    image = part.reshape(image, "flat", [height, width, -1])
    parts = [part.add("MatMul", [part.named(f"columns_{name}"), image], f"spectrum_{name}") for name in ("re", "im")]
    both = part.add("Concat", parts, "by_columns", axis=0)  # (2 height, v, channels N)
    both = part.reshape(both, "rows_first", [2 * height, -1])
    both = part.add("MatMul", [part.named("rows"), both], "spectrum")  # (2 u, v channels N)
    both = part.reshape(both, "by_frequency", [2, sizes.frequencies, sizes.channels, -1])
    both = part.add("Transpose", [both], "frequency_first", perm=[1, 2, 0, 3])
    return part.reshape(both, "factors", [sizes.frequencies, sizes.channels, -1])


def _add_product(part: GraphBuilder, spectrum: str, sizes: _Sizes) -> tuple[str, str]:
    """Return real and imaginary part of the product with the kernel's transform, (u v, filters, N) each."""
    product = part.add("MatMul", [part.named("kernel"), spectrum], "product")  # (u v, 2 filters, 2 N)
    product = part.reshape(product, "product_parts", [sizes.frequencies, 2, sizes.filters, 2, -1])
    by_real, by_imaginary = part.split(product, ("by_real", "by_imaginary"), "halves", axis=1)
    r_times_r, r_times_i = part.split(by_real, ("r_times_r", "r_times_i"), "quarters_r", axis=3)
    i_times_r, i_times_i = part.split(by_imaginary, ("i_times_r", "i_times_i"), "quarters_i", axis=3)
    return part.add("Sub", [r_times_r, i_times_i], "real"), part.add("Add", [r_times_i, i_times_r], "imaginary")


def _add_inverse_transform(part: GraphBuilder, real: str, imaginary: str, sizes: _Sizes) -> str:
    """Return the convolution's result, (out_rows, out_columns, filters, N), without its bias."""
    out_rows, out_columns = sizes.result
    tall = sizes.padded[0]
    rows = [part.reshape(real, "real_rows", [tall, -1]), part.reshape(imaginary, "imaginary_rows", [tall, -1])]
    both = part.add("Concat", rows, "both", axis=0)
    both = part.add("MatMul", [part.named("back_rows"), both], "rows_again")  # (2 out_rows, v filters N)
    both = part.reshape(both, "parts_again", [2 * out_rows, sizes.half, -1])
    again = part.split(both, ("real_again", "imaginary_again"), "split_again", axis=0)
    sums = [
        part.add("MatMul", [part.named(f"back_columns_{name}"), tensor], f"sum_{name}")
        for name, tensor in zip(("re", "im"), again, strict=True)
    ]
    result = part.add("Add", sums, "sum")  # (out_rows, out_columns, filters N)
    return part.reshape(result, "result", [out_rows, out_columns, sizes.filters, -1])
