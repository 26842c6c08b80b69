"""The nodes that ONNX's QDQ form adds to a graph: QuantizeLinear and DequantizeLinear with their constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.builder import GraphBuilder
from asl_edge.export.int8.scales import Floats, RoundedKernel, Scale


class QdqGraph:
    """A graph under construction whose tensors are quantised and dequantised.

    Every constant and tensor is named after the one it was made from, such as `conv2/kernel/int8`.
    """

    def __init__(self) -> None:
        self._parts = GraphBuilder("")
        self.dequantized: dict[str, str] = {}
        """Name of a tensor -> name of its quantised and dequantised copy."""

    @property
    def nodes(self) -> list[Any]:
        """The nodes so far, in topological order; append others to it."""
        return self._parts.nodes

    @property
    def constants(self) -> dict[str, npt.NDArray[Any]]:
        """Initializers by name."""
        return self._parts.constants

    def quantize_activation(self, name: str, scale: Scale) -> None:
        """Add QuantizeLinear and DequantizeLinear behind a float32 tensor."""
        parts = self._parts.with_prefix(name)
        parameters = _parameters(parts, scale)
        quantized = parts.add("QuantizeLinear", [name, *parameters], "int8")
        self.dequantized[name] = parts.add("DequantizeLinear", [quantized, *parameters], "dequantized")

    def dequantize_bytes(self, name: str, images: str) -> str:
        """Dequantise the uint8 tensor `images` with scale 1 and zero point 0, in place of its float32 copy `name`."""
        if name not in self.dequantized:
            parts = self._parts.with_prefix(name)
            inputs = [images, *_parameters(parts, Scale(1.0, 0, np.uint8))]
            self.dequantized[name] = parts.add("DequantizeLinear", inputs, "dequantized")
        return self.dequantized[name]

    def step_of(self, name: str) -> float:
        """Return the scale of a tensor that was dequantised, as the file holds it (float32)."""
        return float(self.constants[f"{name}/scale"])

    def add_weights(self, name: str, kernel: RoundedKernel, axis: int) -> str:
        """Store int8 weights with one scale per output channel along `axis`; return their float32 tensor's name."""
        return _dequantized_channels(self._parts.with_prefix(name), "int8", kernel.whole, kernel.scales, axis)

    def add_bias(self, layer: str, bias: Floats, scales: Floats) -> str:
        """Store a bias, float64 (channels,), as int32 in steps of `scales`; return its float32 tensor's name."""
        limit = 2**31 - 1
        values = np.clip(np.rint(bias / scales), -limit, limit).astype(np.int32)
        return _dequantized_channels(self._parts.with_prefix(f"{layer}/bias"), "int32", values, scales, axis=0)

    def kept_in_float(self, name: str) -> str:
        """Return a tensor equal to `name` that does not come directly from a DequantizeLinear.

        ONNX Runtime's WeightBiasQuantization would otherwise quantise the weights of the float32 layer that reads it,
        with one scale for all channels. The maximum of x and the lowest float32 number is x.
        """
        parts = self._parts.with_prefix(name)
        tensor = parts.named("float")
        if f"{tensor}/lowest" not in self.constants:
            lowest = parts.constant("float/lowest", np.array(np.finfo(np.float32).min, np.float32))
            parts.add("Max", [name, lowest], "float")
        return tensor


def _parameters(parts: GraphBuilder, scale: Scale) -> list[str]:
    """Store scale and zero point of an activation; return their names."""
    return [
        parts.constant("scale", np.array(scale.scale, np.float32)),
        parts.constant("zero_point", np.array(scale.zero_point, scale.dtype)),
    ]


def _dequantized_channels(
    parts: GraphBuilder, part: str, values: npt.NDArray[np.integer[Any]], scales: Floats, axis: int
) -> str:
    """Store integers with one scale per channel and zero point 0; return the name of the dequantised tensor."""
    inputs = [
        parts.constant(part, values),
        parts.constant("scale", scales.astype(np.float32)),
        parts.constant("zero_point", np.zeros(len(scales), values.dtype)),
    ]
    return parts.add("DequantizeLinear", inputs, "dequantized", axis=axis)
