"""Reads a model file's metadata, without ONNX Runtime and without loading its weights."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asl_edge.errors import ModelError
from asl_edge.files import git_lfs
from asl_edge.files.regular_file import open_regular
from asl_edge.imaging.preprocess import PREPROCESS_VERSION
from asl_edge.process.printable import on_one_line
from asl_edge.runtime.onnx_file.protobuf import Budget, fields, text
from asl_edge.spec import FEATURES_NAME, HAND_NAME, INPUT_NAME, LANDMARKS_NAME, MAPS_NAME, OUTPUT_NAME, ModelSpec

# ModelProto in onnx.proto: ir_version = 1, graph = 7, metadata_props = 14 (StringStringEntryProto: key = 1, value = 2).
LARGEST_MODEL = 2**30
"""Most bytes of a model file."""

_IR_VERSION, _GRAPH, _METADATA, _KEY, _VALUE = 1, 7, 14, 1, 2
_MOST_LISTED = 8
_MAX_METADATA_BYTES = 16 * 2**20


def read_spec(path: str | os.PathLike[str]) -> ModelSpec:
    """Read the spec of an `.onnx` file; takes about a millisecond, whatever the size of the model.

    Raises:
        ModelError: there is no such file, it is not an ONNX file, or it has no spec that this asl-edge can use.
    """
    return spec_of(read_metadata(path), os.fspath(path))


def spec_of(metadata: Mapping[str, str], name: str) -> ModelSpec:
    """Return the spec in a model's metadata.

    Args:
        metadata: keys and values.
        name: name of the model in messages.

    Raises:
        ModelError: there is none that this asl-edge can use.
    """
    try:
        spec = ModelSpec.from_metadata(metadata)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    reject_other_preprocessing(spec, name)
    return spec


def reject_other_preprocessing(spec: ModelSpec, name: str) -> None:
    """Refuse a model that was trained with another version of the image preprocessing.

    Raises:
        ModelError: it was; the message begins with `name`.
    """
    if spec.preprocess_version != PREPROCESS_VERSION:
        raise ModelError(
            f"{name}: the model requires images prepared by version {spec.preprocess_version} of the preprocessing, "
            f"this asl-edge has version {PREPROCESS_VERSION}. "
            + (
                "Upgrade asl-edge."
                if spec.preprocess_version > PREPROCESS_VERSION
                else "Train and export the model again."
            )
        )


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the metadata entries of an `.onnx` file, skipping over its graph.

    Raises:
        ModelError: there is no such file, or it is not an ONNX file; the message says what it seems to be instead.
    """
    file_path = Path(path)
    _refuse_folder_or_missing(file_path)
    try:
        with open_regular(file_path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ValueError("the file is empty")
            if size > LARGEST_MODEL:
                raise ValueError(f"it has {size / 2**30:.1f} GiB, more than {LARGEST_MODEL / 2**30:.0f}")
            # Not closed explicitly: that happens with its last view.
            return _metadata_of(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise ModelError(f"{path} is not an ONNX model, or is damaged: {error}. {_advice(file_path)}") from error


def check_signature(path: str, spec: ModelSpec, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Check a session's inputs and outputs against the spec and the contract of asl-edge models.

    The contract: one input `image`, uint8 of shape (N, size, size, 3) with N variable, an output `probabilities`,
    float32 of shape (N, number of classes), and where the spec says so `features`, float32 of shape (N, F),
    `class_maps`, float32 of shape (N, number of classes, rows, columns), `landmarks`, float32 of shape (N, 21, 3), and
    `hand`, float32 of shape (N, 2).

    Raises:
        ModelError: they do not fit; the message says what was expected and what the model has.
    """
    size, classes = spec.input_size, len(spec.classes)
    expected = f"uint8 (N, {size}, {size}, 3)"
    actual = _listed(inputs)
    image = next((item for item in inputs if item.name == INPUT_NAME), None)
    if (
        len(inputs) != 1
        or image is None
        or image.type != "tensor(uint8)"
        or len(image.shape) != 4
        or isinstance(image.shape[0], int)
        or list(image.shape[1:]) != [size, size, 3]
    ):
        raise ModelError(
            f"{path}: the model's input must be {INPUT_NAME}: {expected} with N variable. It has {actual}. "
            "Export it again with `asl-edge export`."
        )
    actual = _listed(outputs)
    output = next((item for item in outputs if item.name == OUTPUT_NAME), None)
    # The last axis may be symbolic after graph surgery; its length shows in the first run then.
    if (
        output is None
        or output.type != "tensor(float)"
        or len(output.shape) != 2
        or (isinstance(output.shape[1], int) and output.shape[1] != classes)
    ):
        raise ModelError(
            f"{path}: the model's output must be {OUTPUT_NAME}: float (N, {classes}), one column for each of the "
            f"spec's classes. It has {actual}. Export it again with `asl-edge export`."
        )
    others = {FEATURES_NAME: [spec.features]} if spec.features is not None else {}
    others |= {MAPS_NAME: [classes, 0, 0]} if spec.zoom else {}
    others |= {LANDMARKS_NAME: [spec.landmarks, 3], HAND_NAME: [2]} if spec.landmarks is not None else {}
    for name, wanted in others.items():
        output = next((item for item in outputs if item.name == name), None)
        if output is None and name == MAPS_NAME:  # which only the zoom pass needs: it says so itself
            continue
        if output is None or output.type != "tensor(float)" or not _fits(output.shape[1:], wanted):
            shape = ", ".join("N" if not extent else str(extent) for extent in (0, *wanted))
            raise ModelError(
                f"{path}: the model's spec requires an output {name}: float ({shape}). It has {actual}. Export it "
                "again with `asl-edge export`."
            )


def _fits(shape: Sequence[Any], wanted: Sequence[int | None]) -> bool:
    """Whether a shape is as wanted, 0 standing for any number; a symbolic axis shows its length in the first run."""
    return len(shape) == len(wanted) and all(
        not isinstance(actual, int) or not extent or actual == extent
        for actual, extent in zip(shape, wanted, strict=True)
    )


def _listed(items: Sequence[Any]) -> str:
    """Return inputs or outputs for a message."""
    listed = on_one_line(", ".join(f"{item.name}: {_kind(item)}" for item in items[:_MOST_LISTED]))[:500]
    return f"{listed or 'none'}{', ...' if len(items) > _MOST_LISTED else ''}"


def _kind(item: Any) -> str:
    return f"{item.type.removeprefix('tensor(').removesuffix(')')} ({', '.join(str(axis) for axis in item.shape)})"


def _refuse_folder_or_missing(path: Path) -> None:
    if path.is_dir():
        kind = "a run folder" if (path / "best.keras").exists() else "a folder"
        raise ModelError(
            f"{path} is {kind}; an .onnx file is needed. Make one from a run: asl-edge export RUN --out model.onnx"
        )
    if not path.exists():
        raise ModelError(f"There is no model file {path}. Make one: asl-edge export RUN --out {path}")


def _advice(path: Path) -> str:
    with open_regular(path) as file:
        start = file.read(8)
    if start.startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
        return f"It looks like a Keras model; turn it into ONNX: asl-edge export {path} --out model.onnx"
    if git_lfs.is_pointer_file(path):
        return f"In its place, {git_lfs.ADVICE}."
    return "Make an .onnx file with `asl-edge export`."


def _metadata_of(model: memoryview) -> dict[str, str]:
    """Return the metadata entries among the top-level fields of a ModelProto.

    Raises:
        ValueError: the bytes are not one.
    """
    metadata: dict[str, str] = {}
    seen = set()
    budget = Budget()
    for part in fields(model, budget):
        seen.add(part.number)
        if part.number == _METADATA and not isinstance(part.value, int):
            if len(part.value) > _MAX_METADATA_BYTES:
                raise ValueError("a metadata entry is too large")
            key, value = _read_entry(part.value, budget)
            metadata[key] = value
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise ValueError("it holds no graph")
    return metadata


def _read_entry(entry: memoryview, budget: Budget) -> tuple[str, str]:
    parts = {part.number: text(part.value) for part in fields(entry, budget)}
    return parts.get(_KEY, ""), parts.get(_VALUE, "")
