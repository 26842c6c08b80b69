"""Loading Keras quietly, and the choice of precision."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import pytest

from asl_edge.training.compute import backend


def test_importing_says_nothing():
    """In a process of its own, since TensorFlow speaks once, when it is first imported."""
    code = "from asl_edge.training.compute.backend import load_keras; print(load_keras().__name__)"
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    assert (done.stdout, done.stderr) == ("keras\n", "")


def test_the_policy_is_put_back():
    before = keras.config.dtype_policy().name
    with backend.dtype_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(
    ("wanted", "gpu", "gpu_bfloat16", "flags", "policy"),
    [
        ("float32", True, True, {"amx_bf16"}, "float32"),
        ("mixed", False, False, set(), "mixed_bfloat16"),
        ("mixed", True, False, set(), "mixed_float16"),
        ("auto", True, True, set(), "mixed_bfloat16"),
        ("auto", False, False, {"avx2"}, "float32"),
        ("auto", False, False, {"avx512_bf16"}, "mixed_bfloat16"),
    ],
)
def test_precision_follows_what_the_machine_computes_with(wanted, gpu, gpu_bfloat16, flags, policy, monkeypatch):
    if keras.backend.backend() != "tensorflow" and wanted == "auto":
        pytest.skip("auto reads the processor's flags for TensorFlow only")
    monkeypatch.setattr(backend, "has_gpu", lambda: gpu)
    monkeypatch.setattr(backend, "_gpu_has_bfloat16", lambda: gpu_bfloat16)
    monkeypatch.setattr(backend, "cpu_flags", lambda: flags)
    chosen = backend.choose_precision(wanted)
    assert chosen.policy == policy
    assert chosen.reason
