"""GPTQ: weights are rounded so that their errors cancel in the layer's output.

Rounded to nearest, each weight of a neuron is off by up to half a step, and a large convolution sums thousands of such
errors. Its inputs are correlated (neighbouring pixels are similar), so the error of one weight can be compensated by
weights that are not rounded yet and have nearly the same inputs.

Sources: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2023),
for the order of computation; Hassibi and Stork, "Optimal Brain Surgeon" (1993), for the compensation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.edit import attributes
from asl_edge.export.graph.logits import tensors
from asl_edge.export.graph.toolchain import load
from asl_edge.export.int8.scales import WEIGHT_LIMIT, Floats, RoundedKernel, least_error_scales

if TYPE_CHECKING:
    import onnx

_SAMPLES = 8192
"""Rows of inputs to sample: image patches for a convolution, images for a dense layer."""

_GROUP = 1024
"""Weights of a neuron that are compensated together: more would need more samples, and time grows with their cube."""

_BLOCK = 64
"""Columns after which the remaining ones are updated, in one matrix product instead of many."""

_DAMPING = 0.03
"""Share of the mean variance that is added to each variance, since the samples do not show all of the inputs'."""


def round_layers(
    model: onnx.ModelProto, names: Iterable[str], images: npt.NDArray[np.uint8], limit: int = WEIGHT_LIMIT
) -> dict[str, RoundedKernel]:
    """Round the weights of layers, given their inputs on calibration images.

    The mean error is left to bias correction (see `asl_edge.export.int8.quantize`). Grouped and dilated convolutions
    are left out.

    Args:
        model: float32; not changed.
        names: names of Conv, Gemm or MatMul nodes.
        images: uint8 (N, S, S, 3), training images.
        limit: largest absolute value of an integer weight.

    Returns:
        Name of a node -> its rounded weights.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = {node.name: node for node in model.graph.node}
    chosen = [nodes[name] for name in names if _is_plain(nodes[name])]
    to_array = load("onnx").numpy_helper.to_array
    kernels = {node.name: np.asarray(to_array(stored[node.input[1]]), np.float32) for node in chosen}
    inputs: dict[str, list[npt.NDArray[np.float32]]] = {node.name: [] for node in chosen}
    sources = list(dict.fromkeys(str(node.input[0]) for node in chosen))
    places = math.ceil(_SAMPLES / max(1, len(images)))
    for batch in tensors(model, sources, images):
        values = dict(zip(sources, batch, strict=True))
        for node in chosen:
            inputs[node.name].append(_rows(node, kernels[node.name].shape, values[str(node.input[0])], places))
    return {
        node.name: round_compensated(
            kernels[node.name],
            channel_axis(node, kernels[node.name].ndim),
            np.concatenate(inputs.pop(node.name)),
            limit,
        )
        for node in chosen
    }


def channel_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """Return the axis of a node's kernel that holds the output channels."""
    return 0 if node.op_type == "Conv" or attributes(node).get("transB", 0) else dimensions - 1


def round_compensated(
    kernel: Floats, axis: int, inputs: npt.NDArray[np.float32], limit: int = WEIGHT_LIMIT
) -> RoundedKernel:
    """Round a kernel so that the variance of the layer's output error over `inputs` is small.

    Args:
        kernel: weights, of any shape.
        axis: axis of the output channels.
        inputs: float32 (M, K), M samples of the inputs of a neuron's K weights. Overwritten.
        limit: largest absolute value of an integer weight.
    """
    moved = np.moveaxis(kernel, axis, 0)
    rows = moved.reshape(len(moved), -1).astype(np.float32)
    inputs -= inputs.mean(axis=0)
    importance = np.square(inputs).mean(axis=0, dtype=np.float64) + np.finfo(np.float32).tiny
    scales = least_error_scales(rows, limit, importance)
    count = rows.shape[1]
    groups = np.array_split(np.arange(count), math.ceil(count / _GROUP))
    whole = np.concatenate([_round_group(rows[:, group], scales, inputs[:, group], limit) for group in groups], axis=1)
    return RoundedKernel(np.moveaxis(whole.astype(np.int8).reshape(moved.shape), 0, axis), scales)


