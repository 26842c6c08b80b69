"""The model in the box: one that reads hands the minute asl-edge is installed."""

from __future__ import annotations

import os
from pathlib import Path

from asl_edge.errors import ModelError

BOX = "box"
"""The word that names it where a path is expected."""

BOX_FILE = "alexnet-edge-8.onnx"

_FOLDER = Path(__file__).parent.parent / "models"


def box_model() -> Path:
    """Return the path of the model in the box.

    Raises:
        ModelError: it was left out of this installation.
    """
    path = _FOLDER / BOX_FILE
    if not path.is_file():
        raise ModelError(
            f"The model in the box ({path}) is missing from this installation. Install asl-edge again, or name a model "
            "of your own: --model model.onnx"
        )
    return path


def resolve(model: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """Return `model`, or the path of the model in the box for None and for `box` (where no file has that name)."""
    if model is None or (os.fspath(model) == BOX and not Path(model).exists()):
        return box_model()
    return model
