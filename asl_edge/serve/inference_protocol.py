"""The Open Inference Protocol v2 over HTTP, with binary tensors, as Triton, KServe and their clients speak it.

Specification: github.com/kserve/open-inference-protocol (inference_rest.md) and Triton's extension_binary_data.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.spec import ModelSpec

LENGTH_HEADER = "inference-header-content-length"
IMAGE, ENCODED = "image", "encoded"
OUTPUTS = ("probabilities", "label", "confidence", "accepted")
_OF_OUTPUT = {"probabilities": "FP32", "label": "BYTES", "confidence": "FP32", "accepted": "BOOL"}


class ProtocolError(ValueError):
    """A request that does not follow the protocol; the message says why."""


def metadata(name: str, spec: ModelSpec) -> dict[str, Any]:
    """Return what `/v2/models/NAME` answers."""
    side, classes = spec.input_size, len(spec.classes)
    shapes = {"probabilities": [-1, classes], "label": [-1], "confidence": [-1], "accepted": [-1]}
    return {
        "name": name,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": IMAGE, "datatype": "UINT8", "shape": [-1, side, side, 3]},
            {"name": ENCODED, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": one, "datatype": _OF_OUTPUT[one], "shape": shapes[one]} for one in OUTPUTS],
        "parameters": {"classes": list(spec.classes), "reject_threshold": spec.reject_threshold},
    }


class InferRequest:
    """A request to classify images.

    Args:
        body: of the request.
        header_length: value of `Inference-Header-Content-Length`, None if there is none: then all of it is JSON.
        side: of the model's square input.
        most_images: that one request may have.

    Raises:
        ProtocolError: it does not follow the protocol.
    """

    def __init__(self, body: bytes, header_length: str | None, side: int, most_images: int) -> None:
        end = len(body)
        if header_length is not None:
            if not header_length.isascii() or not header_length.isdigit() or int(header_length) > len(body):
                raise ProtocolError(
                    f"{LENGTH_HEADER} must be a length within the body. Received: {header_length!a:.40}"
                )
            end = int(header_length)
        values = _object(body[:end])
        self.id = values.get("id")
        if self.id is not None and not isinstance(self.id, str):
            raise ProtocolError("id must be a string.")
        inputs = values.get("inputs")
        if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
            raise ProtocolError(f"inputs must be a list with one tensor: {IMAGE} or {ENCODED}.")
        self.images = _images(inputs[0], body[end:], side, most_images)
        self._outputs = _wanted(values)

    def respond(self, name: str, classes: Sequence[str], predictions: Sequence[Prediction]) -> tuple[bytes, int | None]:
        """Return the body of the answer, and the length of its JSON if binary tensors follow it."""
        columns = {label: column for column, label in enumerate(classes)}
        probabilities = np.zeros((len(predictions), len(classes)), np.float32)
        for row, prediction in enumerate(predictions):
            for label, share in prediction.top:
                probabilities[row, columns[label]] = share
        tensors: dict[str, Any] = {
            "probabilities": probabilities,
            "label": [one.label for one in predictions],
            "confidence": np.array([one.confidence for one in predictions], np.float32),
            "accepted": np.array([one.accepted for one in predictions], bool),
        }
        described, parts = [], []
        for output, binary in self._outputs:
            tensor = tensors[output]
            shape = list(np.shape(tensor))
            about: dict[str, Any] = {"name": output, "datatype": _OF_OUTPUT[output], "shape": shape}
            if binary:
                parts.append(_to_bytes(tensor))
                about["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                about["data"] = tensor.ravel().tolist() if isinstance(tensor, np.ndarray) else tensor
            described.append(about)
        answer: dict[str, Any] = {"model_name": name, "model_version": "1", "outputs": described}
        if self.id is not None:
            answer["id"] = self.id
        head = json.dumps(answer).encode()
        return b"".join((head, *parts)), len(head) if parts else None


def _object(text: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("The request is not JSON. With binary tensors, its length must be in the header.") from None
    if not isinstance(values, dict):
        raise ProtocolError("The request must be a JSON object.")
    return values


def _wanted(values: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return the outputs that were asked for, and whether each as a binary tensor."""
    usual = _parameters(values).get("binary_data_output") is True
    outputs = values.get("outputs")
    if outputs is None:
        return [(name, usual) for name in OUTPUTS]
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise ProtocolError("outputs must be a list of objects.")
    wanted = []
    for one in outputs:
        if one.get("name") not in OUTPUTS:
            raise ProtocolError(f"There is no output {one.get('name')!a:.80}. There are: {', '.join(OUTPUTS)}.")
        wanted.append((str(one["name"]), _parameters(one).get("binary_data", usual) is True))
    return wanted


