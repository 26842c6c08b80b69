"""Rounding weights so that their errors cancel in what the layer computes.

Rounded one by one, the weights of a neuron are each off by up to half a step, and a large convolution adds thousands
of such errors up. Its inputs are correlated (pixels resemble their neighbours), so the error of one weight can be
undone by the weights that are not rounded yet: those that see nearly the same numbers.

Sources: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2023),
for the order of the computation; Hassibi and Stork, "Optimal Brain Surgeon" (1993), for what is undone and how.
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
"""Rows of inputs that are looked at: places in images for a convolution, images for a dense layer."""

_GROUP = 1024
"""Weights of a neuron that undo each other's errors: more need more samples, and time with the cube of their number."""

_BLOCK = 64
"""Columns after which the others are brought up to date, in one product instead of many."""

_DAMPING = 0.03
"""Share of the mean variance that is added to all: what few samples did not show may still come."""


def round_layers(
    model: onnx.ModelProto, names: Iterable[str], images: npt.NDArray[np.uint8], limit: int = WEIGHT_LIMIT
) -> dict[str, RoundedKernel]:
    """Round the weights of layers by what goes into them when they see images.

    What the errors add on average is left to the biases. Convolutions in groups, or with holes (dilations),
    are left out.

    Args:
        model: float32; not changed.
        names: of nodes Conv, Gemm or MatMul.
        images: uint8 (N, S, S, 3), of training.
        limit: the largest whole number that a weight becomes.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = {node.name: node for node in model.graph.node}
    chosen = [nodes[name] for name in names if _is_plain(nodes[name])]
    to_array = load("onnx").numpy_helper.to_array
    kernels = {node.name: np.asarray(to_array(stored[node.input[1]]), np.float32) for node in chosen}
    seen: dict[str, list[npt.NDArray[np.float32]]] = {node.name: [] for node in chosen}
    sources = list(dict.fromkeys(str(node.input[0]) for node in chosen))
    places = math.ceil(_SAMPLES / max(1, len(images)))
    for batch in tensors(model, sources, images):
        values = dict(zip(sources, batch, strict=True))
        for node in chosen:
            seen[node.name].append(_rows(node, kernels[node.name].shape, values[str(node.input[0])], places))
    return {
        node.name: round_compensated(
            kernels[node.name], channel_axis(node, kernels[node.name].ndim), np.concatenate(seen.pop(node.name)), limit
        )
        for node in chosen
    }


def channel_axis(node: onnx.NodeProto, dimensions: int) -> int:
    """Return the axis of a kernel along which its output channels lie."""
    return 0 if node.op_type == "Conv" or attributes(node).get("transB", 0) else dimensions - 1


def round_compensated(
    kernel: Floats, axis: int, inputs: npt.NDArray[np.float32], limit: int = WEIGHT_LIMIT
) -> RoundedKernel:
    """Round a kernel so that the variance of its error over `inputs` is small.

    Args:
        kernel: weights; `axis` is that of the output channels.
        axis: of the output channels.
        inputs: float32 (M, K), what the K weights of a neuron are multiplied with. Overwritten.
        limit: the largest whole number that a weight becomes.
    """
    moved = np.moveaxis(kernel, axis, 0)
    rows = moved.reshape(len(moved), -1).astype(np.float32)
    inputs -= inputs.mean(axis=0)
    importance = np.square(inputs).mean(axis=0, dtype=np.float64) + np.finfo(np.float32).tiny
    scales = least_error_scales(rows, limit, importance)
    count = rows.shape[1]
    groups = np.array_split(np.arange(count), math.ceil(count / _GROUP))
    whole = np.concatenate([_group(rows[:, group], scales, inputs[:, group], limit) for group in groups], axis=1)
    return RoundedKernel(np.moveaxis(whole.astype(np.int8).reshape(moved.shape), 0, axis), scales)


def _group(
    rows: npt.NDArray[np.float32], scales: Floats, inputs: npt.NDArray[np.float32], limit: int
) -> npt.NDArray[np.float32]:
    """Round columns one after the other, those of the largest inputs first; what is left to do takes up each error."""
    covariance = (inputs.T @ inputs).astype(np.float64) / len(inputs)
    variance = np.diag(covariance).copy()
    order = np.argsort(-variance, kind="stable")
    covariance = covariance[np.ix_(order, order)]
    covariance[np.diag_indices_from(covariance)] += _DAMPING * variance.mean() + np.finfo(np.float32).tiny
    # Row i of the upper factor, over its diagonal: how the columns behind i make up for an error in i.
    upper = np.linalg.cholesky(np.linalg.inv(covariance)).T.astype(np.float32)
    left, steps = rows[:, order], scales.astype(np.float32)
    whole = np.empty_like(left)
    for start in range(0, left.shape[1], _BLOCK):
        block = slice(start, min(start + _BLOCK, left.shape[1]))
        mine, errors = left[:, block], np.empty_like(left[:, block])
        for column in range(mine.shape[1]):
            at = start + column
            whole[:, at] = np.clip(np.rint(mine[:, column] / steps), -limit, limit)
            errors[:, column] = (mine[:, column] - whole[:, at] * steps) / upper[at, at]
            mine[:, column:] -= errors[:, column, None] * upper[at, None, at : block.stop]
        left[:, block.stop :] -= errors @ upper[block, block.stop :]
    result = np.empty_like(whole)
    result[:, order] = whole
    return result


def _is_plain(node: onnx.NodeProto) -> bool:
    """Whether what a neuron sees is simply told: of a convolution, a rectangle of the image in all channels."""
    given: dict[str, Any] = attributes(node)
    holes = any(step != 1 for step in given.get("dilations", ()))
    named = given.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET")
    return given.get("group", 1) == 1 and not holes and not named


def _rows(
    node: onnx.NodeProto, shape: tuple[int, ...], values: npt.NDArray[np.float32], places: int
) -> npt.NDArray[np.float32]:
    """Return what the weights of a neuron are multiplied with, (M, K): of a convolution in some places of each image.

    Args:
        node: Conv, Gemm or MatMul.
        shape: of its kernel.
        values: what goes into it.
        places: how many of each image.
    """
    if node.op_type != "Conv":
        return values.reshape(-1, values.shape[-1])
    given: dict[str, Any] = attributes(node)
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    down, across = given.get("strides", (1, 1))
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, shape[2:], axis=(2, 3))[:, :, ::down, ::across]
    height, width = windows.shape[2:4]
    chosen = np.random.default_rng(0).permutation(height * width)[:places].tolist()
    return np.concatenate([windows[:, :, at // width, at % width].reshape(len(values), -1) for at in chosen])
