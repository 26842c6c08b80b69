"""Channels brought to one range before they are rounded with one scale.

Activations have one scale for all channels, so that a channel whose values stay a thousandth of the largest would be
rounded to nothing. Where only ReLU, pooling and flattening stand between two layers, each channel can be multiplied in
the first and divided in the second: the function stays the same. Here by powers of two, so that float32 computes the
same to the bit. The first layer's weights have a scale for each channel and lose nothing by it.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019); here by what
calibration images show of the activations, since the errors of weights are made up for (see `compensation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.edit import attributes, copy_of
from asl_edge.export.graph.logits import tensors
from asl_edge.export.graph.toolchain import load
from asl_edge.export.int8.gptq import channel_axis
from asl_edge.export.int8.scales import Floats, along

if TYPE_CHECKING:
    import onnx

_KEEPING = frozenset(("Relu", "MaxPool", "Reshape", "Flatten"))
"""What a positive factor goes through unchanged."""

_LEAST_EXPONENT = -10
"""The smallest channels are made a thousand times as large, and no more: nearly nothing is nothing."""


def equalize(model: onnx.ModelProto, names: Sequence[str], images: npt.NDArray[np.uint8]) -> onnx.ModelProto:
    """Return a copy whose channels between heavy layers have about the same largest value.

    Args:
        model: float32, as `asl_edge.export.passes.optimize.optimize` leaves it.
        names: of the heavy nodes; only what stands between two of them is changed.
        images: uint8 (N, S, S, 3), of training.
    """
    changed = copy_of(model)
    pairs = list(_pairs(changed, set(names)))
    if not pairs:
        return changed
    sources = list(dict.fromkeys(str(second.input[0]) for _, second in pairs))
    largest: dict[str, Any] = dict.fromkeys(sources, 0.0)
    for batch in tensors(changed, sources, images):
        for name, values in zip(sources, batch, strict=True):
            others = tuple(axis for axis in range(values.ndim) if axis != 1)
            largest[name] = np.maximum(largest[name], np.abs(values).max(axis=others))
    stored = {tensor.name: tensor for tensor in changed.graph.initializer}
    for first, second in pairs:
        _scale(first, second, largest[str(second.input[0])], stored)
    return changed


def _pairs(model: onnx.ModelProto, heavy: set[str]) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Yield heavy layers with the one that alone reads what they make, behind nothing but what keeps factors."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.name not in heavy or any(len(readers[name]) > 1 for name in node.input[1:] if name):
            continue  # another layer reads its weights too
        made = str(node.output[0])
        while made not in outputs and len(readers.get(made, ())) == 1:
            (reader,) = readers[made]
            if reader.op_type in _KEEPING:
                made = str(reader.output[0])
                continue
            whole = attributes(reader).get("group", 1) == 1
            if reader.name in heavy and reader.input[0] == made and len(readers[reader.input[1]]) == 1 and whole:
                yield node, reader
            break


def _scale(first: Any, second: Any, largest: npt.NDArray[np.floating[Any]], stored: dict[str, Any]) -> None:
    """Divide the channels of `first` by powers of two near their largest value, and multiply those of `second`."""
    if not largest.max() > 0:
        return
    before, behind = (_array(stored, node.input[1]) for node in (first, second))
    out = channel_axis(first, before.ndim)
    channels, inside = before.shape[out], 1 if channel_axis(second, behind.ndim) == 0 else 0
    if behind.shape[inside] != len(largest) or len(largest) % channels:
        return  # flattened in another order than channel by channel
    share = largest.reshape(channels, -1).max(axis=1) / largest.max()
    powers = np.clip(np.rint(np.log2(np.maximum(share, 2.0**_LEAST_EXPONENT))), _LEAST_EXPONENT, 0)
    factors = np.exp2(powers).astype(np.float32)
    _put(stored, first.input[1], before / along(factors, out, before.ndim))
    if len(first.input) > 2 and first.input[2]:
        _put(stored, first.input[2], _array(stored, first.input[2]) / factors)
    repeated = np.repeat(factors, len(largest) // channels)
    _put(stored, second.input[1], behind * along(repeated, inside, behind.ndim))


def _array(stored: dict[str, Any], name: str) -> npt.NDArray[np.float32]:
    return np.asarray(load("onnx").numpy_helper.to_array(stored[name]), np.float32)


def _put(stored: dict[str, Any], name: str, values: Floats) -> None:
    stored[name].CopyFrom(load("onnx").numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
