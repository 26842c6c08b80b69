"""Large convolutions by way of their discrete Fourier transform, in plain ONNX operators: the same function, less work.

A convolution (as networks have it: a cross-correlation) of an L x L image is, frequency by frequency, a product with
the conjugate of the kernel's transform. Of the L x L results of the circular correlation the first L - k + 1 in each
direction are those of the plain one. AlexNet's second convolution (11x11 on 27x27) takes a fifteenth of the arithmetic
so; its weights, now one for each frequency, take eight times the memory, which is why this pays with several images
at once.

All transforms are multiplications by constant matrices from the left, so that channels and images stay side by side
in memory and few steps change the layout. Padding costs nothing: its rows are left out of the matrices.

Source of the method: Mathieu, Henaff, LeCun, "Fast Training of Convolutional Networks through FFTs" (2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.edit import attributes, drop_unused, shapes_of
from asl_edge.export.graph.toolchain import load

if TYPE_CHECKING:
    import onnx

SMALLEST_KERNEL = 7
"""Kernels of fewer rows or columns stay as they are."""


def large_convolutions(model: onnx.ModelProto) -> list[str]:
    """Return the names of the convolutions that can go through their transform: 7x7 or larger, stride 1, one group."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    shapes = shapes_of(model)
    return [node.name for node in model.graph.node if _suits(node, stored, shapes)]


def through_fourier(model: onnx.ModelProto, names: list[str]) -> None:
    """Replace convolutions, in place.

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
            made, constants = _replaced(node, stored, shapes)
            nodes += made
            model.graph.initializer.extend(
                onnx.numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()
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


def _matrices(
    kernel: npt.NDArray[np.float64],
    image: tuple[int, int],
    before: tuple[int, int],
    padded: tuple[int, int],
    result: tuple[int, int],
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the transforms of images and back, and the transformed kernel, as matrices by name.

    Args:
        kernel: (filters, channels, rows, columns).
        image: height and width.
        before: padding above it and to its left.
        padded: height and width with all padding.
        result: height and width of what the convolution gives.
    """
    (height, width), (top, left), (tall, wide), (out_rows, out_columns) = image, before, padded, result
    filters, channels = kernel.shape[:2]
    half = wide // 2 + 1
    # Frequency u along the rows, v along the columns; the image is real, so that half of the v are enough.
    u, v = np.arange(tall), np.arange(half)
    along_width = 2 * np.pi * np.outer(v, np.arange(left, left + width)) / wide
    along_height = 2 * np.pi * np.outer(u, np.arange(top, top + height)) / tall
    back_height = 2 * np.pi * np.outer(np.arange(out_rows), u) / tall
    back_width = 2 * np.pi * np.outer(np.arange(out_columns), v) / wide
    # Every v but the first (and the last of an even length) stands for two frequencies.
    twice = np.where((v == 0) | (2 * v == wide), 1.0, 2.0) / (tall * wide)
    transformed = np.conj(np.fft.rfft2(kernel, (tall, wide))).transpose(2, 3, 0, 1)  # (u, v, filters, channels)
    weights = np.stack([transformed.real, transformed.imag], axis=2).reshape(tall * half, 2 * filters, channels)

    def rotation(angle: npt.NDArray[np.float64], sign: float) -> npt.NDArray[np.float64]:
        """Multiplication by exp(sign i angle), of real and imaginary parts one below the other."""
        cosine, sine = np.cos(angle), sign * np.sin(angle)
        return np.block([[cosine, -sine], [sine, cosine]])

    return {
        "columns_re": np.cos(along_width),
        "columns_im": -np.sin(along_width),
        "rows": rotation(along_height, -1.0),
        "kernel": weights,
        "back_rows": rotation(back_height, 1.0),
        "back_columns_re": np.cos(back_width) * twice,
        "back_columns_im": -np.sin(back_width) * twice,
    }


