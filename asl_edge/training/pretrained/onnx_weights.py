"""The weights of an exported `.onnx` file, read back: kernels, and what multiplies and adds to their results.

An exported graph has no layers. Batch normalisation is a multiplication and an addition in it, or has been folded into
the weights before or after it; a dense layer is a MatMul and an Add; and weights may be stored in another type before a
Cast. So the graph is walked from the image to the softmax, and all of these are read in the same way.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import MissingPackageError, ModelError
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.float32]

_PRODUCTS = frozenset(("Conv", "MatMul", "Gemm"))
_AFFINE = frozenset(("Mul", "Div", "Add", "Sub"))
_SAME_VALUES = frozenset(("Cast", "Identity", "Transpose"))
"""Operations that pass values on, in another order or type."""
_FIRST_INPUT_COUNTS = frozenset(("Reshape", "Squeeze", "Unsqueeze"))


@dataclass(frozen=True)
class Affine:
    """x -> scale * x + shift; both of shape (C,), or (1,) for all channels."""

    scale: Array = field(default_factory=lambda: np.ones(1, np.float32))
    shift: Array = field(default_factory=lambda: np.zeros(1, np.float32))

    def then(self, operation: str, value: Array) -> Affine:
        """Return this followed by `Mul`, `Div`, `Add` or `Sub` of a constant."""
        if operation in ("Add", "Sub"):
            return replace(self, shift=self.shift + (value if operation == "Add" else -value))
        factor = value if operation == "Mul" else np.reciprocal(value)
        return Affine(self.scale * factor, self.shift * factor)


@dataclass
class Stage:
    """A layer with a kernel, and everything up to the next one; the first stage is the image, without a kernel."""

    name: str
    """The layer, as the file names it."""
    kernel: Array | None = None
    """As Keras keeps it: (rows, columns, channels, filters) or (inputs, outputs)."""
    direct: Affine = field(default_factory=Affine)
    """What is applied to its result first: bias and batch normalisation."""
    later: list[Affine] = field(default_factory=list)
    """The same after an activation or a pooling, one for each place that has any."""


def read_stages(path: Path) -> list[Stage]:
    """Read the weights of a network that asl-edge exported, in the order in which they are applied, float32.

    The calibration temperature is left out, whether it is a multiplication of all logits or in the last weights.

    Raises:
        ModelError: the file is damaged, or its graph is not a chain of layers as asl-edge exports them.
        MissingPackageError: the package onnx is not installed.
    """
    model = _load(path)
    constants = _Constants(model)
    chain = _chain(model, constants, path)
    last_product = max((index for index, node in enumerate(chain) if node.op_type in _PRODUCTS), default=0)
    stages = [Stage("the image")]
    separated = fresh = False
    temperature = _temperature(model)
    for index, node in enumerate(chain):
        if node.op_type in _PRODUCTS:
            stages.append(_product(node, constants, path))
            separated = False
        elif node.op_type in _AFFINE:
            value = _constant_of(node, constants, path)
            if index > last_product and value.size == 1 and node.op_type in ("Mul", "Div"):
                temperature = 1.0  # it is this multiplication, so it is not in the weights
                continue
            stage = stages[-1]
            if not separated:
                stage.direct = stage.direct.then(node.op_type, value)
            else:
                if fresh:
                    stage.later.append(Affine())
                    fresh = False
                stage.later[-1] = stage.later[-1].then(node.op_type, value)
        elif node.op_type not in _SAME_VALUES:
            separated = fresh = True
    _without_temperature(stages[-1], temperature)
    return stages


def read_branches(path: Path, joined: Collection[str]) -> list[Stage]:
    """Read the weights of a network whose layers branch and join; see `read_stages`.

    Its layers are known by their names alone, as asl-edge writes them into a file.

    Args:
        path: the file.
        joined: names of layers that only multiply and add, behind a place where branches join.

    Returns:
        The image, then the layers in the order of the file, without anything in `later`.

    Raises:
        ModelError, MissingPackageError: see `read_stages`.
    """
    model = _load(path)
    constants = _Constants(model)
    following = _Following(model, constants, path)
    stages = [following.completed(Stage("the image"), INPUT_NAME)]
    known = set[str]()
    for node in model.graph.node:
        layer = node.name.split("/")[0]
        if node.op_type in _PRODUCTS and constants.value(node.input[1]) is not None:
            stages.append(following.completed(_product(node, constants, path), node.output[0]))
        elif layer in joined and layer not in known and node.op_type in _AFFINE:
            known.add(layer)
            computed = [name for name in node.input if constants.value(name) is None]
            stages.append(following.completed(Stage(layer), computed[0]))
    if following.head is not None:
        _without_temperature(following.head, _temperature(model))
    return stages


class _Following:
    """Reads what is multiplied and added to a tensor before anything else happens to it."""

    def __init__(self, model: onnx.ModelProto, constants: _Constants, path: Path) -> None:
        self._constants, self._path = constants, path
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self.head: Stage | None = None
        """The stage that ends in the softmax, if the calibration temperature is in its weights."""

    def completed(self, stage: Stage, tensor: str) -> Stage:
        """Return a stage with what is applied directly to its result, which is `tensor`."""
        while True:
            readers = self._readers.get(tensor, [])
            if [node.op_type for node in readers] == ["Softmax"] and stage.kernel is not None:
                self.head = stage
            if len(readers) != 1 or readers[0].op_type not in _AFFINE | _SAME_VALUES:
                return stage
            node, tensor = readers[0], str(readers[0].output[0])
            if node.op_type in _SAME_VALUES:
                continue
            if all(self._constants.value(name) is None for name in node.input):
                return stage  # branches join
            value = _constant_of(node, self._constants, self._path)
            after = [reader.op_type for reader in self._readers.get(tensor, [])]
            if after == ["Softmax"] and node.op_type == "Mul" and value.size == 1:
                return stage  # the calibration temperature, on its own
            stage.direct = stage.direct.then(node.op_type, value)


def _without_temperature(last: Stage, temperature: float) -> None:
    """Take the calibration temperature out of the weights of the last layer."""
    if temperature != 1.0 and last.kernel is not None:
        factor = np.float32(temperature)
        last.kernel = last.kernel * factor
        last.direct = replace(last.direct, shift=last.direct.shift * factor)


def _temperature(model: onnx.ModelProto) -> float:
    """Return the calibration temperature that the file was exported with; 1 where none is recorded."""
    from asl_edge.spec import METADATA_KEY, ModelSpec

    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return ModelSpec.from_metadata(metadata).temperature if METADATA_KEY in metadata else 1.0


def _load(path: Path) -> onnx.ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(
            f"Starting from an .onnx file needs onnx, which cannot be imported ({error}). "
            "Install it: pip install 'asl-edge[train]'"
        ) from error
    try:
        model = onnx.load_model(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise all kinds of errors for a damaged file
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(f"{path} is damaged or not an ONNX model ({reason}). Export it again.") from error
    return model


class _Constants:
    """The tensors of a graph that do not depend on the image: weights, and what is computed from weights alone."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._known: dict[str, npt.NDArray[Any] | None] = {}

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """Return the value of a tensor; None if it depends on the image."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> npt.NDArray[Any] | None:
        from onnx import numpy_helper
        from onnx.reference import ReferenceEvaluator

        if name in self._stored:
            array: npt.NDArray[Any] = numpy_helper.to_array(self._stored[name])
            return array
        node = self._makers.get(name)
        if node is None:
            return None
        values = {given: self.value(given) for given in node.input if given}
        if any(value is None for value in values.values()):
            return None
        return np.asarray(ReferenceEvaluator(node).run([name], values)[0])


def _chain(model: onnx.ModelProto, constants: _Constants, path: Path) -> list[onnx.NodeProto]:
    """Return the nodes between the image and the probabilities, the first one first."""
    makers = {name: node for node in model.graph.node for name in node.output}
    chain: list[onnx.NodeProto] = []
    tensor = OUTPUT_NAME
    while tensor != INPUT_NAME:
        node = makers.get(tensor)
        if node is None:
            raise ModelError(
                f"{path} has no path from an input {INPUT_NAME} to an output {OUTPUT_NAME}. Export it again."
            )
        inputs = node.input[:1] if node.op_type in _FIRST_INPUT_COUNTS else node.input
        computed = [name for name in inputs if name and constants.value(name) is None]
        if len(computed) != 1:
            raise ModelError(
                f"{path} is not a chain of layers: {node.op_type} {node.name} joins {len(computed)} of them, "
                "and only chains can be started from. Start from the run folder or its .keras file instead."
            )
        chain.append(node)
        tensor = computed[0]
    return chain[::-1]


def _product(node: onnx.NodeProto, constants: _Constants, path: Path) -> Stage:
    """Read a Conv, MatMul or Gemm."""
    from onnx import helper

    weights = [constants.value(name) for name in node.input[1:] if name]
    if not weights or weights[0] is None:
        raise ModelError(f"{path}: the weights of {node.name} are not stored in it. Export it again.")
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    kernel, rest = weights[0].astype(np.float32), weights[1:]
    if node.op_type == "Conv":
        kernel = kernel.transpose(*range(2, kernel.ndim), 1, 0)
    elif settings.get("transB"):
        kernel = kernel.T
    direct = Affine()
    if rest and rest[0] is not None:
        direct = direct.then("Add", rest[0].astype(np.float32).reshape(-1) * np.float32(settings.get("beta", 1.0)))
    name = node.input[1].removesuffix("/float").removesuffix("/half").removesuffix("/kernel")
    return Stage(name, np.ascontiguousarray(kernel * np.float32(settings.get("alpha", 1.0))), direct)


def _constant_of(node: onnx.NodeProto, constants: _Constants, path: Path) -> Array:
    """Return the constant operand of a Mul, Div, Add or Sub, (C,) or (1,)."""
    place = 1 if constants.value(node.input[0]) is None else 0
    value = constants.value(node.input[place])
    if value is None or (place == 0 and node.op_type in ("Div", "Sub")) or value.size != max(value.shape, default=1):
        raise ModelError(
            f"{path}: {node.op_type} {node.name} is not an operation that asl-edge exports. "
            "Start from the run folder or its .keras file instead."
        )
    return value.astype(np.float32).reshape(-1)
