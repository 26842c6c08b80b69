"""Post-training INT8 quantisation: 8-bit weights and activations for the heavy layers, calibrated on real images.

A tensor x is stored as q = round(x / scale) + zero point. The file holds QuantizeLinear and DequantizeLinear around
every heavy layer (ONNX's QDQ form), which each runtime turns into its own INT8 kernels: ONNX Runtime on a CPU, TensorRT
on a Jetson. The images are already bytes, so the input of the first layer is not rounded.

Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(2018), for the arithmetic; Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
(2019), for bias correction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, UserError
from asl_edge.export.graph.edit import drop_unused, without_initializers
from asl_edge.export.graph.logits import tensors
from asl_edge.export.graph.toolchain import load
from asl_edge.export.int8.gptq import channel_axis
from asl_edge.export.int8.qdq_graph import QdqGraph
from asl_edge.export.int8.scales import (
    BINS,
    WEIGHT_LIMIT,
    Floats,
    Method,
    Range,
    RoundedKernel,
    Scale,
    along,
    choose_scale,
    histogram_of,
    round_weights,
)
from asl_edge.spec import INPUT_NAME

if TYPE_CHECKING:
    import onnx

Target = Literal["x86", "arm", "tensorrt"]
"""Where a file will run. Activations for `x86` are 0 to 255; for `arm` and `tensorrt` symmetric, -127 to 127."""

_HEAVY = frozenset(("Conv", "Gemm", "MatMul"))
_FOLLOWING = frozenset(("Relu", "MaxPool", "Reshape", "Flatten", "Squeeze", "Transpose"))
"""Operators that only select or reorder values, so that they run on integers with the scale of their input."""


@dataclass(frozen=True)
class QuantizationConfig:
    """Target and method of a quantisation.

    Raises:
        UserError: on construction, when a choice is unknown.
    """

    target: Target = "x86"
    method: Method = "minmax"
    keep_float: tuple[str, ...] = ()
    """Layers to keep in float32, such as `conv1`, or names of their nodes."""
    headroom: float = 1.0
    """Factor by which the ranges of activations exceed those of the calibration images. Other images may need wider
    ranges, and values outside are clipped."""
    weight_limit: int = WEIGHT_LIMIT
    """Largest absolute value of an integer weight. Above 64, products can saturate on x86 without VNNI."""

    def __post_init__(self) -> None:
        """Check the choices."""
        for name, value, choices in (
            ("target", self.target, get_args(Target)),
            ("method", self.method, get_args(Method)),
        ):
            if value not in choices:
                raise UserError(f"The {name} is one of {', '.join(choices)}. Received: {value!r}")
        if not 1 <= self.headroom <= 4:
            raise UserError(f"The headroom is 1 to 4. Received: {self.headroom:g}")
        if not 1 <= self.weight_limit <= 127:
            raise UserError(f"The weight limit is 1 to 127. Received: {self.weight_limit}")

    @property
    def symmetric(self) -> bool:
        """Whether activations, like weights, are quantised symmetrically around 0."""
        return self.target != "x86"


def quantization_config(target: str, method: str, keep_float: str = "") -> QuantizationConfig:
    """Make a config from the command line's options; `keep_float` is a comma-separated list.

    Raises:
        UserError: a choice is unknown.
    """
    names = tuple(name.strip() for name in keep_float.split(",") if name.strip())
    return QuantizationConfig(cast("Target", target), cast("Method", method), names)


def heavy_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that are worth quantising, in graph order: convolutions and dense layers.

    Those are left out that no other follows on the way to an output, such as the one that makes the logits: they are
    small, and their rounding errors would go straight into the outputs.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [
        node.name
        for node in model.graph.node
        if node.op_type in _HEAVY and len(node.input) > 1 and _is_float(stored.get(node.input[1]))
    ]
    last = _last_before_outputs(model, set(names))
    return [name for name in names if name not in last] or names


def _last_before_outputs(model: onnx.ModelProto, heavy: set[str]) -> set[str]:
    """Return the heavy nodes whose results reach an output of the graph without passing another one."""
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting = [value.name for value in model.graph.output]
    last, seen = set(), set(waiting)
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        if node.name in heavy:
            last.add(node.name)
            continue
        waiting += [name for name in node.input if name not in seen]
        seen.update(node.input)
    return last


def calibrate(model: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> dict[str, Range]:
    """Run images through a float32 graph and return the range of every tensor that may be quantised.

    Args:
        model: as `asl_edge.export.passes.optimize.optimize` leaves it; not changed.
        images: uint8 (N, S, S, 3), in the model's colour order; training images, so that the test images stay unseen.
    """
    names = sorted(_activations(model))
    ranges = {}
    # Two passes, since a histogram needs its ends first: the activations of all images would take gigabytes.
    ends: dict[str, tuple[float, float]] = {}
    for values in tensors(model, names, images):
        for name, value in zip(names, values, strict=True):
            low, high = ends.get(name, (0.0, 0.0))
            ends[name] = (min(low, float(value.min())), max(high, float(value.max())))
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for values in tensors(model, names, images):
        for name, value in zip(names, values, strict=True):
            counts[name] += histogram_of(value, *ends[name])
            inner = tuple(axis for axis in range(value.ndim) if axis != 1)
            sums[name] = sums[name] + value.mean(axis=inner, dtype=np.float64) * len(value)
    for name in names:
        ranges[name] = Range(*ends[name], counts[name], sums[name] / len(images))
    return ranges


def to_int8(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    config: QuantizationConfig | None = None,
    rounded: Mapping[str, RoundedKernel] | None = None,
) -> onnx.ModelProto:
    """Return a copy of a float32 model whose heavy layers compute in INT8.

    Args:
        model: as `asl_edge.export.passes.optimize.optimize` leaves it.
        ranges: the result of `calibrate` for this model.
        config: target, method, and the layers to keep in float32.
        rounded: weights by node name, the result of `round_layers` for this model; the weights of other layers are
            rounded to nearest.

    Raises:
        ModelError: the network has no layer that can be quantised.
    """
    config = config or QuantizationConfig()
    return _Quantizer(model, ranges, config, rounded or {}).result()


def chosen_nodes(model: onnx.ModelProto, config: QuantizationConfig) -> list[str]:
    """Return the names of the heavy nodes that `config` does not keep in float32.

    Raises:
        UserError: `config` names neither a heavy node nor its layer.
    """
    heavy = heavy_nodes(model)
    layers = {name: name.split("/")[0] for name in heavy}
    unknown = sorted(set(config.keep_float) - {*layers, *layers.values()})
    if unknown:
        known = ", ".join(dict.fromkeys(layers.values()))
        raise UserError(f"Cannot keep {', '.join(unknown)} in float32: the layers that INT8 quantises are {known}.")
    return [name for name in heavy if not {name, layers[name]} & set(config.keep_float)]


class _Quantizer:
    """Builds the INT8 graph of one model.

    Args:
        model: float32; not changed.
        ranges: of activations, by tensor name.
        config: target, method, and the layers to keep in float32.
        rounded: weights by node name; the others are rounded to nearest.

    Raises:
        ModelError: no layer is left to quantise.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        ranges: Mapping[str, Range],
        config: QuantizationConfig,
        rounded: Mapping[str, RoundedKernel],
    ) -> None:
        self._model, self._ranges, self._config, self._rounded = model, ranges, config, rounded
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producers = {name: node for node in model.graph.node for name in node.output}
        self._readers = _readers(model)
        self._chosen = chosen_nodes(model, config)
        if not self._chosen:
            raise ModelError("No layer of this network is left for INT8. Export with --precision fp32 or fp16.")
        self._graph = QdqGraph()

    def result(self) -> onnx.ModelProto:
        """Return the quantised model."""
        scales, dequantized = self._activation_scales(), self._graph.dequantized
        for node in self._model.graph.node:
            copy = type(node).FromString(node.SerializeToString())
            if node.name in self._chosen:
                self._quantize_layer(copy)
            else:
                for place, name in enumerate(copy.input):
                    copy.input[place] = dequantized.get(name, name)
                if copy.input and copy.input[0] in dequantized.values() and node.op_type in _HEAVY:
                    copy.input[0] = self._graph.kept_in_float(copy.input[0])
            self._graph.nodes.append(copy)
            for name in node.output:
                if name in scales:
                    self._graph.quantize_activation(name, scales[name])
        return self._assembled()

    def _assembled(self) -> onnx.ModelProto:
        """Return a model of the nodes built so far, with the initializers that they read."""
        nodes, to_tensor = self._graph.nodes, load("onnx").numpy_helper.from_array
        out = without_initializers(self._model)
        del out.graph.node[:]
        out.graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        out.graph.initializer.extend(tensor for tensor in self._model.graph.initializer if tensor.name in used)
        out.graph.initializer.extend(to_tensor(array, name) for name, array in self._graph.constants.items())
        drop_unused(out)
        return out

    def _activation_scales(self) -> dict[str, Scale]:
        """Return the tensors to be quantised to 8 bits, with their scales.

        These are the inputs of the chosen layers, their results (behind ReLU), and the tensors in between that only
        select or reorder values.
        """
        outputs = {value.name for value in self._model.graph.output}
        scales: dict[str, Scale] = {}
        for node in self._model.graph.node:
            source = node.input[0] if node.input else ""
            if node.name in self._chosen:
                if source not in scales and not self._is_image(source):
                    scales[source] = self._scale_of(source)
                end = self._behind_relu(node)
                if end not in outputs:
                    scales[end] = self._scale_of(self._behind_pooling(end))
            elif node.op_type in _FOLLOWING - {"Relu"} and source in scales and node.output[0] not in outputs:
                scales[node.output[0]] = scales[source]
        return scales

    def _behind_relu(self, node: Any) -> str:
        """Return the tensor in which the result of a layer is quantised: behind ReLU if one follows."""
        following = self._readers[node.output[0]]
        relu = len(following) == 1 and following[0].op_type == "Relu"
        return str(following[0].output[0] if relu else node.output[0])

    def _behind_pooling(self, name: str) -> str:
        """Return the tensor whose range determines the scale of `name`: behind pooling if nothing else reads `name`.

        Pooling with strides may leave out the last row and column. A channel that is active only there, because of the
        padding, would otherwise widen the range many times over for nothing, all the more after `equalize`.
        """
        following = self._readers[name]
        if len(following) == 1 and following[0].op_type == "MaxPool" and following[0].output[0] in self._ranges:
            return str(following[0].output[0])
        return name

    def _is_image(self, name: str) -> bool:
        """Whether a tensor is the model's input, cast to float and possibly transposed."""
        node = self._producers.get(name)
        while node is not None and node.op_type in ("Cast", "Transpose"):
            if node.input[0] == INPUT_NAME:
                return True
            node = self._producers.get(node.input[0])
        return False

    def _scale_of(self, name: str) -> Scale:
        """Return the scale and zero point of an activation, with the configured headroom."""
        chosen = choose_scale(self._ranges[name], self._config.method, self._config.symmetric)
        return chosen._replace(scale=chosen.scale * self._config.headroom)

    def _quantize_layer(self, node: Any) -> None:
        """Give a layer a quantised input, int8 weights and an int32 bias; `node` is changed."""
        source, weights = str(node.input[0]), str(node.input[1])
        if self._is_image(source):
            node.input[0] = self._graph.dequantize_bytes(source, self._producers[source].input[0])
        else:
            node.input[0] = self._graph.dequantized[source]
        kernel = np.asarray(_array(self._stored[weights]), np.float64)
        axis = channel_axis(node, kernel.ndim)
        rounded = self._rounded.get(node.name) or round_weights(kernel, axis, self._config.weight_limit)
        node.input[1] = self._graph.add_weights(weights, rounded, axis)
        error = np.moveaxis(rounded.whole * along(rounded.scales, axis, kernel.ndim) - kernel, axis, 0)
        bias = self._corrected_bias(node, error, self._ranges[source].mean)
        # One in the layer's integer sums is a step of the input times a step of the weights.
        name = self._graph.add_bias(node.name, bias, self._graph.step_of(source) * rounded.scales)
        if node.op_type == "MatMul":
            node.op_type = "Gemm"  # which has a bias
        del node.input[2:]
        node.input.append(name)

    def _corrected_bias(self, node: Any, error: Floats, mean: Floats) -> Floats:
        """Return a layer's bias less the mean error of its rounded weights (Nagel et al. 2019), float64 (channels,).

        Args:
            node: the layer.
            error: rounding error of its weights, output channels first, then input channels.
            mean: (C,), mean of each input channel.
        """
        bias = np.zeros(len(error))
        if len(node.input) > 2 and node.input[2]:
            stored = np.asarray(_array(self._stored[node.input[2]]), np.float64)
            bias = np.broadcast_to(stored.ravel(), bias.shape)
        mean_error = error.reshape(*error.shape[:2], -1).sum(axis=2)
        if mean_error.shape[1] == len(mean):  # not for a grouped convolution
            bias = bias - mean_error @ mean
        return bias


def _array(tensor: Any) -> npt.NDArray[Any]:
    """Return the values of an initializer."""
    return np.asarray(load("onnx").numpy_helper.to_array(tensor))


def _activations(model: onnx.ModelProto) -> set[str]:
    """Return the names of all tensors that may be quantised: inputs and results of the heavy nodes, before and behind
    ReLU."""
    heavy, readers = set(heavy_nodes(model)), _readers(model)
    names: set[str] = set()
    for node in model.graph.node:
        if node.name in heavy:
            names |= {str(node.input[0]), str(node.output[0])}
            names |= {str(reader.output[0]) for reader in readers[node.output[0]] if reader.op_type == "Relu"}
    return names - {value.name for value in model.graph.input}


def _readers(model: onnx.ModelProto) -> dict[str, list[Any]]:
    """Return the nodes that read each node's outputs."""
    readers: dict[str, list[Any]] = {name: [] for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for name in node.input:
            if name in readers:
                readers[name].append(node)
    return readers


def _is_float(tensor: Any) -> bool:
    """Whether an initializer (or None) is float32 and not empty."""
    return tensor is not None and tensor.data_type == load("onnx").TensorProto.FLOAT and math.prod(tensor.dims) > 0
