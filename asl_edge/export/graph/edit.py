"""Editing an ONNX graph in memory: initializers, constant folding, shapes and readable names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asl_edge.export.graph.toolchain import load

if TYPE_CHECKING:
    import onnx

_RANDOM = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)

_SHAPE_SIZES = 16  # a shape has at most so many dimensions
_LAYOUT = frozenset(("Transpose", "Reshape", "Squeeze", "Unsqueeze"))


def inputs_to_initializers(model: onnx.ModelProto, weights: Mapping[str, tuple[str, Any]]) -> None:
    """Turn graph inputs into initializers.

    Args:
        model: changed in place.
        weights: input name -> (name of the initializer, its array). Inputs that are neither here nor used by any node
            are removed as well.
    """
    onnx = load("onnx")
    graph = model.graph
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    rename(graph, {old: new for old, (new, _) in weights.items()})
    for old, (new, array) in weights.items():
        if old in used:
            graph.initializer.append(onnx.numpy_helper.from_array(array, new))
    stored = {new for new, _ in weights.values()}
    kept = [value for value in graph.input if value.name not in stored and value.name in used]
    del graph.input[:]
    graph.input.extend(kept)


def fold_constants(model: onnx.ModelProto) -> None:
    """Compute every node whose inputs are all constant, and store its result instead.

    Exact: these are the values that ONNX Runtime would compute when it loads the file, in the same float32 arithmetic.
    Nodes whose result would be larger than their inputs (a broadcast) are left alone.
    """
    onnx = load("onnx")
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    folded: dict[str, Any] = {}
    new_names: dict[str, str] = {}
    kept = []
    for node in graph.node:  # ONNX keeps nodes in topological order
        result = _value_of(node, constants, model)
        if result is None:
            kept.append(node)
            continue
        source, name = node.input[0] if node.input else "", node.output[0]
        folded[name] = constants[name] = onnx.numpy_helper.from_array(result, name)
        if node.op_type in _LAYOUT and uses[source] == 1:
            # The same weight in another layout keeps the name of the weight.
            new_names[name] = new_names.pop(source, source)
            folded.pop(source, None)
    if folded:
        survivors = [tensor for tensor in graph.initializer if tensor.name not in new_names.values()]
        for values, replacement in ((graph.node, kept), (graph.initializer, [*survivors, *folded.values()])):
            del values[:]
            values.extend(replacement)
        rename(graph, new_names)
    drop_unused(model)


def fix_shapes(model: onnx.ModelProto) -> None:
    """Give every Reshape that computes its shape at run time a constant shape, where only one dimension is unknown.

    Exact: the unknown dimension becomes -1, which ONNX infers. Keras's Flatten is such a Reshape.
    """
    onnx = load("onnx")
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inferred = infer(model)
    shapes = {
        value.name: value.type.tensor_type.shape for value in inferred.value_info if value.type.HasField("tensor_type")
    }
    for node in graph.node:
        shape = shapes.get(node.output[0])
        if node.op_type != "Reshape" or node.input[1] in constants or shape is None:
            continue
        sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in shape.dim]
        if sizes and sizes.count(-1) <= 1 and 0 not in sizes:
            name = f"{node.output[0]}_shape"
            graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(sizes)], sizes))
            node.input[1] = name
    drop_unused(model)


def without_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model without its initializers, which are nearly all of its bytes."""
    onnx = load("onnx")
    graph = onnx.helper.make_graph([], model.graph.name, model.graph.input, model.graph.output)
    graph.node.extend(model.graph.node)
    copy = onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    copy.producer_name, copy.producer_version = model.producer_name, model.producer_version
    copy.doc_string = model.doc_string
    copy.metadata_props.extend(model.metadata_props)
    return copy


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model with its weights."""
    copy = load("onnx").ModelProto()
    copy.CopyFrom(model)
    return copy


def infer(model: onnx.ModelProto) -> onnx.GraphProto:
    """Infer the types and shapes of all tensors, without copying the weights.

    Returns:
        A graph without the large initializers, `value_info` filled in.
    """
    onnx = load("onnx")
    light = without_initializers(model)
    for tensor in model.graph.initializer:
        if len(tensor.dims) <= 1 and sum(tensor.dims) <= _SHAPE_SIZES:  # it may be a shape, whose values matter
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.shape_inference.infer_shapes(light, strict_mode=True, data_prop=True).graph


def shapes_of(model: onnx.ModelProto, *, of_type: int | None = None) -> dict[str, list[int | None]]:
    """Return the inferred shapes of a graph's tensors, None for dynamic dimensions; only of element type `of_type`."""
    known = infer(model)
    return {
        value.name: [
            size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
        ]
        for value in (*known.value_info, *known.input, *known.output)
        if value.type.tensor_type.HasField("shape") and of_type in (None, value.type.tensor_type.elem_type)
    }


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as plain values."""
    return {item.name: load("onnx").helper.get_attribute_value(item) for item in node.attribute}


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return one attribute of a node as a plain value, or `default` where it has none of that name."""
    return attributes(node).get(name, default)


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> bytes:
    """Return a model as bytes, with more float32 tensors as outputs."""
    onnx = load("onnx")
    present = {value.name for value in model.graph.output}
    graph = onnx.GraphProto()
    graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names if name not in present
    )
    # Concatenated protobuf messages are merged, so more outputs need no copy of the weights.
    return bytes(model.SerializeToString() + onnx.ModelProto(graph=graph).SerializeToString())


