"""Compare an exported file again with the model that it was made from."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import ModelError, ParityError
from asl_edge.export.build import parity_of
from asl_edge.export.graph.toolchain import load
from asl_edge.export.parity import OutOfToleranceError, ParityReport, tolerances_for
from asl_edge.export.parity_images import parity_images
from asl_edge.export.source.keras_to_onnx import check
from asl_edge.export.source.open_source import Described, Source, open_source
from asl_edge.files.regular_file import read_regular
from asl_edge.runtime.onnx_file.metadata import LARGEST_MODEL
from asl_edge.runtime.pretrained import resolve
from asl_edge.runtime.zoom import zoom_from_dict
from asl_edge.spec import FEATURES_NAME, HAND_NAME, INPUT_NAME, LANDMARKS_NAME, MAPS_NAME, OUTPUT_NAME, ModelSpec
from asl_edge.training.runs.keras_file import enclosing_run

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Verification:
    """A model that agrees with its source."""

    model_path: Path
    spec: ModelSpec
    parity: ParityReport
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "model_path": str(self.model_path),
            "spec": asdict(self.spec),
            "parity": self.parity.to_dict(),
            "notes": list(self.notes),
        }


def verify(
    model: str | os.PathLike[str],
    against: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
) -> Verification:
    """Compare an exported file with a run, a `.keras` file or the tutorial's pair, within its precision's tolerances.

    Args:
        model: the `.onnx` file.
        against: as `source` for `asl_edge.export.export.export_run`.
        data: real images for the comparison; the run's own by default.
        described: what is known about a model outside a run; what is not given is taken from the file's own spec.

    Raises:
        ParityError: the file has other classes, another input or other outputs (`OutOfToleranceError`).
        ModelError, RunError, DataError, MissingPackageError: a part cannot be read or is missing.
    """
    path = Path(model)
    graph, spec = read_model(path)
    tolerances_for(spec.precision)
    source = open_source(against, _completed(described or Described(), spec, Path(against)))
    _refuse_differences(path, graph, spec, source)
    images = parity_images(source, data)
    parity = parity_of(source, graph, images, spec.precision, spec.temperature)
    if not parity.passed:
        raise OutOfToleranceError(f"{path} does not agree with {against}. {' '.join(parity.failures)}", parity)
    return Verification(path, spec, parity, source.notes + images.notes)


def read_model(path: Path) -> tuple[onnx.ModelProto, ModelSpec]:
    """Read an exported file and the spec inside.

    Raises:
        ModelError: it is missing, damaged, not valid ONNX, or carries no spec.
    """
    onnx = load("onnx")
    try:
        graph = onnx.load_model_from_string(read_regular(path, LARGEST_MODEL))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # protobuf's DecodeError has moved between its releases
        raise ModelError(f"{path} is damaged or not an ONNX file ({error}).") from error
    if not graph.graph.node:
        raise ModelError(f"{path} is damaged or not an ONNX file: it has no graph.")
    check(graph)
    return graph, ModelSpec.from_metadata({entry.key: entry.value for entry in graph.metadata_props})


def _completed(described: Described, spec: ModelSpec, against: Path) -> Described:
    """Fill in what a model outside a run does not say, from the spec of the file that was made from it."""
    if against.suffix == ".onnx" or resolve(against) != against or enclosing_run(against) is not None:
        return described  # these carry their own
    return replace(
        described,
        classes=described.classes or spec.classes,
        fit=described.fit or spec.fit,
        colour=described.colour or spec.colour,
    )


def _refuse_differences(path: Path, graph: onnx.ModelProto, spec: ModelSpec, source: Source) -> None:
    pairs = (
        ("classes", ",".join(spec.classes), ",".join(source.classes)),
        ("input size", spec.input_size, source.input_size),
        ("fit", spec.fit, source.fit),
        ("colour order", spec.colour, source.colour),
    )
    differences = [
        f"{name} is {here} in the file and {there} in the source" for name, here, there in pairs if here != there
    ]
    types = load("onnx").TensorProto
    outputs = [(OUTPUT_NAME, types.FLOAT, [len(spec.classes)])]
    if spec.landmarks is not None:
        outputs += [(LANDMARKS_NAME, types.FLOAT, [spec.landmarks, 3]), (HAND_NAME, types.FLOAT, [2])]
    if spec.features is not None:
        outputs.append((FEATURES_NAME, types.FLOAT, [spec.features]))
    if spec.zoom and MAPS_NAME in zoom_from_dict(spec.zoom).outputs:
        outputs.append((MAPS_NAME, types.FLOAT, [len(spec.classes), 0, 0]))
    specified = (
        (graph.graph.input, INPUT_NAME, [(INPUT_NAME, types.UINT8, [spec.input_size, spec.input_size, 3])]),
        (graph.graph.output, OUTPUT_NAME, outputs),
    )
    for values, name, wanted in specified:
        actual = [
            (v.name, v.type.tensor_type.elem_type, [d.dim_value for d in v.type.tensor_type.shape.dim][1:])
            for v in values
        ]
        if actual != wanted:
            differences.append(f"the graph's {name} is {actual}, which contradicts its spec")
    if differences:
        raise ParityError(f"{path} was not made from {source.path}: {'; '.join(differences)}.")
