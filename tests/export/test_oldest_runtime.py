"""Exported files on the oldest ONNX Runtime that the device tier declares (1.17, on Python 3.10)."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from device_environments import Environment

from asl_edge.export.export import export_run

SCRIPT = """
import json, sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
answers = session.run(["probabilities"], {"image": numpy.load(sys.argv[2])[:20]})[0]
print(json.dumps({"version": onnxruntime.__version__, "keys": list(session.get_modelmeta().custom_metadata_map),
                  "answers": answers.tolist()}))
"""


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 5e-3)])
def test_the_file_loads_and_answers_alike(
    mini_run: Path,
    tmp_path: Path,
    device_environments: dict[str, Future[Environment | str]],
    precision: str,
    tolerance: float,
) -> None:
    oldest = device_environments["oldest"].result()
    if isinstance(oldest, str):
        pytest.skip(oldest)
    import onnxruntime

    model, images = tmp_path / "model.onnx", mini_run / "samples/test_images.npy"
    export_run(mini_run, model, precision=precision)
    said = json.loads(oldest.run("python", "-c", SCRIPT, model, images).stdout)
    assert said["version"].startswith("1.17")
    assert said["keys"] == ["asl_edge.spec"]
    here = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    expected = here.run(["probabilities"], {"image": np.load(images)[:20]})[0]
    np.testing.assert_allclose(said["answers"], expected, atol=tolerance)