def _round_group(
    rows: npt.NDArray[np.float32], scales: Floats, inputs: npt.NDArray[np.float32], limit: int
) -> npt.NDArray[np.float32]:
    """Round columns one by one, those with the largest input variance first; later columns compensate each error.

    Args:
        rows: (channels, K), the weights.
        scales: (channels,), one step of each output channel.
        inputs: (M, K), centred.
        limit: largest absolute value of an integer weight.

    Returns:
        float32 (channels, K): integers.
    """
    covariance = (inputs.T @ inputs).astype(np.float64) / len(inputs)
    variance = np.diag(covariance).copy()
    order = np.argsort(-variance, kind="stable")
    covariance = covariance[np.ix_(order, order)]
    covariance[np.diag_indices_from(covariance)] += _DAMPING * variance.mean() + np.finfo(np.float32).tiny
    upper = _inverse_factor(covariance).astype(np.float32)
    # One row per weight, so that what happens to a weight of all channels is contiguous.
    remaining, steps = np.ascontiguousarray(rows.T[order]), scales.astype(np.float32)
    whole = np.empty_like(remaining)
    for start in range(0, len(remaining), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(remaining)))
        weights, errors = remaining[block], np.empty_like(remaining[block])
        for number in range(len(weights)):
            at = start + number
            whole[at] = np.clip(np.rint(weights[number] / steps), -limit, limit)
            errors[number] = (weights[number] - whole[at] * steps) / upper[at, at]
            weights[number:] -= upper[at, at : block.stop, None] * errors[number]
        remaining[block.stop :] -= upper[block, block.stop :].T @ errors
    result = np.empty_like(rows)
    result[:, order] = whole.T
    return result


def _inverse_factor(matrix: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the upper triangular U with U.T @ U = the inverse of a positive definite matrix (K, K).

    Row i of U divided by its diagonal says how the columns after i compensate an error in i. Inverting a triangular
    factor takes a quarter of the operations that inverting the matrix takes.
    """
    return _triangular_inverse(np.linalg.cholesky(matrix[::-1, ::-1])[::-1, ::-1])


def _triangular_inverse(upper: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the inverse of an upper triangular matrix (K, K), by halves."""
    count = len(upper)
    if count <= _BLOCK:
        return np.triu(np.linalg.inv(upper))
    half = count // 2
    inverse = np.zeros_like(upper)
    inverse[:half, :half] = _triangular_inverse(upper[:half, :half])
    inverse[half:, half:] = _triangular_inverse(upper[half:, half:])
    inverse[:half, half:] = -inverse[:half, :half] @ (upper[:half, half:] @ inverse[half:, half:])
    return inverse


def _is_plain(node: onnx.NodeProto) -> bool:
    """Whether `_rows` can sample a layer's inputs: neither grouped, nor dilated, nor padded automatically."""
    options: dict[str, Any] = attributes(node)
    dilated = any(step != 1 for step in options.get("dilations", ()))
    auto_padded = options.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET")
    return options.get("group", 1) == 1 and not dilated and not auto_padded


def _rows(
    node: onnx.NodeProto, shape: tuple[int, ...], values: npt.NDArray[np.float32], places: int
) -> npt.NDArray[np.float32]:
    """Return samples of the inputs of a neuron's weights, (M, K): for a convolution, random patches of each image.

    Args:
        node: Conv, Gemm or MatMul.
        shape: shape of its kernel.
        values: the layer's input.
        places: number of patches per image.
    """
    if node.op_type != "Conv":
        return values.reshape(-1, values.shape[-1])
    options: dict[str, Any] = attributes(node)
    top, left, bottom, right = options.get("pads", (0, 0, 0, 0))
    down, across = options.get("strides", (1, 1))
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape[2:], axis=(2, 3))[:, :, ::down, ::across]
    height, width = windows.shape[2:4]
    chosen = np.random.default_rng(0).permutation(height * width)[:places].tolist()
    return np.concatenate([windows[:, :, at // width, at % width].reshape(len(values), -1) for at in chosen])
