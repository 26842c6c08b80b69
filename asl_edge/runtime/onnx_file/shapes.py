"""Shapes of what each operator computes: so that a model's memory and arithmetic are known before it is run.

An operator without a rule here is not run: the rules are those of the operators that exported Keras models have. A rule
may be generous where a wrong model would fail in ONNX Runtime anyway, but it never returns a smaller shape than ONNX
Runtime computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from asl_edge.runtime.onnx_file.graph import MOST_NUMBERS, Node, Tensor

Shape = tuple[int, ...]

_LARGEST = 2**62
"""Numbers of a shape stay below it; ONNX Runtime's would overflow."""


class Value(NamedTuple):
    """What is known of a tensor."""

    shape: Shape
    numbers: tuple[float, ...] | None = None
    """Its numbers, if they are few and known."""
    constant: bool = False
    """Whether it is the same for every image."""
    of_batch: bool = False
    """Whether its numbers come from the shape of a tensor, so that they depend on the number of images."""


class Result(NamedTuple):
    """What an operator computes."""

    outputs: tuple[Value, ...]
    """One per output; the last one stands for any others."""
    products: int = 0
    """Multiplications that it takes, if more than one per number that it reads and writes."""
    scratch: int = 0
    """Numbers that it may keep in memory while it computes."""


Inputs = Sequence[Value | None]
Rule = Callable[[Node, Inputs], Result]


def result_of(node: Node, inputs: Inputs) -> Result:
    """Return what a node computes from its inputs (None for one that is left out).

    Raises:
        ValueError: the operator has no rule, or its inputs and attributes are not as it needs them.
    """
    rule = RULES.get(node.operator)
    if rule is None:
        raise ValueError(f"it has the operator {node.operator}")
    try:
        return rule(node, inputs)
    except (IndexError, TypeError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"a node {node.operator} lacks inputs or attributes ({error})") from error


def _result(*shapes: Shape, products: int = 0, scratch: int = 0) -> Result:
    return Result(tuple(map(Value, shapes)), products, scratch)


def _given(inputs: Inputs, place: int) -> Value:
    value = inputs[place]
    if value is None:
        raise ValueError("an input is left out that is needed")
    return value


def _whole(values: Sequence[float] | None) -> list[int]:
    if values is None or any(value != int(value) for value in values):
        raise ValueError("a shape depends on the image")
    return [int(value) for value in values]


def _axes(node: Node, inputs: Inputs, name: str, place: int) -> list[int] | None:
    """Return whole numbers that an attribute or, in newer operator sets, an input holds; None if neither is there."""
    if name in node.attributes:
        return _ints(node, name)
    value = inputs[place] if place < len(inputs) else None
    if value is None:
        return None
    if value.of_batch:
        raise ValueError("a shape depends on the number of images")
    return _whole(value.numbers)


def _ints(node: Node, name: str, default: Sequence[int] = ()) -> list[int]:
    value = node.attributes.get(name, default)
    if isinstance(value, int):
        return [value]
    if isinstance(value, (str, float, Tensor)):
        raise ValueError(f"{name} of a node {node.operator} is not a list of whole numbers")
    return _whole(value)


def _int(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"{name} of a node {node.operator} is not a whole number")
    return value


def _place(axis: int, rank: int) -> int:
    if not -rank <= axis < max(rank, 1):
        raise ValueError("an axis is out of range")
    return axis % rank if rank else 0


def _same(node: Node, inputs: Inputs) -> Result:
    """One result of the shape of the first input; followed numbers stay what they were where they are only copied."""
    first = _given(inputs, 0)
    copied = first.numbers if node.operator in ("Identity", "Cast") else None
    if node.operator == "Cast" and copied is not None and _int(node, "to", 1) in (6, 7):
        copied = tuple(int(value) for value in copied)
    others = (Value(first.shape),) if len(node.outputs) > 1 else ()
    return Result((Value(first.shape, copied, of_batch=first.of_batch), *others))


