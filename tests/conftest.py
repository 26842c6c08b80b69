"""Settings of the test process, and the environments and real images that several tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from device_environments import Environment, environments

pytest_plugins = [
    "durations",
    "factories.hand_models",
    "factories.image_data",
    "factories.keras_models",
    "factories.onnx_models",
    "factories.run_folders",
]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would only wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test imports ONNX Runtime itself
# Tests import Keras and matplotlib themselves: whoever runs them may have other settings for both.
os.environ.pop("TF_USE_LEGACY_KERAS", None)
os.environ.pop("KERAS_BACKEND", None)
os.environ["MPLBACKEND"] = "agg"
if "KERAS_HOME_OF_TESTS" not in os.environ:
    os.environ["KERAS_HOME_OF_TESTS"] = tempfile.mkdtemp(prefix="asl-edge-tests-")
    atexit.register(shutil.rmtree, os.environ["KERAS_HOME_OF_TESTS"], ignore_errors=True)
os.environ["KERAS_HOME"] = os.environ["KERAS_HOME_OF_TESTS"]
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Begun in the background by a shell, a process ignores SIGINT and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    """Save what coverage has measured: the end of a test process may be hurried."""
    coverage = sys.modules.get("coverage")
    measured = coverage.Coverage.current() if coverage else None
    if measured is not None:
        measured.save()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; a user has no such data, so tests that need it skip there."""
    folder = os.environ.get("ASL_EDGE_DATA")
    if not folder:
        pytest.skip("ASL_EDGE_DATA is not set: the real images are not part of the repository")
    path = Path(folder)
    assert path.is_dir(), f"ASL_EDGE_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session")
def device_environments(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Environment | str]]]:
    """Environments `oldest` and `newest` with the device tier alone; a text where one cannot be made says why."""
    with environments(tmp_path_factory) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let parallel processes report a test whose output or message holds half a character, which cannot be sent."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_sendable(key): _sendable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_sendable(inner) for inner in value)
    return value
