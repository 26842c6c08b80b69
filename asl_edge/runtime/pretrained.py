"""The pretrained models that ship with the package, by name."""

from __future__ import annotations

import os
from pathlib import Path

from asl_edge.errors import ModelError

PRETRAINED = "pretrained"
"""The word that names the usual one where a path is expected."""
PERMISSIVE = "permissive"
"""The word that names the one whose images all have a stated permissive licence."""
_EARLIER_NAME = "box"
"""What earlier versions called the usual one; accepted for one release."""

MODEL_FILE = "alexnet-edge-8-landmarks.onnx"
PERMISSIVE_FILE = "alexnet-edge-8-landmarks-permissive.onnx"

_RUN_MODEL = "best.keras"
"""The file that makes a folder a run folder."""

_FOLDER = Path(__file__).parent.parent / "models"


def _files() -> dict[str, str]:
    return {PRETRAINED: MODEL_FILE, _EARLIER_NAME: MODEL_FILE, PERMISSIVE: PERMISSIVE_FILE}


def pretrained_model(name: str = PRETRAINED) -> Path:
    """Return the path of a pretrained model.

    Args:
        name: `pretrained` or `permissive`.

    Raises:
        ModelError: it was left out of this installation.
    """
    path = _FOLDER / _files()[name]
    if not path.is_file():
        raise ModelError(
            f"The pretrained model ({path}) is missing from this installation. Install asl-edge again, or name a model "
            "of your own: --model model.onnx"
        )
    return path


def resolve(model: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """Return `model`, or the path of the pretrained model for None and for a word that names one."""
    if model is None:
        return pretrained_model()
    return pretrained_model(os.fspath(model)) if is_pretrained(model) else model


def is_pretrained(model: str | os.PathLike[str]) -> bool:
    """Whether `model` is a word that names a pretrained model; a file or run folder of that name goes first.

    Other folders do not: this repository has one called `pretrained`. `./pretrained` always means the path.
    """
    path = Path(model)
    return names_pretrained(os.fspath(model)) and not (path.is_file() or (path / _RUN_MODEL).exists())


def names_pretrained(word: str) -> bool:
    """Whether a word names a pretrained model, whatever files there are."""
    return word in _files()


def ships_with_package(path: Path) -> bool:
    """Whether an absolute path is that of a pretrained model in this installation."""
    return path.parent == _FOLDER and path.name in _files().values()


def shown_name(model: str) -> str:
    """Return how a table names a model: by its word where it ships with the package, else by its path."""
    path = Path(model)
    if not ships_with_package(path):
        return model
    return PERMISSIVE if path.name == _files()[PERMISSIVE] else PRETRAINED
