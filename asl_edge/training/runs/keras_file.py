"""A `.keras` file, read by one bounded reader, and the run folder that contains it."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asl_edge.errors import ModelError, RunError
from asl_edge.files import git_lfs
from asl_edge.files.bounded_zip import extract_member, open_zip, read_member
from asl_edge.files.regular_file import open_regular
from asl_edge.training.runs.folder import CONFIG_FILE, RunFolder, read_config

if TYPE_CHECKING:
    import keras

WEIGHTS = "model.weights.h5"
"""The member of a `.keras` file that holds the weights."""

_LARGEST_DIRECTORY = 2**20
_MOST_MEMBERS = 1_000
_LARGEST_JSON = 64 * 2**20
_MOST_EXPANSION, _ALWAYS_ALLOWED = 16, 64 * 2**20
"""Keras stores its members uncompressed; one who zips again gains a tenth. All members together may have 16 times the
size of the file, and 64 MiB in any case."""


@contextlib.contextmanager
def open_keras_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a `.keras` file as the zip that it is, with its list of members and their sizes bounded.

    Raises:
        ValueError: it is not a zip, is damaged, or would unpack to far more than it holds.
        OSError: it is missing, not a regular file, or cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        with open_zip(file, _LARGEST_DIRECTORY, _MOST_MEMBERS) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > max(_MOST_EXPANSION * size, _ALWAYS_ALLOWED):
                raise ValueError(f"its {size / 1e6:.1f} MB would unpack to {unpacked / 1e6:,.0f} MB")
            yield archive


def read_json_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Return what a JSON member of a `.keras` file holds.

    Raises:
        ValueError: it is damaged, too large, or not JSON.
        KeyError: there is no such member.
    """
    member = archive.getinfo(name)
    if member.file_size > _LARGEST_JSON:
        raise ValueError(f"{name} has {member.file_size / 1e6:.0f} MB, {_LARGEST_JSON / 1e6:.0f} at most")
    try:
        return json.loads(read_member(archive, member))
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None


def extract_weights(path: Path, folder: Path) -> Path:
    """Write the weights of a `.keras` file into a folder, under the name by which Keras knows their layout.

    Raises:
        ValueError, OSError: as for `open_keras_zip` and `extract_member`.
        KeyError: there are none.
    """
    weights = folder / WEIGHTS
    with open_keras_zip(path) as archive:
        extract_member(archive, archive.getinfo(WEIGHTS), weights)
    return weights


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
        if zipfile.is_zipfile(path):
            with open_keras_zip(path):  # Keras unpacks it without a limit
                pass
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
        with open_keras_zip(path) as archive:
            metadata = read_json_member(archive, "metadata.json")
        return str(metadata["keras_version"]).startswith("2.")
    except (OSError, ValueError, KeyError, TypeError):
        return False
