"""Bundles: one model in several precisions, with golden examples to verify a device.

A bundle is a zip with

    asl-edge-bundle.json    what is in it: models, examples, SHA-256 of every other member, versions that can read it
    models/PRECISION.onnx   the model, the same weights in each precision, its spec inside
    golden/images.npy       uint8 (N, S, S, 3), RGB: the examples
    golden/PRECISION.npy    float32 (N, C): outputs of that precision where it was made
    spec.json, labels.txt, MODEL_CARD.md, LICENSE.txt   for people

Nothing is unpacked to disk, and nothing is run before it has been checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.files.earlier_names import with_current_names
from asl_edge.runtime.bundle.detection import MANIFEST, SUFFIX
from asl_edge.runtime.onnx_file.metadata import reject_other_preprocessing
from asl_edge.runtime.onnx_file.safety import reject_unsafe_model
from asl_edge.spec import METADATA_KEY, ModelSpec

FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
"""Valid names of members: no path out of the zip, no drive, nothing hidden."""
_MOST_MEMBERS = 64
_LARGEST_MANIFEST = 4 * 2**20
_LARGEST = 2 * 2**30
"""Limit of the unpacked size in bytes."""
_LARGEST_RATIO = 200
_CHUNK = 2**20


@dataclass(frozen=True)
class BundledModel:
    """One precision in a bundle."""

    precision: str
    member: str
    target: str | None
    """Target of INT8: `x86`, `arm` or `tensorrt`; None for other precisions."""
    outputs: str
    """The member that holds its golden outputs."""
    tolerance: float
    """Largest difference in a probability that a device may have."""


class Bundle:
    """A bundle, whose members are read and checked on demand.

    Args:
        path: the `.aslz` file.

    Raises:
        ModelError: it is missing, not a bundle, damaged, made for another asl-edge, or has unexpected content.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise ModelError(
                f"{path} is a folder, a bundle is needed. Make one: asl-edge export RUN --bundle {path}{SUFFIX}"
            )
        if not self.path.exists():
            raise ModelError(f"There is no bundle {path}. Make one: asl-edge export RUN --bundle {path}")
        self._zip = self._opened()
        self._sizes = self._checked_members()
        self.manifest = self._manifest()
        self._members: dict[str, dict[str, Any]] = self.manifest["members"]
        self.models = tuple(self._models())

    def read(self, name: str) -> bytes:
        """Return a member's bytes, after checking their length and SHA-256 against the manifest.

        Raises:
            ModelError: there is no such member, or its bytes were changed.
        """
        if name not in self._members:
            raise self._refusal(f"it has no {name}")
        data = self._bytes(name, self._sizes[name])
        if (
            len(data) != self._members[name]["bytes"]
            or hashlib.sha256(data).hexdigest() != self._members[name]["sha256"]
        ):
            raise self._refusal(f"{name} is not what it was when the bundle was made")
        return data

    def model(self, precision: str) -> BundledModel:
        """Return the entry of a precision.

        Raises:
            ModelError: the bundle does not hold it.
        """
        for model in self.models:
            if model.precision == precision:
                return model
        raise ModelError(f"{self.path} holds {', '.join(self.precisions)}. Received: {precision}")

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that it holds."""
        return tuple(model.precision for model in self.models)

    def onnx(self, precision: str) -> tuple[bytes, ModelSpec]:
        """Return the model in one precision, and its spec, inspected before anything of it is run.

        Raises:
            ModelError: the bundle does not hold it, it was changed, or asl-edge does not run models of its kind.
        """
        member = self.model(precision).member
        data = self.read(member)
        facts = reject_unsafe_model(data, f"{member} in {self.path}")
        if METADATA_KEY not in facts.metadata:
            raise self._refusal(f"{member} carries no spec")
        try:
            spec = ModelSpec.from_json(facts.metadata[METADATA_KEY])
        except (ModelError, TypeError) as error:
            raise self._refusal(f"the spec of {member} cannot be used: {error}") from error
        reject_other_preprocessing(spec, f"{member} in {self.path}")
        return data, spec

    def golden(self, precision: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Return the examples and a precision's outputs for them: uint8 (N, S, S, 3), RGB, and float32 (N, C).

        Raises:
            ModelError: they are missing, were changed, or are not such arrays.
        """
        entry = self.model(precision)
        images = self._array(str(self.manifest["golden"]["images"]))
        outputs = self._array(entry.outputs)
        if images.dtype != np.uint8 or images.ndim != 4 or outputs.dtype != np.float32 or outputs.ndim != 2:
            raise self._refusal("its golden examples are not images with outputs")
        if len(images) != len(outputs) or not len(images):
            raise self._refusal(f"it has {len(images)} examples and {len(outputs)} outputs")
        return images, outputs

    def check(self) -> None:
        """Read every member, so that a change of any byte shows.

        Raises:
            ModelError: one was changed.
        """
        for name in self._members:
            self.read(name)

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, NotImplementedError) as error:
            raise self._refusal(f"it is not a bundle, or is damaged ({error})") from error
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read ({error.strerror or error}).") from error

    def _checked_members(self) -> dict[str, int]:
        """Return the members' sizes; refuse members that would leave the zip, or fill the memory."""
        entries = self._zip.infolist()
        if len(entries) > _MOST_MEMBERS:
            raise self._refusal(f"it has {len(entries)} members; a bundle has {_MOST_MEMBERS} at most")
        sizes: dict[str, int] = {}
        for entry in entries:
            name = entry.filename
            mode = entry.external_attr >> 16
            if not _NAME.fullmatch(name) or (mode and (mode & 0o170000) not in (0, 0o100000)):
                raise self._refusal(f"its member {name!r} is not a plain file inside the bundle")
            if name in sizes:
                raise self._refusal(f"it holds {name} twice")
            if entry.flag_bits & 1:
                raise self._refusal(f"{name} is encrypted")
            if entry.file_size > _LARGEST_RATIO * max(entry.compress_size, 1):
                raise self._refusal(
                    f"{name} would unpack to {entry.file_size / max(entry.compress_size, 1):.0f} times its size"
                )
            sizes[name] = entry.file_size
        if sum(sizes.values()) > _LARGEST:
            raise self._refusal(f"it would unpack to {sum(sizes.values()) / 2**30:.1f} GiB")
        if MANIFEST not in sizes:
            raise self._refusal(f"it is not a bundle of asl-edge: it has no {MANIFEST}")
        return sizes

    def _manifest(self) -> dict[str, Any]:
        if self._sizes[MANIFEST] > _LARGEST_MANIFEST:
            raise self._refusal(f"{MANIFEST} is too large")
        try:
            manifest = with_current_names(json.loads(self._bytes(MANIFEST, self._sizes[MANIFEST])))
        except ValueError as error:
            raise self._refusal(f"{MANIFEST} is damaged ({error})") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("members"), dict):
            raise self._refusal(f"{MANIFEST} does not say what is in it")
        if manifest.get("format") != FORMAT:
            raise self._refusal(f"it is a bundle of format {manifest.get('format')}, this asl-edge reads {FORMAT}")
        self._refuse_other_versions(manifest.get("asl_edge"))
        members = manifest["members"]
        listed, present = set(members), set(self._sizes) - {MANIFEST}
        if listed != present:
            raise self._refusal(f"its content and its manifest differ in {', '.join(sorted(listed ^ present))}")
        for name, facts in members.items():
            if (
                not isinstance(facts, dict)
                or not isinstance(facts.get("sha256"), str)
                or facts.get("bytes") != self._sizes[name]
            ):
                raise self._refusal(f"{name} is not what it was when the bundle was made")
        return manifest

    def _refuse_other_versions(self, versions: Any) -> None:
        from asl_edge._version import __version__

        try:
            least, below = str(versions["at_least"]), str(versions["below"])
            fits = _release(least) <= _release(__version__) < _release(below)
        except (TypeError, KeyError, ValueError) as error:
            raise self._refusal(f"{MANIFEST} does not say which asl-edge can read it") from error
        if not fits:
            raise self._refusal(f"it requires asl-edge {least} or newer, below {below}; this is {__version__}")

    def _models(self) -> list[BundledModel]:
        try:
            models = [
                BundledModel(
                    str(entry["precision"]),
                    str(entry["file"]),
                    None if entry.get("target") is None else str(entry["target"]),
                    str(entry["answers"]),
                    float(entry["tolerance"]),
                )
                for entry in self.manifest["models"]
            ]
            str(self.manifest["golden"]["images"])
        except (TypeError, KeyError, ValueError) as error:
            raise self._refusal(f"{MANIFEST} does not describe its models") from error
        if not models or any(model.member not in self._members for model in models):
            raise self._refusal("it lacks a model that it names")
        return models

    def _bytes(self, name: str, size: int) -> bytes:
        """Read a member, but never more than its size in the zip's directory."""
        data = bytearray()
        try:
            with self._zip.open(name) as file:
                while len(data) <= size and (chunk := file.read(_CHUNK)):
                    data += chunk
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise self._refusal(f"{name} is damaged ({error})") from error
        except Exception as error:  # zlib.error and lzma's have no common base
            raise self._refusal(f"{name} is damaged ({error})") from error
        return bytes(data)

    def _array(self, name: str) -> npt.NDArray[Any]:
        try:
            return np.asarray(np.load(io.BytesIO(self.read(name)), allow_pickle=False))
        except (ValueError, EOFError, OSError) as error:
            raise self._refusal(f"{name} is not an array ({error})") from error

    def _refusal(self, reason: str) -> ModelError:
        return ModelError(
            f"{self.path} cannot be used: {reason}. Make it again: asl-edge export RUN --bundle {self.path}"
        )


def _release(version: str) -> tuple[int, ...]:
    """`0.1.0.dev3` becomes (0, 1, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    if match is None:
        raise ValueError(f"{version!r} is not a version")
    parts = [int(part) for part in match[0].split(".")]
    return (*parts, *(0,) * (4 - len(parts)))
