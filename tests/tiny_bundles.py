"""Bundles written by hand, whole or spoiled, around a model of one line."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from asl_edge.runtime.bundle.detection import MANIFEST
from asl_edge.spec import ModelSpec

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)


def tiny(precision: str = "fp32", bias: float = 0.0) -> bytes:
    """A model that answers by the brightness of red, green and blue."""
    text = """<ir_version: 8, opset_import: ["" : 17]> g (uint8[N,8,8,3] image) => (float[N,3] probabilities) {
        cast = Cast <to = 1> (image)
        mean = ReduceMean <axes = [1, 2], keepdims = 0> (cast)
        small = Mul (mean, factor)
        logits = Add (small, bias)
        probabilities = Softmax (logits) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "factor"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32([bias, 0, 0]), "bias"))
    spec = ModelSpec(classes=("A", "B", "C"), input_size=8, network="tiny", precision=precision)
    helper.set_model_props(model, spec.to_metadata())
    return bytes(model.SerializeToString())


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def answers(model: bytes) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probabilities"], {"image": IMAGES})[0])


def members_of(models: dict[str, bytes]) -> dict[str, bytes]:
    members = {"golden/images.npy": npy(IMAGES), "MODEL_CARD.md": b"# tiny\n", "labels.txt": b"A\nB\nC\n"}
    for name, content in models.items():
        members[f"models/{name}.onnx"] = content
        members[f"golden/{name}.npy"] = npy(answers(content))
    return members


def write(
    path: Path,
    models: dict[str, bytes] | None = None,
    *,
    change: Callable[[dict[str, Any], dict[str, bytes]], None] | None = None,
    extra: list[tuple[zipfile.ZipInfo, bytes]] | None = None,
    targets: dict[str, str] | None = None,
) -> Path:
    """Write a bundle by hand; `change` may spoil manifest and members after the sums were made."""
    models = models or {"fp32": tiny(), "int8": tiny("int8", bias=0.001)}
    members = members_of(models)
    manifest: dict[str, Any] = {
        "format": 1,
        "asl_edge": {"made_with": "0.1.0", "at_least": "0.1.0", "below": "1.0"},
        "network": "tiny",
        "models": [
            {
                "precision": name,
                "target": (targets or {"int8": "x86"}).get(name),
                "file": f"models/{name}.onnx",
                "answers": f"golden/{name}.npy",
                "tolerance": 0.01,
            }
            for name in models
        ],
        "golden": {"images": "golden/images.npy", "from": "noise"},
        "members": {name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for name, c in members.items()},
    }
    if change is not None:
        change(manifest, members)
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(MANIFEST, json.dumps(manifest))
        for name, content in members.items():
            opened.writestr(name, content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that stands there twice
            for entry, content in extra or []:
                opened.writestr(entry, content)
    return path