def _spread(node: Node, inputs: Inputs) -> Result:
    """Numbers by numbers, shapes stretched to each other."""
    values = [value for value in inputs if value is not None]
    shape = _broadcast([value.shape for value in values])
    numbers = _arithmetic(node.operator, values, shape)
    return Result((Value(shape, numbers, of_batch=any(value.of_batch for value in values)),))


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    rank = max(len(shape) for shape in shapes)
    stretched = []
    for axis in range(rank):
        extents = {shape[axis - rank + len(shape)] for shape in shapes if axis - rank + len(shape) >= 0} - {1}
        if len(extents) > 1:
            raise ValueError("shapes do not fit each other")
        stretched.append(extents.pop() if extents else 1)
    return tuple(stretched)


def _arithmetic(operator: str, values: Sequence[Value], shape: Shape) -> tuple[float, ...] | None:
    """Return the numbers of a sum and the like over short lists, as exporters compute shapes."""
    functions: dict[str, Callable[[float, float], float]] = {
        "Add": lambda a, b: a + b,
        "Sub": lambda a, b: a - b,
        "Mul": lambda a, b: a * b,
    }
    if len(values) != 2 or operator not in functions or len(shape) > 1 or math.prod(shape) > MOST_NUMBERS:
        return None
    lists = [value.numbers for value in values]
    if lists[0] is None or lists[1] is None:
        return None
    count = math.prod(shape)
    first, second = (numbers * count if len(numbers) == 1 else numbers for numbers in (lists[0], lists[1]))
    result = tuple(functions[operator](a, b) for a, b in zip(first, second, strict=True))
    return result if all(abs(number) < _LARGEST for number in result) else None