def _parameters(values: dict[str, Any]) -> dict[str, Any]:
    parameters = values.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _images(tensor: dict[str, Any], rest: bytes, side: int, most: int) -> list[bytes | Image]:
    """Return the images of a request's tensor."""
    name, datatype, shape = (tensor.get(key) for key in ("name", "datatype", "shape"))
    if not isinstance(shape, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in shape):
        raise ProtocolError("shape must be a list of whole numbers.")
    expected = {IMAGE: "UINT8", ENCODED: "BYTES"}
    if not isinstance(name, str) or name not in expected or datatype != expected[name]:
        raise ProtocolError(
            f"The input must be {IMAGE} (UINT8) or {ENCODED} (BYTES). Received: {name!a:.80} ({datatype!a:.20})"
        )
    if not shape or not 1 <= shape[0] <= most:
        raise ProtocolError(f"A request may have 1 to {most} images. Received: {shape!a:.80}")
    size = _parameters(tensor).get("binary_data_size")
    if size is not None and (not isinstance(size, int) or size != len(rest)):
        raise ProtocolError(
            f"binary_data_size must be the length of the binary tensor, {len(rest)}. Received: {size!a:.40}"
        )
    if name == ENCODED:
        return _encoded(tensor, shape, rest if size is not None else None)
    if shape[1:] != [side, side, 3]:
        raise ProtocolError(f"{IMAGE} must have shape [N, {side}, {side}, 3]. Received: {shape!a:.80}")
    values = np.frombuffer(rest, np.uint8) if size is not None else _numbers(tensor.get("data"))
    if values.size != np.prod(shape):
        raise ProtocolError(f"{IMAGE} must have {np.prod(shape)} numbers. Received: {values.size}")
    return list(values.reshape(shape))


def _numbers(data: object) -> Image:
    try:
        values = np.asarray(data)
        if values.dtype.kind not in "iu" or values.min(initial=0) < 0 or values.max(initial=0) > 255:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ProtocolError("data of image must be whole numbers from 0 to 255.") from None
    return values.astype(np.uint8).ravel()


def _encoded(tensor: dict[str, Any], shape: list[int], rest: bytes | None) -> list[bytes | Image]:
    images: list[bytes | Image] = []
    if rest is not None:
        at = 0
        while at + 4 <= len(rest):
            (length,) = struct.unpack_from("<I", rest, at)
            images.append(rest[at + 4 : at + 4 + length])
            at += 4 + length
        if at != len(rest):
            raise ProtocolError("The binary tensor ends within an element.")
    else:
        data = tensor.get("data")
        if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
            raise ProtocolError("data of encoded must be a list of base64 strings.")
        try:
            images = [base64.b64decode(one, validate=True) for one in data]
        except (binascii.Error, ValueError):
            raise ProtocolError("data of encoded must be base64.") from None
    if shape != [len(images)]:
        raise ProtocolError(f"encoded must have shape [{len(images)}]. Received: {shape!a:.80}")
    return images


def _to_bytes(tensor: Any) -> bytes:
    if isinstance(tensor, np.ndarray):
        return np.ascontiguousarray(tensor).astype(tensor.dtype.newbyteorder("<")).tobytes()
    return b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in tensor)
