"""Where the nodes of a model run: on the requested provider, or back on the CPU."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asl_edge.errors import AslEdgeError
from asl_edge.runtime.engine import providers
from asl_edge.runtime.model_loading import open_model
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asl_edge.runtime.model_options import ModelChanges


@dataclass(frozen=True)
class Placement:
    """Which providers ran how many nodes of a model, after ONNX Runtime's optimisations."""

    model: str
    precision: str
    requested: str
    nodes: dict[str, int]
    """Our name of a provider -> nodes that ran there, most first."""
    on_cpu: dict[str, int]
    """Operator -> its nodes that ran on the CPU although another provider was requested."""


def placement(
    model: str | os.PathLike[str] | None = None,
    options: ModelOptions | None = None,
    **changes: Unpack[ModelChanges],
) -> Placement:
    """Run a model once and count which of its nodes ran where.

    The counts come from ONNX Runtime's profile of that run, the only way that all of its versions support. A provider
    that takes whole subgraphs (TensorRT, OpenVINO, CoreML, QNN) shows each as one node.

    Args:
        model: an `.onnx` file, a bundle, or None for the pretrained model.
        options: how to open it; None for the defaults.
        changes: fields of the options by name, over those of `options`.

    Raises:
        ModelError, ProviderError: see `open_model`.
        AslEdgeError: ONNX Runtime wrote no profile that could be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, opened = open_model(model, options, profile=Path(folder, "profile"), **changes)
        size = source.spec.input_size
        opened.session.run([OUTPUT_NAME], {INPUT_NAME: np.zeros((1, size, size, 3), np.uint8)})
        file = opened.session.end_profiling()
        try:
            events = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AslEdgeError(f"ONNX Runtime's profile cannot be read ({error}).") from error
    ran: dict[str, tuple[str, str]] = {}
    for event in events:
        facts = event.get("args") if isinstance(event, dict) else None
        if event.get("cat") == "Node" and isinstance(facts, dict) and facts.get("provider"):
            ran[str(event.get("name"))] = providers.our_name(str(facts["provider"])), str(facts.get("op_name", "?"))
    nodes = Counter(where for where, _ in ran.values())
    elsewhere = opened.used[0] != "cpu"
    back = Counter(operator for where, operator in ran.values() if where == "cpu") if elsewhere else Counter()
    return Placement(
        source.name, source.spec.precision, opened.requested, dict(nodes.most_common()), dict(back.most_common())
    )


def in_words(report: Placement) -> str:
    """Return a placement as one line."""
    where = ", ".join(f"{count} on {name}" for name, count in report.nodes.items()) or "none reported"
    name = report.model if report.model.endswith(")") else f"{report.model} ({report.precision})"
    line = f"{name}: {sum(report.nodes.values())} nodes, {where}"
    if report.on_cpu:
        line += f"; on the CPU: {', '.join(f'{count} {name}' for name, count in report.on_cpu.items())}"
    return line