def _reduce(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    axes = _ints(node, "axis", [0]) if node.operator.startswith("Arg") else _axes(node, inputs, "axes", 1)
    over = {_place(axis, len(shape)) for axis in axes or range(len(shape))}
    if _int(node, "keepdims", 1):
        return _result(tuple(1 if axis in over else extent for axis, extent in enumerate(shape)))
    return _result(tuple(extent for axis, extent in enumerate(shape) if axis not in over))


def _window(node: Node, shape: Shape, kernel: Sequence[int]) -> Shape:
    """Return the extents over which a window of `kernel` moves: of a convolution or pooling."""
    extents = shape[2:]
    rank = len(extents)
    strides = _ints(node, "strides", [1] * rank)
    dilations = _ints(node, "dilations", [1] * rank)
    pads = _ints(node, "pads", [0] * 2 * rank)
    auto = node.attributes.get("auto_pad", "NOTSET")
    if not len(kernel) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank or rank < 1:
        raise ValueError(f"a node {node.operator} does not fit what it reads")
    if min([*strides, *dilations, *kernel]) < 1 or min(pads) < 0:
        raise ValueError(f"a node {node.operator} has a number below 1")
    result = []
    for axis, extent in enumerate(extents):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            result.append(-(-extent // strides[axis]))
            continue
        padded = extent + (0 if auto == "VALID" else pads[axis] + pads[axis + rank])
        rounded = (padded - span) / strides[axis]
        result.append((math.ceil(rounded) if _int(node, "ceil_mode", 0) else math.floor(rounded)) + 1)
    if min(result) < 1:
        raise ValueError(f"a node {node.operator} has a window larger than what it reads")
    return tuple(result)


def _conv(node: Node, inputs: Inputs) -> Result:
    shape, weights = _given(inputs, 0).shape, _given(inputs, 1).shape
    if len(weights) != len(shape) or len(shape) < 3 or _int(node, "group", 1) < 1:
        raise ValueError("a convolution does not fit what it reads")
    spread = _window(node, shape, weights[2:])
    window = math.prod(weights[1:]) * math.prod(spread)
    return _result((shape[0], weights[0], *spread), products=shape[0] * weights[0] * window, scratch=window)


def _conv_transpose(node: Node, inputs: Inputs) -> Result:
    shape, weights = _given(inputs, 0).shape, _given(inputs, 1).shape
    rank, group = len(shape) - 2, _int(node, "group", 1)
    strides, dilations = _ints(node, "strides", [1] * rank), _ints(node, "dilations", [1] * rank)
    more = _ints(node, "output_padding", [0] * rank)
    named = _ints(node, "output_shape")
    if len(weights) != rank + 2 or rank < 1 or not len(strides) == len(dilations) == len(more) == rank or group < 1:
        raise ValueError("a convolution does not fit what it reads")
    # Padding makes it smaller; without it this is the most.
    spread = [
        (extent - 1) * stride + (kernel - 1) * dilation + 1 + added
        for extent, stride, kernel, dilation, added in zip(
            shape[2:], strides, weights[2:], dilations, more, strict=True
        )
    ]
    if min([*strides, *dilations]) < 1 or min([*more, *_ints(node, "pads", [0])]) < 0:
        raise ValueError("a convolution has a number below its range")
    spread = [max(pair) for pair in zip(spread, named[-rank:] or spread, strict=True)]
    pads = _ints(node, "pads", [0] * 2 * rank)
    if not named and node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID") and len(pads) == 2 * rank:
        spread = [extent - pads[axis] - pads[axis + rank] for axis, extent in enumerate(spread)]
    window = math.prod(weights[1:]) * group * math.prod(shape[2:])
    products = math.prod(shape) * math.prod(weights[1:])
    return _result((shape[0], weights[1] * group, *spread), products=products, scratch=window)


def _pool(node: Node, inputs: Inputs) -> Result:
    shape, kernel = _given(inputs, 0).shape, _ints(node, "kernel_shape")
    spread = _window(node, shape, kernel)
    pooled = (*shape[:2], *spread)
    return _result(pooled, products=math.prod(pooled) * math.prod(kernel))


def _global_pool(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    return _result((*shape[:2], *(1 for _ in shape[2:])))


def _matmul(node: Node, inputs: Inputs) -> Result:
    first, second = (_given(inputs, place).shape for place in (0, 1))
    if not first or not second:
        raise ValueError("a product of matrices has a number in place of one")
    rows, columns = first[-2:-1] if len(first) > 1 else (), second[-1:] if len(second) > 1 else ()
    if first[-1] != (second[-2] if len(second) > 1 else second[-1]):
        raise ValueError("matrices do not fit each other")
    shape = (*_broadcast([first[:-2], second[:-2]]), *rows, *columns)
    return _result(shape, products=math.prod(shape) * first[-1])


def _gemm(node: Node, inputs: Inputs) -> Result:
    first, second = (_given(inputs, place).shape for place in (0, 1))
    first = first[::-1] if _int(node, "transA", 0) else first
    second = second[::-1] if _int(node, "transB", 0) else second
    if len(first) != 2 or len(second) != 2 or first[1] != second[0]:
        raise ValueError("matrices do not fit each other")
    return _result((first[0], second[1]), products=first[0] * first[1] * second[1])


def _transpose(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    order = _ints(node, "perm", range(len(shape))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise ValueError("an order of axes does not name each once")
    return _result(tuple(shape[axis] for axis in order))


def _reshape(node: Node, inputs: Inputs) -> Result:
    first, wanted = _given(inputs, 0), _whole(_given(inputs, 1).numbers)
    shape = [
        first.shape[axis] if extent == 0 and not _int(node, "allowzero", 0) else extent
        for axis, extent in enumerate(wanted)
    ]
    if min(shape, default=1) < -1 or shape.count(-1) > 1:
        raise ValueError("a shape has a number below its range")
    if -1 in shape:
        shape[shape.index(-1)] = math.prod(first.shape) // max(1, -math.prod(shape))
    # A shape for several images at once is wrong for one, and cannot hold more than it is given.
    if math.prod(shape) != math.prod(first.shape):
        raise ValueError("a shape does not hold what is given")
    return Result((Value(tuple(shape), first.numbers, of_batch=first.of_batch),))


def _flatten(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    axis = _int(node, "axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return _result((math.prod(shape[:axis]), math.prod(shape[axis:])))


def _squeeze(node: Node, inputs: Inputs) -> Result:
    first = _given(inputs, 0)
    axes = _axes(node, inputs, "axes", 1)
    shape = first.shape
    over = (
        {_place(axis, len(shape)) for axis in axes} if axes is not None else {a for a, e in enumerate(shape) if e == 1}
    )
    if any(shape[axis] != 1 for axis in over):
        raise ValueError("an axis to leave out is longer than 1")
    return Result(
        (Value(tuple(e for a, e in enumerate(shape) if a not in over), first.numbers, of_batch=first.of_batch),)
    )


def _unsqueeze(node: Node, inputs: Inputs) -> Result:
    first = _given(inputs, 0)
    axes = _axes(node, inputs, "axes", 1) or []
    rank = len(first.shape) + len(axes)
    places = {_place(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise ValueError("an axis is added twice")
    rest = iter(first.shape)
    shape = tuple(1 if axis in places else next(rest) for axis in range(rank))
    return Result((Value(shape, first.numbers, of_batch=first.of_batch),))


def _concat(node: Node, inputs: Inputs) -> Result:
    values = [value for value in inputs if value is not None]
    first = values[0].shape
    axis = _place(_int(node, "axis", 0), len(first))
    if any(len(value.shape) != len(first) for value in values):
        raise ValueError("shapes do not fit each other")
    extent = sum(value.shape[axis] for value in values)
    # The other axes have to agree; where they do not, ONNX Runtime refuses it.
    others = [max(value.shape[place] for value in values) for place in range(len(first))]
    shape = tuple(extent if place == axis else others[place] for place in range(len(first)))
    numbers: tuple[float, ...] | None = None
    if len(first) == 1 and extent <= MOST_NUMBERS and all(value.numbers is not None for value in values):
        numbers = tuple(number for value in values for number in value.numbers or ())
    return Result((Value(shape, numbers, of_batch=any(value.of_batch for value in values)),))


def _split(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    axis = _place(_int(node, "axis", 0), len(shape))
    parts = _axes(node, inputs, "split", 1)
    if parts is None:
        parts = [-(-shape[axis] // len(node.outputs))] * len(node.outputs)
    if len(parts) != len(node.outputs) or min(parts) < 0:
        raise ValueError("a split does not fit what it reads")
    return _result(*((*shape[:axis], part, *shape[axis + 1 :]) for part in parts))


def _slice(node: Node, inputs: Inputs) -> Result:
    first = _given(inputs, 0)
    starts, ends = _axes(node, inputs, "starts", 1), _axes(node, inputs, "ends", 2)
    if starts is None or ends is None or len(starts) != len(ends):
        raise ValueError("a slice lacks its ends")
    axes = _axes(node, inputs, "axes", 3) or list(range(len(starts)))
    steps = _axes(node, inputs, "steps", 4) or [1] * len(starts)
    shape = list(first.shape)
    numbers = first.numbers if len(shape) == 1 else None
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = _place(axis, len(shape))
        part = range(shape[axis])[slice(start, None if step < 0 and end < -shape[axis] else end, step)]
        shape[axis] = len(part)
        numbers = tuple(numbers[place] for place in part) if numbers is not None else None
    return Result((Value(tuple(shape), numbers, of_batch=first.of_batch),))


def _gather(node: Node, inputs: Inputs) -> Result:
    first, chosen = _given(inputs, 0), _given(inputs, 1)
    axis = _place(_int(node, "axis", 0), len(first.shape))
    numbers: tuple[float, ...] | None = None
    if len(first.shape) == 1 and first.numbers is not None and chosen.numbers is not None:
        numbers = tuple(first.numbers[place] for place in _whole(chosen.numbers))
    shape = (*first.shape[:axis], *chosen.shape, *first.shape[axis + 1 :])
    return Result((Value(shape, numbers, of_batch=first.of_batch or chosen.of_batch),))


def _tile(node: Node, inputs: Inputs) -> Result:
    shape, repeats = _given(inputs, 0).shape, _given(inputs, 1)
    if repeats.of_batch:
        raise ValueError("a size depends on the number of images")
    counts = _whole(repeats.numbers)
    if len(counts) != len(shape) or min(counts, default=0) < 0:
        raise ValueError("repetitions do not fit what they repeat")
    return _result(tuple(extent * count for extent, count in zip(shape, counts, strict=True)))


def _pad(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    pads = _axes(node, inputs, "pads", 1) or []
    axes = _axes(node, inputs, "axes", 3) or list(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise ValueError("padding does not fit what it reads")
    result = list(shape)
    for place, axis in enumerate(axes):
        result[_place(axis, len(shape))] += pads[place] + pads[place + len(axes)]
    return _result(tuple(max(0, extent) for extent in result))


def _resize(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    values = [value for value in inputs[1:] if value is not None and value.shape not in ((), (0,))]
    scales = node.attributes.get("scales")
    wanted = values[-1] if values and scales is None else None
    if node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("a size is not the one that is named")
    if wanted is None or wanted.of_batch or wanted.numbers is None or len(wanted.numbers) != len(shape):
        raise ValueError("a size depends on the image, or on the number of images")
    if len(inputs) > 3 and wanted is inputs[3]:
        return _result(tuple(_whole(wanted.numbers)))
    return _result(tuple(math.ceil(extent * scale) for extent, scale in zip(shape, wanted.numbers, strict=True)))


def _blocks(node: Node, inputs: Inputs) -> Result:
    """DepthToSpace and SpaceToDepth: the numbers stay, their places change."""
    count, channels, height, width = _given(inputs, 0).shape
    side = _int(node, "blocksize", 0)
    if side < 1:
        raise ValueError("a block has no size")
    if node.operator == "DepthToSpace":
        return _result((count, channels // side**2, height * side, width * side))
    return _result((count, channels * side**2, height // side, width // side))


def _shape(node: Node, inputs: Inputs) -> Result:
    shape = _given(inputs, 0).shape
    shape = shape[_int(node, "start", 0) : _int(node, "end", len(shape))]
    return Result((Value((len(shape),), tuple(shape), of_batch=True),))


def _constant(node: Node, inputs: Inputs) -> Result:
    value = next(iter(node.attributes.values()))
    if isinstance(value, Tensor):
        return Result((of_tensor(value),))
    if isinstance(value, str):
        raise ValueError("a constant is a text")
    numbers: Sequence[float] = [value] if isinstance(value, int | float) else value
    shape = () if isinstance(value, int | float) else (len(numbers),)
    return Result((Value(shape, tuple(numbers) if len(numbers) <= MOST_NUMBERS else None, constant=True),))


def of_tensor(tensor: Tensor) -> Value:
    """Return what is known of a tensor that the model holds.

    Raises:
        ValueError: it names more numbers than it holds.
    """
    count = math.prod(tensor.dims)
    # Formats of 4 bits store two numbers in a byte.
    if min(tensor.dims, default=0) < 0 or count > 2 * tensor.data_bytes:
        raise ValueError("a tensor names more numbers than it holds")
    if not 0 < tensor.kind <= _LAST_KIND or tensor.kind == _TEXTS:
        raise ValueError("a tensor does not hold numbers")
    return Value(tuple(tensor.dims), tensor.numbers, constant=True)


_LAST_KIND, _TEXTS = 30, 8
"""Data types of ONNX: they have numbers from 1, and 8 is text."""

_SAME = (
    "Abs BatchNormalization Cast Ceil Celu Clip DequantizeLinear Dropout Elu Erf Exp Floor Gelu GroupNormalization "
    "HardSigmoid HardSwish Hardmax Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax "
    "LpNormalization MeanVarianceNormalization Mish Neg Not QuantizeLinear Reciprocal Relu Round Selu Sigmoid Sign "
    "Softmax Softplus Softsign Sqrt Swish Tanh ThresholdedRelu"
)
_SPREAD = (
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor"
)
_REDUCE = (
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_SPREAD.split(), _spread),
    **dict.fromkeys(_REDUCE.split(), _reduce),
    "AveragePool": _pool,
    "Concat": _concat,
    "Constant": _constant,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _blocks,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "LpPool": _pool,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "SpaceToDepth": _blocks,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Operator -> rule: all that asl-edge runs."""
