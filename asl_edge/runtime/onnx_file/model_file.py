"""An `.onnx` file whose bytes are read, checked and run: the same ones, whatever happens to the file meanwhile."""

from __future__ import annotations

import os

from asl_edge.errors import ModelError
from asl_edge.files.regular_file import read_regular
from asl_edge.runtime.onnx_file.external_weights import MappedModel
from asl_edge.runtime.onnx_file.graph import ModelContents
from asl_edge.runtime.onnx_file.metadata import LARGEST_MODEL, read_metadata, spec_of
from asl_edge.runtime.onnx_file.safety import reject_unsafe_model
from asl_edge.spec import ModelSpec


class ModelFile:
    """A model in a file.

    Its metadata are read at once. What is run later is checked when it is read, and must have the same metadata, so
    that the spec in use is that of the graph in use.

    Args:
        path: the file.

    Raises:
        ModelError: there is no such file, or it is not an ONNX file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self.metadata = read_metadata(path)

    def spec(self) -> ModelSpec:
        """Return the spec in the file.

        Raises:
            ModelError: it has no spec that this asl-edge can use.
        """
        return spec_of(self.metadata, os.fspath(self.path))

    def read(self) -> bytes:
        """Return the whole content, checked.

        Raises:
            ModelError: it cannot be read, is not a model that asl-edge runs, or was replaced since it was opened.
        """
        try:
            content = read_regular(self.path, LARGEST_MODEL)
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read ({error.strerror or error}).") from error
        except ValueError as error:
            raise ModelError(f"{self.path} is not a model of asl-edge: {error}.") from error
        self._refuse_replaced(reject_unsafe_model(content, os.fspath(self.path)))
        return content

    def refuse_unsafe(self, mapped: MappedModel) -> None:
        """Check the graph of this file, whose weights stay in it.

        Raises:
            ModelError: it is not a model that asl-edge runs, or was replaced since it was opened.
        """
        contents = reject_unsafe_model(
            mapped.graph, os.fspath(self.path), own_file=mapped.name, own_tensors=mapped.tensors
        )
        self._refuse_replaced(contents)

    def _refuse_replaced(self, contents: ModelContents) -> None:
        if contents.metadata != self.metadata:
            raise ModelError(f"{self.path} was replaced while it was opened. Open it again.")
