"""A hand model of two small ONNX networks: it sees one palm in the middle, and a hand where the crop is bright."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.runtime.hand_model.folder import ABOUT_FILE, HAND_FILE, PALM_FILE, VERSION
from asl_edge.runtime.hand_model.palm_detection import COORDINATES, anchors

FINGERS = ((-60, -40), (-30, -110), (0, -120), (30, -110), (55, -90))
"""From the wrist to each tip, in pixels of the landmark network's input."""
WRIST = (112.0, 190.0)
PALM_SIDE = 48.0
"""Of the palm's box, in pixels of the detector's input."""


def hand_in_crop() -> Any:
    """Return the landmarks that the network gives, float32 (63,): an open hand, upright in its crop."""
    points = [(*WRIST, 0.0)]
    for across, up in FINGERS:
        points += [(WRIST[0] + across * part, WRIST[1] + up * part, -5.0 * part) for part in (0.4, 0.6, 0.8, 1.0)]
    return np.array(points, np.float32).ravel()


def palm_outputs() -> tuple[Any, Any]:
    """Return boxes (1, 2016, 18) and scores (1, 2016, 1): an upright palm in the middle of the input."""
    number = int(np.abs(anchors() - 0.5).sum(axis=1).argmin())
    boxes = np.zeros((1, len(anchors()), COORDINATES), np.float32)
    middle = (0.5 - anchors()[number]) * 192
    boxes[0, number, :2], boxes[0, number, 2:4] = middle, PALM_SIDE
    keypoints = np.zeros((7, 2), np.float32) + middle
    keypoints[0, 1] += PALM_SIDE / 2  # the wrist
    keypoints[2, 1] -= PALM_SIDE / 2  # the middle finger's knuckle
    boxes[0, number, 4:] = keypoints.ravel()
    scores = np.full((1, len(anchors()), 1), -8, np.float32)
    scores[0, number] = 4
    return boxes, scores


def write_hand_model(folder: Path) -> Path:
    """Write the folder of such a hand model and return it."""
    boxes, scores = palm_outputs()
    networks = {
        PALM_FILE: _network(192, {"boxes": boxes, "scores": scores}, None),
        HAND_FILE: _network(
            224, {"landmarks": hand_in_crop()[None], "handedness": np.array([[0.9]], np.float32)}, "presence"
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in networks.items():
        (folder / name).write_bytes(content)
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in networks.items()}
    (folder / ABOUT_FILE).write_text(json.dumps({"version": VERSION, "sha256": checksums}))
    return folder


def _network(side: int, constants: dict[str, Any], bright: str | None) -> bytes:
    """Return a network with constant outputs; the output `bright` is above a half where the image is bright."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    tensors = [numpy_helper.from_array(np.array([0], np.float32), "zero")]
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    outputs = []
    for name, value in constants.items():
        tensors.append(numpy_helper.from_array(value, f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    if bright is not None:
        tensors.append(numpy_helper.from_array(np.array([[20]], np.float32), "slope"))
        tensors.append(numpy_helper.from_array(np.array([[-5]], np.float32), "bias"))
        nodes.append(helper.make_node("Mul", ["mean", "slope"], ["steep"]))
        nodes.append(helper.make_node("Add", ["steep", "bias"], ["logit"]))
        nodes.append(helper.make_node("Sigmoid", ["logit"], [bright]))
        outputs.append(helper.make_tensor_value_info(bright, TensorProto.FLOAT, (1, 1)))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, side, side, 3))
    graph = helper.make_graph(nodes, "hand", [image], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def hand_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a hand model that sees a hand in the middle of every bright image."""
    return write_hand_model(tmp_path_factory.mktemp("hand_model") / "hand model")