def _replaced(
    node: onnx.NodeProto, stored: dict[str, Any], shapes: dict[str, list[int | None]]
) -> tuple[list[Any], dict[str, npt.NDArray[Any]]]:
    onnx = load("onnx")
    source, end = str(node.input[0]), str(node.output[0])
    kernel = np.asarray(onnx.numpy_helper.to_array(stored[node.input[1]]), np.float64)
    filters, channels, rows, columns = kernel.shape
    height, width = (int(size or 0) for size in shapes[source][2:])
    top, left, bottom, right = attributes(node).get("pads", [0, 0, 0, 0])
    tall, wide = height + top + bottom, width + left + right
    out_rows, out_columns = tall - rows + 1, wide - columns + 1
    half = wide // 2 + 1
    frequencies = tall * half

    def named(part: str) -> str:
        return f"{end}/fourier/{part}"

    matrices = _matrices(kernel, (height, width), (top, left), (tall, wide), (out_rows, out_columns))
    constants = {named(part): matrix.astype(np.float32) for part, matrix in matrices.items()}
    made: list[Any] = []

    def add(kind: str, inputs: list[str], part: str, **attributes: Any) -> str:
        made.append(onnx.helper.make_node(kind, inputs, [part], name=part, **attributes))
        return part

    def shaped(tensor: str, part: str, shape: list[int]) -> str:
        constants[named(f"{part}_shape")] = np.array(shape, np.int64)
        return add("Reshape", [tensor, named(f"{part}_shape")], named(part))

    image = add("Transpose", [source], named("turned"), perm=[2, 3, 1, 0])  # (height, width, channels, N)
    image = shaped(image, "flat", [height, width, -1])
    parts = [add("MatMul", [named(f"columns_{part}"), image], named(f"spectrum_{part}")) for part in ("re", "im")]
    both = add("Concat", parts, named("by_columns"), axis=0)  # (2 height, v, channels N)
    both = shaped(both, "rows_first", [2 * height, -1])
    both = add("MatMul", [named("rows"), both], named("spectrum"))  # (2 u, v channels N)
    both = shaped(both, "by_frequency", [2, frequencies, channels, -1])
    both = add("Transpose", [both], named("frequency_first"), perm=[1, 2, 0, 3])
    both = shaped(both, "factors", [frequencies, channels, -1])  # (u v, channels, 2 N)
    product = add("MatMul", [named("kernel"), both], named("product"))  # (u v, 2 filters, 2 N)
    product = shaped(product, "product_parts", [frequencies, 2, filters, 2, -1])
    halves = [named("by_real"), named("by_imaginary")]
    made.append(onnx.helper.make_node("Split", [product], halves, name=named("halves"), axis=1))
    quarters = {}
    for which, name in zip("ri", halves, strict=True):
        quarters[which] = [named(f"{which}_times_r"), named(f"{which}_times_i")]
        made.append(onnx.helper.make_node("Split", [name], quarters[which], name=named(f"quarters_{which}"), axis=3))
    real = add("Sub", [quarters["r"][0], quarters["i"][1]], named("real"))
    imaginary = add("Add", [quarters["r"][1], quarters["i"][0]], named("imaginary"))
    both = add("Concat", [shaped(real, "real_rows", [tall, -1]), shaped(imaginary, "imaginary_rows", [tall, -1])],
               named("both"), axis=0)  # fmt: skip
    both = add("MatMul", [named("back_rows"), both], named("rows_again"))  # (2 out_rows, v filters N)
    both = shaped(both, "parts_again", [2 * out_rows, half, -1])
    again = [named("real_again"), named("imaginary_again")]
    made.append(onnx.helper.make_node("Split", [both], again, name=named("split_again"), axis=0))
    sums = [
        add("MatMul", [named(f"back_columns_{part}"), name], named(f"sum_{part}"))
        for part, name in zip(("re", "im"), again, strict=True)
    ]
    result = add("Add", sums, named("sum"))  # (out_rows, out_columns, filters N)
    result = shaped(result, "result", [out_rows, out_columns, filters, -1])
    if len(node.input) > 2 and node.input[2]:
        bias = np.asarray(onnx.numpy_helper.to_array(stored[node.input[2]]), np.float32)
        constants[named("bias")] = bias.reshape(filters, 1)
        result = add("Add", [result, named("bias")], named("biased"))
    made.append(onnx.helper.make_node("Transpose", [result], [end], name=node.name, perm=[3, 2, 0, 1]))
    return made, constants
