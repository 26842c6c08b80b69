"""The pretrained model that ships with the package."""

from __future__ import annotations

import os
from pathlib import Path

from asl_edge.errors import ModelError

PRETRAINED = "pretrained"
"""The word that names it where a path is expected."""
_EARLIER_NAME = "box"
"""What earlier versions called it; accepted for one release."""

MODEL_FILE = "alexnet-edge-8-landmarks.onnx"

_RUN_MODEL = "best.keras"
"""The file that makes a folder a run folder."""

_FOLDER = Path(__file__).parent.parent / "models"


def pretrained_model() -> Path:
    """Return the path of the pretrained model.

    Raises:
        ModelError: it was left out of this installation.
    """
    path = _FOLDER / MODEL_FILE
    if not path.is_file():
        raise ModelError(
            f"The pretrained model ({path}) is missing from this installation. Install asl-edge again, or name a model "
            "of your own: --model model.onnx"
        )
    return path


def resolve(model: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """Return `model`, or the path of the pretrained model for None and for the word `pretrained`."""
    return pretrained_model() if model is None or is_pretrained(model) else model


def is_pretrained(model: str | os.PathLike[str]) -> bool:
    """Whether `model` is the word that names the pretrained model; a file or run folder of that name goes first.

    Other folders do not: this repository has one called `pretrained`. `./pretrained` always means the path.
    """
    path = Path(model)
    return names_pretrained(os.fspath(model)) and not (path.is_file() or (path / _RUN_MODEL).exists())


def names_pretrained(word: str) -> bool:
    """Whether a word names the pretrained model, whatever files there are."""
    return word in (PRETRAINED, _EARLIER_NAME)


def ships_with_package(path: Path) -> bool:
    """Whether an absolute path is that of the pretrained model in this installation."""
    return path == _FOLDER / MODEL_FILE


def shown_name(model: str) -> str:
    """Return how a table names a model: `pretrained` for the file that ships with the package, else its path."""
    return PRETRAINED if ships_with_package(Path(model)) else model
