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
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.files.earlier_names import with_current_names
from asl_edge.files.npy import parse_npy
from asl_edge.files.regular_file import open_regular
from asl_edge.files.strict_json import parse_json
from asl_edge.process.printable import on_one_line
from asl_edge.runtime.bundle.archive import Archive
from asl_edge.runtime.bundle.detection import MANIFEST, SUFFIX
from asl_edge.runtime.onnx_file.metadata import reject_other_preprocessing
from asl_edge.runtime.onnx_file.safety import reject_unsafe_model
from asl_edge.spec import METADATA_KEY, ModelSpec

FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
"""Valid names of members: no path out of the zip, no drive, nothing hidden."""
_MODELS = "models/"
_LARGEST_MANIFEST = 2**20
_LARGEST = 2**31
"""Limit of the unpacked size in bytes."""
_LARGEST_PACKED = 2**27
"""The same of all members that are compressed; models are not, as asl-edge writes them."""
_LARGEST_RATIO = 200
_LARGEST_RATIO_OF_MODELS = 10
_PRECISION = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
        self._archive = self._opened()
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
        data = self._bytes(name)
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
        except ModelError as error:
            raise self._refusal(f"the spec of {member} cannot be used: {error}") from error
        if spec.precision != precision:
            raise self._refusal(f"{member} is in {on_one_line(spec.precision)}")
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

    def _opened(self) -> Archive:
        try:
            file = open_regular(self.path)
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read ({error.strerror or error}).") from error
        try:
            with file:
                return Archive(file)
        except ValueError as error:
            raise self._refusal(f"it is not a bundle, or is damaged: {error}") from error
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read ({error.strerror or error}).") from error

    def _checked_members(self) -> dict[str, int]:
        """Return the members' sizes; refuse members that would leave the zip, or fill the memory."""
        members = self._archive.members.values()
        for member in members:
            if not _NAME.fullmatch(member.name):
                raise self._refusal(f"its member {member.name!r} is not a plain file inside the bundle")
            ratio = member.size / max(member.packed_size, 1)
            if ratio > (_LARGEST_RATIO_OF_MODELS if member.name.startswith(_MODELS) else _LARGEST_RATIO):
                raise self._refusal(f"{member.name} would unpack to {ratio:.0f} times its size")
        packed, whole = (sum(m.size for m in members if m.is_packed or not only) for only in (True, False))
        if packed > _LARGEST_PACKED or whole > _LARGEST:
            raise self._refusal(f"it would unpack to {max(packed, whole) / 2**30:.1f} GiB")
        if MANIFEST not in self._archive.members:
            raise self._refusal(f"it is not a bundle of asl-edge: it has no {MANIFEST}")
        return {member.name: member.size for member in members}

    def _manifest(self) -> dict[str, Any]:
        if self._sizes[MANIFEST] > _LARGEST_MANIFEST:
            raise self._refusal(f"{MANIFEST} is too large")
        try:
            manifest = with_current_names(parse_json(self._bytes(MANIFEST)))
        except ValueError as error:
            raise self._refusal(f"{MANIFEST} is damaged ({error})") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("members"), dict):
            raise self._refusal(f"{MANIFEST} does not say what is in it")
        version = manifest.get("format")
        if not isinstance(version, int) or version != FORMAT:
            raise self._refusal(f"it is a bundle of format {version!a:.20}, this asl-edge reads {FORMAT}")
        self._refuse_other_versions(manifest.get("asl_edge"))
        members = manifest["members"]
        listed, present = set(members), set(self._sizes) - {MANIFEST}
        if listed != present:
            different = on_one_line(", ".join(sorted(listed ^ present)))[:200]
            raise self._refusal(f"its content and its manifest differ in {different}")
        for name, facts in members.items():
            if not isinstance(facts, dict) or facts.get("bytes") != self._sizes[name] or not _is_sha256(facts):
                raise self._refusal(f"{name} is not what it was when the bundle was made")
        return manifest

    def _refuse_other_versions(self, versions: Any) -> None:
        from asl_edge._version import __version__

        try:
            least, below = str(versions["at_least"])[:20], str(versions["below"])[:20]
            fits = _release(least) <= _release(__version__) < _release(below)
        except (TypeError, KeyError, ValueError) as error:
            raise self._refusal(f"{MANIFEST} does not say which asl-edge can read it") from error
        if not fits:
            raise self._refusal(
                f"it requires asl-edge {on_one_line(least)} or newer, below {on_one_line(below)}; this is {__version__}"
            )

    def _models(self) -> list[BundledModel]:
        entries, golden = self.manifest.get("models"), self.manifest.get("golden")
        if not isinstance(entries, list) or not isinstance(golden, dict) or not isinstance(golden.get("images"), str):
            raise self._refusal(f"{MANIFEST} does not describe its models")
        models = [self._model(entry) for entry in entries]
        if not models or any(model.member not in self._members for model in models):
            raise self._refusal("it lacks a model that it names")
        if len({model.precision for model in models}) != len(models):
            raise self._refusal("it names a precision twice")
        return models

    def _model(self, entry: Any) -> BundledModel:
        values = entry if isinstance(entry, dict) else {}
        precision, target, tolerance = (values.get(name) for name in ("precision", "target", "tolerance"))
        member, outputs = values.get("file"), values.get("answers")
        if not (
            isinstance(precision, str)
            and _PRECISION.fullmatch(precision)
            and (target is None or (isinstance(target, str) and _PRECISION.fullmatch(target)))
            and isinstance(member, str)
            and isinstance(outputs, str)
            and isinstance(tolerance, int | float)
            and 0 <= tolerance <= 1
        ):
            raise self._refusal(f"{MANIFEST} does not describe its models")
        if not member.startswith(_MODELS):
            raise self._refusal("a model is not among its models")
        return BundledModel(precision, member, target, outputs, float(tolerance))

    def _bytes(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except ValueError as error:
            raise self._refusal(f"{name} is damaged ({error})") from error
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read ({error.strerror or error}).") from error

    def _array(self, name: str) -> npt.NDArray[Any]:
        content = self.read(name)
        try:
            return parse_npy(content)
        except ValueError as error:
            raise self._refusal(f"{name} is not an array ({error})") from error

    def _refusal(self, reason: str) -> ModelError:
        return ModelError(
            f"{self.path} cannot be used: {reason}. Make it again: asl-edge export RUN --bundle {self.path}"
        )


def _is_sha256(facts: dict[str, Any]) -> bool:
    digest = facts.get("sha256")
    return isinstance(digest, str) and _SHA256.fullmatch(digest) is not None


def _release(version: str) -> tuple[int, ...]:
    """`0.1.0.dev3` becomes (0, 1, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    if match is None:
        raise ValueError(f"{version!r} is not a version")
    parts = [int(part) for part in match[0].split(".")]
    return (*parts, *(0,) * (4 - len(parts)))
