"""Exact graph optimisation: fewer nodes, the same function, compared after every pass."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ParityError
from asl_edge.export.graph.edit import drop_unused, fold_constants, tidy_names
from asl_edge.export.graph.logits import onnx_outputs
from asl_edge.export.graph.toolchain import load
from asl_edge.export.passes.fold_affine import fold_affine

if TYPE_CHECKING:
    import onnx

_COMPARED = 32
"""Number of images that every pass is compared on; the finished file is compared on all of them."""
_LIMIT = 1e-4
"""Largest difference of a logit, relative to the largest logit: a tenth of what float32 files are held to."""


@dataclass(frozen=True)
class PassReport:
    """What one pass did."""

    name: str
    nodes_before: int
    nodes_after: int
    max_logit_relative: float
    """Largest difference of a logit to the graph before the pass, as a share of the largest logit."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)


def optimize(
    model: onnx.ModelProto, images: npt.NDArray[np.uint8], *, keep: Collection[str] = ()
) -> tuple[PassReport, ...]:
    """Optimise a float32 graph, and verify each step.

    Constants are computed; multiplications, additions and batch normalisations by constants are folded into adjacent
    weights (see `asl_edge.export.passes.fold_affine`); images change their layout as bytes, not as floats.

    Args:
        model: as `asl_edge.export.source.keras_to_onnx.to_onnx` makes it; changed in place.
        images: uint8 (N, S, S, 3), to compare on.
        keep: tensors, besides the graph's outputs, that must keep their values.

    Returns:
        A report of each pass that changed something.

    Raises:
        ParityError: a pass changed the outputs, which is a fault in asl-edge; the message names `--no-optimize`.
        ModelError: the probabilities are not made by a Softmax, or ONNX Runtime cannot run the model.
    """
    sample = images[:_COMPARED]
    passes: dict[str, Callable[[onnx.ModelProto], object]] = {
        "compute constants": fold_constants,
        "drop identities": drop_identities,
        "fold scale and shift into weights": lambda graph: fold_affine(graph, keep=keep),
        "transpose bytes": layout_before_cast,
    }
    reports = []
    before = onnx_outputs(model, sample).logits
    for name, run in passes.items():
        nodes, text = len(model.graph.node), _skeleton(model)
        run(model)
        if _skeleton(model) == text:
            continue
        after = onnx_outputs(model, sample).logits
        largest = max(float(np.abs(before).max()), float(np.finfo(np.float32).tiny))
        difference = float(np.abs(after - before).max()) / largest
        if not difference < _LIMIT:
            raise ParityError(
                f"Optimising the graph changed its outputs: after the pass {name!r} a logit differs by "
                f"{difference:.2g} of the largest one. Export with --no-optimize, and report this network."
            )
        reports.append(PassReport(name, nodes, len(model.graph.node), difference))
        before = after
    tidy_names(model, keep={*keep, *(value.name for value in (*model.graph.input, *model.graph.output))})
    return tuple(reports)


def drop_identities(model: onnx.ModelProto) -> None:
    """Remove nodes that return their input, except for those that make an output of the graph."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    other: dict[str, str] = {}
    kept = []
    for node in graph.node:  # ONNX keeps nodes in topological order
        for place, name in enumerate(node.input):
            node.input[place] = other.get(name, name)
        passes_on = node.op_type == "Identity" or (node.op_type == "Dropout" and len(node.input) < 3)
        if passes_on and node.domain in ("", "ai.onnx") and len(node.output) == 1 and node.output[0] not in outputs:
            other[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    if other:
        copies = [type(node).FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)
        drop_unused(model)


def layout_before_cast(model: onnx.ModelProto) -> None:
    """Move a Transpose from behind the Cast of the images to before it, where it moves a quarter of the bytes."""
    types = load("onnx").TensorProto
    graph = model.graph
    inputs = {value.name for value in graph.input if value.type.tensor_type.elem_type == types.UINT8}
    outputs = {value.name for value in graph.output}
    for cast in graph.node:
        if cast.op_type != "Cast" or cast.input[0] not in inputs:
            continue
        readers = [node for node in graph.node if cast.output[0] in node.input]
        if len(readers) != 1 or readers[0].op_type != "Transpose" or cast.output[0] in outputs:
            continue
        transpose = readers[0]
        if transpose.output[0] in outputs:
            continue
        # Each node keeps its position and takes over the other's operation; the tensor between them holds bytes now.
        moved = [type(node).FromString(node.SerializeToString()) for node in (transpose, cast)]
        for node, work in zip((cast, transpose), moved, strict=True):
            node.op_type = work.op_type
            del node.attribute[:]
            node.attribute.extend(work.attribute)
        between = f"{cast.input[0]}/planes"
        cast.output[0] = cast.name = transpose.input[0] = between


def _skeleton(model: onnx.ModelProto) -> bytes:
    """Return everything but the weights: no pass changes the weights alone."""
    return b"".join(node.SerializeToString(deterministic=True) for node in model.graph.node)
