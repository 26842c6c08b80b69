"""The workshop's packages: found, quiet, on TensorFlow."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from asl_edge.errors import MissingPackageError, UserError
from asl_edge.export.graph import toolchain


def test_keras_runs_on_tensorflow_and_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert toolchain.load_keras().backend.backend() == "tensorflow"
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_keras_already_on_another_backend_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = toolchain.load_keras()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"runs it on jax\. Start a new process with KERAS_BACKEND=tensorflow"):
        toolchain.load_keras()


@pytest.mark.parametrize(("package", "extra"), [("tf2onnx", "train"), ("onnxruntime", "cpu")])
def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch, package: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"need {package}.*pip install 'asl-edge\[{extra}\]'"):
        toolchain.load(package)


def test_versions_hold_every_package_that_takes_part() -> None:
    found: dict[str, Any] = toolchain.versions()
    assert {"asl-edge", "python", *toolchain.PACKAGES} == set(found)
    assert all(isinstance(value, str) and value[0].isdigit() for value in found.values())
