"""Cross-layer equalization: channels get about the same range before they are quantised with one scale.

Activations have one scale for all channels, so a channel whose values stay below a thousandth of the largest would be
rounded to zero. If only ReLU, pooling and flattening lie between two layers, a channel can be scaled up in the first
and down in the second without changing the function. The factors are powers of two, so that float32 results are equal
to the bit. The first layer's weights have one scale per channel and lose no precision.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019). There the factors
come from the weights; here from the activations on calibration images, since weight errors are compensated separately
(see `asl_edge.export.int8.gptq`).
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

_HOMOGENEOUS = frozenset(("Relu", "MaxPool", "Reshape", "Flatten"))
"""Operators that commute with a positive factor per channel."""

_LEAST_EXPONENT = -10
"""Channels are scaled up by at most 2^10: still smaller ones hardly contribute."""


def equalize(model: onnx.ModelProto, names: Sequence[str], images: npt.NDArray[np.uint8]) -> onnx.ModelProto:
    """Return a copy in which the channels between two heavy layers have about the same largest value.

    Args:
        model: float32, as `asl_edge.export.passes.optimize.optimize` leaves it; not changed.
        names: names of the heavy nodes; only channels between two of them are scaled.
        images: uint8 (N, S, S, 3), training images.
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
    """Yield each heavy layer with the next one, if it is the only reader and only homogeneous operators lie between."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.name not in heavy or any(len(readers[name]) > 1 for name in node.input[1:] if name):
            continue  # shares its weights with another layer
        tensor = str(node.output[0])
        while tensor not in outputs and len(readers.get(tensor, ())) == 1:
            (reader,) = readers[tensor]
            if reader.op_type in _HOMOGENEOUS:
                tensor = str(reader.output[0])
                continue
            ungrouped = attributes(reader).get("group", 1) == 1
            if reader.name in heavy and reader.input[0] == tensor and len(readers[reader.input[1]]) == 1 and ungrouped:
                yield node, reader
            break


def _scale(first: Any, second: Any, largest: npt.NDArray[np.floating[Any]], stored: dict[str, Any]) -> None:
    """Divide the channels of `first` by powers of two near their largest value; multiply those of `second` by them."""
    if not largest.max() > 0:
        return
    before, behind = (_array(stored, node.input[1]) for node in (first, second))
    out = channel_axis(first, before.ndim)
    channels, inside = before.shape[out], 1 if channel_axis(second, behind.ndim) == 0 else 0
    if behind.shape[inside] != len(largest) or len(largest) % channels:
        return  # not flattened channel by channel
    share = largest.reshape(channels, -1).max(axis=1) / largest.max()
    powers = np.clip(np.rint(np.log2(np.maximum(share, 2.0**_LEAST_EXPONENT))), _LEAST_EXPONENT, 0)
    factors = np.exp2(powers).astype(np.float32)
    _put(stored, first.input[1], before / along(factors, out, before.ndim))
    if len(first.input) > 2 and first.input[2]:
        _put(stored, first.input[2], _array(stored, first.input[2]) / factors)
    repeated = np.repeat(factors, len(largest) // channels)
    _put(stored, second.input[1], behind * along(repeated, inside, behind.ndim))


def _array(stored: dict[str, Any], name: str) -> npt.NDArray[np.float32]:
    """Return an initializer's values."""
    return np.asarray(load("onnx").numpy_helper.to_array(stored[name]), np.float32)


def _put(stored: dict[str, Any], name: str, values: Floats) -> None:
    """Replace an initializer's values."""
    stored[name].CopyFrom(load("onnx").numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
