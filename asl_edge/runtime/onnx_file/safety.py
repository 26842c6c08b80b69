"""Refuses ONNX models that asl-edge would not have written, before anything of them is run.

A model is a program. What is run here consists of standard operators whose memory and arithmetic follow from its
shapes, so it cannot read files, loop for ever, or fill the memory.
"""

from __future__ import annotations

import math

from asl_edge.errors import ModelError
from asl_edge.process.printable import on_one_line
from asl_edge.runtime.onnx_file.graph import ModelContents, inspect
from asl_edge.runtime.onnx_file.shapes import RULES, Value, of_tensor, result_of

STANDARD_DOMAINS = frozenset(("", "ai.onnx"))
"""Domains of the operators that ONNX itself defines, the only ones that asl-edge exports."""

_MOST_NODES = 3000
"""ONNX Runtime takes longer than in proportion to prepare more; a ResNet-152 in INT8 has about 1,500."""
_MOST_DIMENSIONS = 12
_MOST_PER_TENSOR = 2**23
"""Most numbers of a tensor that is computed for one image: 32 MiB as float32, more than twice VGG16's largest."""
_MOST_SCRATCH = 2**27
"""Most numbers that one operator may use on the side: the windows of a convolution, laid out one after the other."""
_MOST_IN_ALL = 2**28
"""Most numbers that all nodes together read and write for one image."""
_MOST_PRODUCTS = 2**35
"""Most multiplications for one image: twice VGG16's."""
_SEVERAL = 16
"""Images for which the shapes are followed besides one: as many as are classified at once by default."""
_CONSTANTS = 8
"""What is computed from weights alone may hold this many times the numbers in the file."""

_ORT_FORMAT = b"ORTM"
"""What begins at the fifth byte of ONNX Runtime's own format, which it would read in another way than ONNX."""


def reject_unsafe_model(
    model: bytes | memoryview, name: str, *, own_file: str | None = None, own_tensors: int = 0
) -> ModelContents:
    """Refuse content that models of asl-edge never have; return what the model consists of.

    Args:
        model: the content of an `.onnx` file.
        name: its name in messages.
        own_file: the only file that may hold weights, by name; None if they must all be in `model`.
        own_tensors: how many tensors have their weights in it.

    Raises:
        ModelError: it is not an ONNX model, has operators that asl-edge does not run, defines its own, keeps weights in
            other files, or needs more memory or arithmetic than a model that classifies hands.
    """
    try:
        if bytes(model[4:8]) == _ORT_FORMAT:
            raise ValueError("it is in ONNX Runtime's own format")
        contents = inspect(model)
    except ValueError as error:
        raise ModelError(f"{name} is not an ONNX model, or is damaged: {_shown(error)}.") from error
    foreign = sorted(contents.domains - STANDARD_DOMAINS)
    if foreign:
        raise ModelError(
            f"{name} needs operators of {_shown(', '.join(foreign))}, which are not standard ONNX; it is not run."
        )
    if contents.functions:
        raise ModelError(f"{name} defines its own operators, which models of asl-edge never do; it is not run.")
    if len(contents.external) != own_tensors or any(place != own_file for place in contents.external):
        other = next((place for place in contents.external if place != own_file), own_file)
        raise ModelError(
            f"{name} keeps weights in another file ({_shown(other)}); it is not run. "
            "Models of asl-edge are one file: export it again with `asl-edge export`."
        )
    unknown = sorted(contents.operators.keys() - RULES.keys())
    if unknown or contents.subgraphs or contents.sparse:
        what = f"has the operator {_shown(unknown[0])}" if unknown else "has branches or sparse weights"
        raise ModelError(f"{name} {what}, which models of asl-edge never have; it is not run. Export it again.")
    try:
        shapes_in(contents)
    except ValueError as error:
        raise ModelError(f"{name} is not run: {_shown(error)}. Export it again with `asl-edge export`.") from error
    return contents


def shapes_in(contents: ModelContents) -> dict[str, Value]:
    """Follow the shapes through the graph, and return what is known of each tensor by its name, for one image.

    They are followed for several images too, which may take that many times as much: a product of an axis of images
    with itself would take the square.

    Raises:
        ValueError: they do not fit, or need too much.
    """
    if len(contents.nodes) > _MOST_NODES:
        raise ValueError(f"it has more than {_MOST_NODES} nodes")
    constants = {name: of_tensor(tensor) for name, tensor in contents.initializers.items()}
    values = _followed(contents, constants, 1)
    _followed(contents, constants, _SEVERAL)
    return values


def _followed(contents: ModelContents, initializers: dict[str, Value], images: int) -> dict[str, Value]:
    """Return what is known of each tensor for a batch of `images`; raise ValueError if it exceeds the limits."""
    values = dict(initializers)
    stored = sum(math.prod(value.shape) for value in values.values())
    for name, shape in contents.inputs.items():
        values.setdefault(name, Value(tuple(extent or (1 if axis else images) for axis, extent in enumerate(shape))))
    numbers = products = constants = 0
    for node in contents.nodes:
        inputs = [_known(values, name) if name else None for name in node.inputs]
        result = result_of(node, inputs)
        constant = all(value is None or value.constant for value in inputs)
        sizes = [_size(value.shape) for value in result.outputs]
        if constant:
            constants += sum(sizes)
        elif max(sizes) > images * _MOST_PER_TENSOR:
            raise ValueError(f"a node {node.operator} computes {max(sizes):,} numbers for {_images(images)}")
        # Weights that are only converted count as constants.
        numbers += sum(sizes) + sum(_size(value.shape) for value in inputs if value and not value.constant)
        products += result.products
        too_much = result.scratch > images * _MOST_SCRATCH or numbers > images * _MOST_IN_ALL
        if too_much or products > images * _MOST_PRODUCTS:
            raise ValueError("it takes more memory or arithmetic than any model that classifies hands")
        if constants > _CONSTANTS * stored + _MOST_PER_TENSOR:
            raise ValueError(f"its nodes make {constants:,} numbers out of {stored:,}")
        for place, name in enumerate(node.outputs):
            value = result.outputs[min(place, len(result.outputs) - 1)]
            values[name] = Value(value.shape, value.numbers, constant, value.of_batch)
    return values


def _images(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def _known(values: dict[str, Value], name: str) -> Value:
    try:
        return values[name]
    except KeyError:
        raise ValueError(f"a node reads {name}, which nothing computes") from None


def _size(shape: tuple[int, ...]) -> int:
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=0) < 0:
        raise ValueError("a shape has too many or negative extents")
    return math.prod(shape)


def _shown(text: object) -> str:
    """Return what a model says for a message: in one line, and short."""
    words = on_one_line(str(text))
    return words if len(words) <= 200 else f"{words[:200]}..."
