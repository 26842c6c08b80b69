"""The folder of a hand model, as `asl-edge data hand-model` makes it: where it is, what it holds, and opening it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from asl_edge.errors import ModelError
from asl_edge.files.cache_dir import cache_dir
from asl_edge.files.regular_file import read_regular
from asl_edge.files.strict_json import read_json
from asl_edge.runtime.engine.session import OpenRequest, open_session
from asl_edge.runtime.hand_model.hand_finder import HandFinder
from asl_edge.runtime.onnx_file.safety import reject_unsafe_model

PALM_FILE, HAND_FILE, ABOUT_FILE = "palm.onnx", "hand.onnx", "hand-model.json"
LICENSE_FILE, NOTICE_FILE = "LICENSE", "NOTICE"
FILES = (PALM_FILE, HAND_FILE, LICENSE_FILE, NOTICE_FILE, ABOUT_FILE)
"""Everything in the folder; the last one is written last."""

DEFAULT = "default"
"""The word that means the folder where `asl-edge data hand-model` puts it; `./default` always means the path."""

VERSION = 1
"""Of the folder: the names of its files, and of the networks' inputs and outputs."""

_LARGEST_ABOUT = 2**16
_LARGEST_NETWORK = 2**26
_MAKE_IT = "Make it: asl-edge data hand-model"


def default_folder() -> Path:
    """Return where `asl-edge data hand-model` puts the hand model: in the user's cache."""
    return cache_dir("hand-model")


def is_hand_model(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the folder of a hand model."""
    return os.path.isfile(os.path.join(path, ABOUT_FILE))  # noqa: PTH113, PTH118 - any text may be a word


def open_hand_finder(folder: str | os.PathLike[str], *, threads: int | None = None, workers: int = 1) -> HandFinder:
    """Open the two networks, on the CPU.

    Args:
        folder: the folder, or `DEFAULT`.
        threads: threads within one operator; None for one per core.
        workers: images that are searched side by side; without `threads` they share the cores.

    Raises:
        ModelError: there is no hand model, a file is damaged, or it was made by another version.
        MissingPackageError: ONNX Runtime is not installed.
    """
    path = default_folder() if os.fspath(folder) == DEFAULT else Path(folder)
    checksums = _checksums(path)
    request = OpenRequest(provider="cpu", threads=threads, workers=workers)
    palm, hand = (
        open_session(_content(path / name, checksums.get(name)), request).session for name in (PALM_FILE, HAND_FILE)
    )
    return HandFinder(palm, hand)


def _checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each network, as the folder says."""
    path = folder / ABOUT_FILE
    try:
        about = read_json(path, _LARGEST_ABOUT)
        if not isinstance(about, dict) or about["version"] != VERSION:
            raise ModelError(f"{folder} was made by another version of asl-edge. {_MAKE_IT} --overwrite")
        return {str(name): str(value) for name, value in dict(about["sha256"]).items()}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"{folder} holds no hand model ({ABOUT_FILE} is missing). {_MAKE_IT}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error}). {_MAKE_IT} --overwrite") from error


def _content(path: Path, checksum: str | None) -> bytes:
    """Return the content of a network, checked."""
    try:
        content = read_regular(path, _LARGEST_NETWORK)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}). {_MAKE_IT} --overwrite") from error
    except ValueError as error:
        raise ModelError(f"{path} is not of a hand model: {error}. {_MAKE_IT} --overwrite") from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ModelError(f"{path} is damaged: its SHA-256 is not that in {ABOUT_FILE}. {_MAKE_IT} --overwrite")
    reject_unsafe_model(content, os.fspath(path))
    return content
