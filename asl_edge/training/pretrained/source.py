"""A trained network to start from: what it is and where its weights are, before they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asl_edge.errors import ModelError
from asl_edge.runtime.pretrained import names_pretrained, pretrained_model
from asl_edge.training.runs.keras_file import enclosing_run, open_keras_zip, read_json_member


@dataclass(frozen=True)
class Pretrained:
    """A trained network to start from, and what is known of it."""

    where: str
    """Its name for people."""
    path: Path
    """The file that holds its weights."""
    network: str
    """Name in the registry of networks."""
    classes: tuple[str, ...] | None = None
    """In the order of its outputs; None where they are not recorded."""
    input_size: int | None = None
    fit: str | None = None
    colour: str = "RGB"


def open_pretrained(start_from: str) -> Pretrained:
    """Describe a trained network, without loading its weights.

    Args:
        start_from: a run folder, a `.keras` file or an `.onnx` file that asl-edge exported; `pretrained` is the
            pretrained model.

    Raises:
        ModelError: there is no such file, or it is damaged or of another kind.
        RunError: the run folder is incomplete.
        UserError: the pretrained model is missing.
    """
    if names_pretrained(start_from):
        return _described_by_spec("the pretrained model", pretrained_model())
    path = Path(start_from)
    if not path.exists():
        raise ModelError(f"There is no model at {path} to start from. Name a run folder, a .keras or an .onnx file.")
    if path.is_dir() or path.suffix == ".keras":
        run = enclosing_run(path)
        if run is None:
            return Pretrained(start_from, path, _name_in_keras_file(path))
        weights = run.best_model_path if path.is_dir() else path
        colour = str(run.config.get("colour") or "RGB")
        return Pretrained(start_from, weights, run.network, run.classes, run.input_size, run.fit, colour)
    if path.suffix == ".onnx":
        return _described_by_spec(start_from, path)
    raise ModelError(f"Training cannot start from {path}. Name a run folder, a .keras file or an .onnx file.")


def _described_by_spec(where: str, path: Path) -> Pretrained:
    from asl_edge.runtime.onnx_file.model_file import ModelFile

    file = ModelFile(path)
    spec = file.spec()
    file.read()  # which refuses what asl-edge would not have written
    if spec.precision == "int8":
        raise ModelError(f"{where} holds 8-bit weights, too coarse to train. Start from the run that it was made from.")
    return Pretrained(where, path, spec.network, spec.classes, spec.input_size, spec.fit, spec.colour)


def _name_in_keras_file(path: Path) -> str:
    """Return the name of the network in a `.keras` file outside a run."""
    try:
        with open_keras_zip(path) as archive:
            return str(read_json_member(archive, "config.json")["config"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged or not a Keras model ({error}).") from error
