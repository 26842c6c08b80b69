"""INT8: weights and activations of the heavy layers as whole numbers of 8 bits, chosen by what real images show.

A tensor x is kept as q = round(x / scale) + zero point. The file holds QuantizeLinear and DequantizeLinear around every
heavy layer (ONNX's QDQ form), which each runtime turns into its own INT8 kernels: ONNX Runtime's on a CPU, TensorRT's
on a Jetson. Images go in as the bytes that they are, so the first layer loses nothing.

Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(2018), for the arithmetic; Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
(2019), for what is taken from the biases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, UserError
from asl_edge.export.graph.edit import drop_unused, without_initializers
from asl_edge.export.graph.logits import tensors
from asl_edge.export.graph.toolchain import load
from asl_edge.export.int8.gptq import channel_axis
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
"""Where a file will run: `x86` activations are 0 to 255, `arm` and `tensorrt` symmetric, -127 to 127."""

_HEAVY = frozenset(("Conv", "Gemm", "MatMul"))
_FOLLOWING = frozenset(("Relu", "MaxPool", "Reshape", "Flatten", "Squeeze", "Transpose"))
"""What does not need other numbers than those that go in: computed on whole numbers as well."""


@dataclass(frozen=True)
class QuantizationConfig:
    """What an INT8 file is made for, and how.

    Raises:
        UserError: on construction, when a choice is unknown.
    """

    target: Target = "x86"
    method: Method = "minmax"
    keep_float: tuple[str, ...] = ()
    """Layers that stay in float32, such as `conv1`, or names of their nodes."""
    headroom: float = 1.0
    """How much wider the ranges of activations are than the calibration images asked for: other images may ask
    for more, and what lies outside is cut off."""
    weight_limit: int = WEIGHT_LIMIT
    """The largest whole number that a weight becomes. Above 64, products can saturate on x86 without VNNI."""

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
        """Whether activations are symmetric too."""
        return self.target != "x86"


def quantization_config(target: str, method: str, keep_float: str = "") -> QuantizationConfig:
    """Make a config of words as the command line takes them; `keep_float` is a list with commas.

    Raises:
        UserError: a choice is unknown.
    """
    names = tuple(name.strip() for name in keep_float.split(",") if name.strip())
    return QuantizationConfig(cast("Target", target), cast("Method", method), names)


def heavy_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that INT8 is worth its while for, in their order.

    The last product stays out: it is small, and its rounding would go straight into the answers.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    names = [
        node.name
        for node in model.graph.node
        if node.op_type in _HEAVY and len(node.input) > 1 and _is_float(stored.get(node.input[1]), model)
    ]
    return names[:-1] if len(names) > 1 else names


def calibrate(model: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> dict[str, Range]:
    """Run images through a float32 graph and keep the range of every tensor that INT8 asks for.

    Args:
        model: as `asl_edge.export.passes.optimize.optimize` leaves it; not changed.
        images: uint8 (N, S, S, 3), in the model's colour order; of training, so that the test stays unseen.
    """
    wanted = sorted(_activations(model))
    ranges = {}
    # Twice: the histogram needs its ends. Activations of all images at once would take gigabytes.
    ends: dict[str, tuple[float, float]] = {}
    for values in tensors(model, wanted, images):
        for name, value in zip(wanted, values, strict=True):
            low, high = ends.get(name, (0.0, 0.0))
            ends[name] = (min(low, float(value.min())), max(high, float(value.max())))
    counts = {name: np.zeros(BINS, np.int64) for name in wanted}
    sums: dict[str, Any] = dict.fromkeys(wanted, 0.0)
    for values in tensors(model, wanted, images):
        for name, value in zip(wanted, values, strict=True):
            counts[name] += histogram_of(value, *ends[name])
            inner = tuple(axis for axis in range(value.ndim) if axis != 1)
            sums[name] = sums[name] + value.mean(axis=inner, dtype=np.float64) * len(value)
    for name in wanted:
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
        ranges: what `calibrate` returned for it.
        config: target, method, and what stays in float32.
        rounded: weights by the name of their node, as `round_layers` returned them for it; those that are not there
            are rounded one by one.

    Raises:
        ModelError: the network has no layer that could be quantised.
    """
    config = config or QuantizationConfig()
    return _Quantizer(model, ranges, config, rounded or {}).result()


def chosen_nodes(model: onnx.ModelProto, config: QuantizationConfig) -> list[str]:
    """Return the heavy nodes that `config` does not keep in float32, by their name or their layer's.

    Raises:
        UserError: `config` names a layer that is none of them.
    """
    heavy = heavy_nodes(model)
    layers = {name: name.split("/")[0] for name in heavy}
    unknown = sorted(set(config.keep_float) - {*layers, *layers.values()})
    if unknown:
        known = ", ".join(dict.fromkeys(layers.values()))
        raise UserError(f"No layer for INT8 is called {', '.join(unknown)}. There are: {known}.")
    return [name for name in heavy if not {name, layers[name]} & set(config.keep_float)]


