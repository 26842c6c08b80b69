"""A `.keras` file, and the run folder that contains it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from asl_edge.errors import ModelError, RunError
from asl_edge.files import git_lfs
from asl_edge.training.runs.folder import CONFIG_FILE, RunFolder, read_config

if TYPE_CHECKING:
    import keras


def enclosing_run(path: Path) -> RunFolder | None:
    """Return the run that `path` is or belongs to, as best model or checkpoint; None for a file outside any run.

    Raises:
        RunError: `path` is a folder, but not a run.
    """
    if path.is_dir():
        return RunFolder.open(path)
    for folder in (path.absolute().parent, path.absolute().parent.parent):
        if (folder / CONFIG_FILE).is_file():
            try:
                return RunFolder(folder, read_config(folder))
            except RunError:  # some other program's config.json
                return None
    return None


def load_keras_file(path: Path) -> keras.Model:
    """Load a `.keras` file, uncompiled; Keras must be importable (see `asl_edge.training.compute.backend.load_keras`).

    Raises:
        ModelError: it is damaged or not a Keras model.
    """
    import keras

    from asl_edge.training.networks import landmark_layers  # noqa: F401 - lets Keras know them

    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, zipfile and h5py raise all kinds of errors for a damaged file
        if git_lfs.is_pointer_file(path):
            raise ModelError(f"{path} cannot be read: {git_lfs.ADVICE}.") from error
        if _is_of_keras_2(path):
            raise ModelError(
                f"{path} was written by Keras 2, which only the export reads. Export it, and use the .onnx file: "
                f"asl-edge export {path} --out model.onnx --classes A,B,C"
            ) from error
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(f"{path} is damaged or not a Keras model ({reason}).") from error


def _is_of_keras_2(path: Path) -> bool:
    """Whether a `.keras` file says that Keras 2 wrote it, or is the HDF5 file that Keras 2.12 wrote under that name."""
    try:
        with path.open("rb") as file:
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
        return str(metadata["keras_version"]).startswith("2.")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile):
        return False
