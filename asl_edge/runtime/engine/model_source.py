"""A model that a session can be opened for."""

from __future__ import annotations

from dataclasses import dataclass

from asl_edge.runtime.onnx_file.model_file import ModelFile
from asl_edge.spec import ModelSpec


@dataclass(frozen=True)
class ModelSource:
    """A model that can be opened."""

    name: str
    """What messages call it."""
    content: str | bytes
    """A path, or the model itself, which has been checked."""
    spec: ModelSpec
    file: ModelFile | None = None
    """The file at that path; None for a bundle's member."""