class _Quantizer:
    """One model on its way to INT8."""

    def __init__(
        self,
        model: onnx.ModelProto,
        ranges: Mapping[str, Range],
        config: QuantizationConfig,
        rounded: Mapping[str, RoundedKernel],
    ) -> None:
        self.onnx = load("onnx")
        self.model, self.ranges, self.config, self.rounded = model, ranges, config, rounded
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.maker = {name: node for node in model.graph.node for name in node.output}
        self.chosen = chosen_nodes(model, config)
        if not self.chosen:
            raise ModelError("No layer of this network is left for INT8. Export with --precision fp32 or fp16.")
        self.out = without_initializers(model)
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.doubled: dict[str, str] = {}

    def result(self) -> onnx.ModelProto:
        readers = _readers(self.model)
        rounded = self.rounded_tensors(readers)
        for node in self.model.graph.node:
            copy = type(node).FromString(node.SerializeToString())
            if node.name in self.chosen:
                self.quantize(copy)
            else:
                for place, name in enumerate(copy.input):
                    copy.input[place] = self.doubled.get(name, name)
                if copy.input and copy.input[0] in self.doubled.values() and node.op_type in _HEAVY:
                    copy.input[0] = self.apart(copy.input[0])
            self.nodes.append(copy)
            for name in node.output:
                if name in rounded:
                    self.round(name, rounded[name])
        graph = self.out.graph
        del graph.node[:]
        graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        graph.initializer.extend(tensor for tensor in self.model.graph.initializer if tensor.name in used)
        graph.initializer.extend(self.onnx.numpy_helper.from_array(array, name) for name, array in self.arrays.items())
        drop_unused(self.out)
        return self.out

    def rounded_tensors(self, readers: Mapping[str, list[Any]]) -> dict[str, Scale]:
        """Return the tensors that are rounded to 8 bits, with their scales.

        These are the inputs of the chosen layers, their results (behind ReLU) and what stands between the two.
        """
        outputs = {value.name for value in self.model.graph.output}
        scales: dict[str, Scale] = {}
        for node in self.model.graph.node:
            source = node.input[0] if node.input else ""
            if node.name in self.chosen:
                if source not in scales and not self.is_bytes(source):
                    scales[source] = self.scale_of(source)
                end = self.behind(node, readers)
                if end not in outputs:
                    scales[end] = self.scale_of(self.pooled(end, readers))
            elif node.op_type in _FOLLOWING - {"Relu"} and source in scales and node.output[0] not in outputs:
                scales[node.output[0]] = scales[source]
        return scales

    def behind(self, node: Any, readers: Mapping[str, list[Any]]) -> str:
        """Return the tensor in which the result of a layer is rounded: behind ReLU where one follows."""
        following = readers[node.output[0]]
        relu = len(following) == 1 and following[0].op_type == "Relu"
        return str(following[0].output[0] if relu else node.output[0])

    def pooled(self, name: str, readers: Mapping[str, list[Any]]) -> str:
        """Return the tensor whose range a result needs: behind pooling where nothing else reads it.

        Pooling with strides may leave out the last row and column. A channel that is active only there, where padding
        is seen, would otherwise widen the range many times over for nothing (the more so once `equalize` enlarged it).
        """
        following = readers[name]
        if len(following) == 1 and following[0].op_type == "MaxPool" and following[0].output[0] in self.ranges:
            return str(following[0].output[0])
        return name

    def is_bytes(self, name: str) -> bool:
        """Whether a tensor is the images, cast to float."""
        node = self.maker.get(name)
        while node is not None and node.op_type in ("Cast", "Transpose"):
            if node.input[0] == INPUT_NAME:
                return True
            node = self.maker.get(node.input[0])
        return False

    def scale_of(self, name: str) -> Scale:
        chosen = choose_scale(self.ranges[name], self.config.method, self.config.symmetric)
        return chosen._replace(scale=chosen.scale * self.config.headroom)

    def round(self, name: str, scale: Scale) -> None:
        """Put a QuantizeLinear and a DequantizeLinear behind a tensor."""
        numbers = self.numbers(name, scale)
        whole, back = f"{name}/int8", f"{name}/dequantized"
        self.nodes.append(self.node("QuantizeLinear", [name, *numbers], whole))
        self.nodes.append(self.node("DequantizeLinear", [whole, *numbers], back))
        self.doubled[name] = back

    def numbers(self, name: str, scale: Scale) -> list[str]:
        self.arrays[f"{name}/scale"] = np.float32(scale.scale)
        self.arrays[f"{name}/zero_point"] = scale.dtype(scale.zero_point)
        return [f"{name}/scale", f"{name}/zero_point"]

    def quantize(self, node: Any) -> None:
        """Give a layer whole numbers as weights, and inputs that are rounded."""
        source = str(node.input[0])
        if self.is_bytes(source):
            step = 1.0
            node.input[0] = self.bytes_in(source)
        else:
            node.input[0] = self.doubled[source]
            step = float(self.arrays[f"{source}/scale"])
        kernel = np.asarray(self.onnx.numpy_helper.to_array(self.stored[node.input[1]]), np.float64)
        axis = channel_axis(node, kernel.ndim)
        whole, scales = self.rounded.get(node.name) or round_weights(kernel, axis, self.config.weight_limit)
        name = str(node.input[1])
        weights = [f"{name}/int8", f"{name}/scale", f"{name}/zero_point"]
        for key, value in zip(weights, (whole, scales.astype(np.float32), np.zeros(len(scales), np.int8)), strict=True):
            self.arrays[key] = value
        node.input[1] = f"{name}/dequantized"
        self.nodes.append(self.node("DequantizeLinear", weights, node.input[1], axis=axis))
        error = np.moveaxis(whole * along(scales, axis, kernel.ndim) - kernel, axis, 0)
        self.set_bias(node, error, step * scales, self.ranges[source].mean)

    def set_bias(self, node: Any, error: Floats, units: Floats, mean: Floats) -> None:
        """Store the bias in 32 bits, less what the rounded weights add on average (Nagel et al. 2019).

        Args:
            node: a layer.
            error: what rounding adds to its weights, output channels first, then those of the input.
            units: (channels,), what 1 is worth in the sums of each output channel.
            mean: (C,), of each channel of the input.
        """
        bias = np.zeros(len(units))
        if len(node.input) > 2 and node.input[2]:
            stored = self.onnx.numpy_helper.to_array(self.stored[node.input[2]])
            bias = np.broadcast_to(np.asarray(stored, np.float64).ravel(), bias.shape)
        added = error.reshape(*error.shape[:2], -1).sum(axis=2)
        if added.shape[1] == len(mean):  # not so where a convolution reads its channels in groups
            bias = bias - added @ mean
        if node.op_type == "MatMul":
            node.op_type = "Gemm"
        name = f"{node.name}/bias/int32"
        parts = [name, f"{node.name}/bias/scale", f"{node.name}/bias/zero_point"]
        limit = 2**31 - 1
        values = np.clip(np.rint(bias / units), -limit, limit).astype(np.int32)
        for key, value in zip(parts, (values, units.astype(np.float32), np.zeros(len(units), np.int32)), strict=True):
            self.arrays[key] = value
        del node.input[2:]
        node.input.append(f"{node.name}/bias/dequantized")
        self.nodes.append(self.node("DequantizeLinear", parts, node.input[2], axis=0))

    def bytes_in(self, source: str) -> str:
        """Return the images as a tensor whose whole numbers are the bytes themselves: scale 1, zero point 0."""
        if source not in self.doubled:
            cast = self.maker[source]
            scale = Scale(1.0, 0, np.uint8)
            back = f"{source}/dequantized"
            self.nodes.append(self.node("DequantizeLinear", [cast.input[0], *self.numbers(source, scale)], back))
            self.doubled[source] = back
        return self.doubled[source]

    def apart(self, name: str) -> str:
        """Return a tensor like `name` that stands apart from its DequantizeLinear.

        ONNX Runtime (WeightBiasQuantization) would otherwise round the weights of a layer that stays in float, and
        with one scale for all of its channels. The largest of x and the least number is x.
        """
        held = f"{name}/float"
        if f"{held}/lowest" not in self.arrays:
            self.arrays[f"{held}/lowest"] = np.float32(np.finfo(np.float32).min)
            self.nodes.append(self.node("Max", [name, f"{held}/lowest"], held))
        return held

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
        return self.onnx.helper.make_node(kind, list(inputs), [output], name=output, **attributes)


def _activations(model: onnx.ModelProto) -> set[str]:
    """Return all tensors that may be rounded: inputs and results of the heavy nodes, behind ReLU or before."""
    heavy, readers = set(heavy_nodes(model)), _readers(model)
    names: set[str] = set()
    for node in model.graph.node:
        if node.name in heavy:
            names |= {str(node.input[0]), str(node.output[0])}
            names |= {str(reader.output[0]) for reader in readers[node.output[0]] if reader.op_type == "Relu"}
    return names - {value.name for value in model.graph.input}


def _readers(model: onnx.ModelProto) -> dict[str, list[Any]]:
    readers: dict[str, list[Any]] = {name: [] for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for name in node.input:
            if name in readers:
                readers[name].append(node)
    return readers


def _is_float(tensor: Any, model: onnx.ModelProto) -> bool:
    return tensor is not None and tensor.data_type == load("onnx").TensorProto.FLOAT and math.prod(tensor.dims) > 0