def drop_unused(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> None:
    """Remove nodes and initializers whose results nothing reads, except for the tensors in `keep`."""
    graph = model.graph
    used = {value.name for value in graph.output} | set(keep)
    kept_nodes = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            kept_nodes.append(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    for values, replacement in ((graph.node, kept_nodes[::-1]), (graph.initializer, kept)):
        if len(replacement) < len(values):
            del values[:]
            values.extend(replacement)


def tidy_names(model: onnx.ModelProto, *, keep: Collection[str], layers: Collection[str] = ()) -> None:
    """Give nodes, tensors and initializers names that say which layer they belong to, such as `conv1/bias`.

    Args:
        model: changed in place.
        keep: tensor names that stay as they are.
        layers: names of the Keras model and its layers. The first, the model's own, is dropped where it comes first;
            the number that TensorFlow appends to a layer that is called again is dropped as well.
    """
    graph = model.graph
    kept = set(keep)
    names = {name: _tidy(name, list(layers)) for name in _tensor_names(graph) if name not in kept}
    stored = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        scope = names.get(node.output[0], node.output[0]).rpartition("/")[0]
        for index, name in enumerate(node.input):
            role = _role(node, index)
            if name in stored and role and scope:
                names[name] = f"{scope}/{role}"
                stored.discard(name)  # a constant that several nodes share is named after the first of them
    used = set(kept)
    for old, base in names.items():
        name, again = base, 1
        while name in used:
            again += 1
            name = f"{base}_{again}"
        used.add(name)
        names[old] = name
    rename(graph, names)
    for node in graph.node:
        node.name = node.output[0]


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors wherever they occur: inputs, outputs, initializers and nodes."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in values:
            value.name = names.get(value.name, value.name)


def _value_of(node: onnx.NodeProto, constants: Mapping[str, Any], model: onnx.ModelProto) -> Any:
    """Return the result of a node with constant inputs, or None when it must not be folded."""
    onnx = load("onnx")
    inputs = [name for name in node.input if name]
    if node.domain not in ("", "ai.onnx") or node.op_type in _RANDOM or len(node.output) != 1:
        return None
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return None
    if any(name not in constants for name in inputs):
        return None
    arrays = {name: onnx.numpy_helper.to_array(constants[name]) for name in inputs}
    if node.op_type == "Transpose":  # the only fold that moves megabytes: no detour through the evaluator
        permutation = next((list(item.ints) for item in node.attribute if item.name == "perm"), None)
        return arrays[inputs[0]].transpose(permutation).copy()
    from onnx.reference import ReferenceEvaluator

    values = [onnx.helper.make_tensor_value_info(name, constants[name].data_type, None) for name in arrays]
    result_type = onnx.helper.make_empty_tensor_value_info(node.output[0])
    graph = onnx.helper.make_graph([node], "constant", values, [result_type])
    alone = onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    result = ReferenceEvaluator(alone).run(None, arrays)[0]
    return result if result.nbytes <= max(1024, sum(array.nbytes for array in arrays.values())) else None


def _tensor_names(graph: onnx.GraphProto) -> list[str]:
    names = [tensor.name for tensor in graph.initializer]
    names += [name for node in graph.node for name in (*node.input, *node.output) if name]
    return list(dict.fromkeys(names))


def _tidy(name: str, layers: list[str]) -> str:
    """`alexnet_1/norm1_1/batchnorm/mul_1:0` becomes `norm1/batchnorm/mul_1`."""
    # tf2onnx numbers what it adds across all conversions of a process; the same network must get the same names.
    parts = re.sub(r"__\d+$", "/input", re.sub(r":0$", "", name)).split("/")
    for index, part in enumerate(parts[:-1]):
        again = re.fullmatch(r"(.+)_\d+", part)
        if again and again[1] in layers and part not in layers:
            parts[index] = again[1]
    if len(parts) > 1 and layers and parts[0] == layers[0]:
        del parts[0]
    return "/".join(parts)


def _role(node: onnx.NodeProto, index: int) -> str:
    """Return the role of a constant for the node that reads it."""
    if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return ("", "kernel", "bias")[index]
    if node.op_type == "Add":
        return "bias" if "BiasAdd" in node.output[0] else "shift"
    return {"Mul": "scale", "Reshape": "shape"}.get(node.op_type, "")


def drop_unused_domains(model: onnx.ModelProto) -> None:
    """Leave out, in place, the operator sets of domains that no node is of; tf2onnx names one that it never uses."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [type(entry).FromString(entry.SerializeToString()) for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
