"""TFLite networks of the hand model as ONNX, with the names that `asl_edge.runtime.hand_model` gives their tensors."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.export.graph.edit import drop_unused_domains
from asl_edge.export.graph.toolchain import load, load_keras, load_tf2onnx
from asl_edge.process.native_stderr import quiet_stderr
from asl_edge.process.printable import first_line

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8
INPUT_NAME = "image"
PALM_OUTPUTS = ("boxes", "scores")
"""Our names of the palm detector's outputs, in the order of their own in TFLite (`Identity`, `Identity_1`)."""
HAND_OUTPUTS = ("landmarks", "presence", "handedness", None)
"""Those of the landmark network; the last one, points in metres, is left out."""


def converted(path: Path, outputs: Sequence[str | None]) -> bytes:
    """Convert a TFLite network; weights in float16 become float32, which loses nothing.

    Args:
        path: the `.tflite` file.
        outputs: our names of its outputs, in the order of their own; None leaves one out.

    Raises:
        ModelError: tf2onnx cannot convert it, or it has other inputs and outputs.
        MissingPackageError: tf2onnx, onnx or TensorFlow is not installed.
    """
    load_keras()  # which loads TensorFlow as quietly as an export does
    convert, onnx = load_tf2onnx(), load("onnx")
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto, _ = convert.from_tflite(str(path), opset=OPSET)
    except Exception as error:  # tf2onnx raises all kinds of exceptions
        raise ModelError(f"tf2onnx cannot convert {path.name}: {first_line(error)}") from error
    if len(proto.graph.input) != 1 or len(proto.graph.output) != len(outputs):
        raise ModelError(f"{path.name} has other inputs and outputs than the network that is expected.")
    _name(proto, outputs)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString())


def _name(proto: onnx.ModelProto, outputs: Sequence[str | None]) -> None:
    """Give a graph our names, in place, and leave out what is not used."""
    graph = proto.graph
    given = sorted(graph.output, key=lambda value: str(value.name))
    names = {value.name: name for value, name in zip(given, outputs, strict=True) if name is not None}
    names[graph.input[0].name] = INPUT_NAME
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *given):
        value.name = names.get(value.name, value.name)
    kept = [value for value, name in zip(given, outputs, strict=True) if name is not None]
    kept = [type(value).FromString(value.SerializeToString()) for value in kept]
    del graph.output[:]
    graph.output.extend(kept)
    del graph.value_info[:]
    drop_unused_domains(proto)
    proto.ir_version = IR_VERSION


class TfliteNetwork:
    """A TFLite network that is run as a session of ONNX Runtime is.

    Args:
        path: the `.tflite` file.
        outputs: as for `converted`.

    Raises:
        MissingPackageError: TensorFlow is not installed.
    """

    def __init__(self, path: Path, outputs: Sequence[str | None]) -> None:
        load_keras()
        with _quiet():
            self._interpreter: Any = load("tensorflow").lite.Interpreter(str(path))
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        details = sorted(self._interpreter.get_output_details(), key=lambda detail: str(detail["name"]))
        self._outputs = {name: detail["index"] for name, detail in zip(outputs, details, strict=True)}

    def run(self, names: Sequence[str], feed: Mapping[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[Any]]:
        """Return the outputs of these names for the input `image`."""
        self._interpreter.set_tensor(self._input, feed[INPUT_NAME])
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_tensor(self._outputs[name])) for name in names]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide that TensorFlow will move its interpreter to a package of its own, and what its delegate prints."""
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
