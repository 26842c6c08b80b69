from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from asl_edge.runtime import machine
from asl_edge.runtime.diagnostics import doctor
from asl_edge.runtime.diagnostics.doctor import examine

HEALTHY: dict[tuple[str, str], dict[str, Any]] = {
    ("import", "numpy"): {"version": "1.26.4"},
    ("import", "cv2"): {"version": "4.9.0"},
    ("import", "onnxruntime"): {"version": "1.19.2", "offered": ["cpu"]},
    ("provider", "cpu"): {"ms": 0.02},
}


def examined(changes: dict[tuple[str, str], dict[str, Any]] | None = None, installed: set[str] | None = None) -> Any:
    answers = HEALTHY | (changes or {})
    return examine(lambda what, name: answers[what, name], installed or {"onnxruntime", "opencv-python"})


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has or lacks, the findings are about what a test changes."""
    described: dict[str, Any] = machine.describe() | {"gpus": [], "jetson": None, "cores": doctor.os.cpu_count() or 1}
    monkeypatch.setattr(machine, "describe", lambda: dict(described))
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 4 * 2**30)


def test_this_machine() -> None:
    diagnosis = examine()

    assert diagnosis.can_predict
    assert [check.name for check in diagnosis.providers if check.works][:1] == ["cpu"]
    assert {check.module for check in diagnosis.modules} == {"numpy", "cv2", "onnxruntime"}
    assert all(check.error is None and check.version for check in diagnosis.modules)
    assert diagnosis.packages["device"]["numpy"]
    json.dumps(diagnosis.to_dict())


def test_nothing_to_mend() -> None:
    diagnosis = examined()

    assert diagnosis.findings == []
    assert diagnosis.to_dict()["can_predict"] is True


@pytest.mark.parametrize(
    ("changes", "problem", "remedy", "can_predict"),
    [
        (
            {("import", "cv2"): {"error": "No module named 'cv2'"}},
            "OpenCV cannot be imported: No module named 'cv2'",
            "pip install 'asl-edge[cpu]'",
            False,
        ),
        (
            {("import", "cv2"): {"error": "libGL.so.1: cannot open shared object file"}},
            "libGL",
            "sudo apt install libgl1",
            False,
        ),
        (
            {("import", "onnxruntime"): {"error": "No module named 'onnxruntime'"}},
            "ONNX Runtime cannot be imported",
            "pip install 'asl-edge[cpu]'",
            False,
        ),
        (
            {("import", "onnxruntime"): {"error": "numpy.core.multiarray failed to import"}},
            "ONNX Runtime was built for another NumPy",
            "numpy<2",
            False,
        ),
        (
            {("import", "numpy"): {"error": "it crashes (SIGSEGV)"}},
            "NumPy cannot be imported: it crashes",
            "pip",
            False,
        ),
        ({("import", "cv2"): {"version": "4.5.4"}}, "OpenCV 4.5.4 is older than 4.8", "pip install", True),
        (
            {("import", "onnxruntime"): {"version": "1.16.0", "offered": ["cpu"]}},
            "ONNX Runtime 1.16.0 is older than 1.17",
            "pip install",
            True,
        ),
        (
            {("provider", "cpu"): {"error": "it crashes (SIGILL)"}},
            "Even the smoke model does not run on cpu",
            "force-reinstall",
            False,
        ),
    ],
)
def test_what_is_wrong_with_packages(
    changes: dict[tuple[str, str], dict[str, Any]], problem: str, remedy: str, can_predict: bool
) -> None:
    diagnosis = examined(changes)

    (finding,) = diagnosis.findings
    assert problem in finding.problem
    assert remedy in finding.remedy
    assert diagnosis.can_predict is can_predict


def test_clashes_are_found() -> None:
    installed = {"onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless"}
    runtime, opencv = examined(installed=installed).findings

    assert "onnxruntime and onnxruntime-gpu are installed together" in runtime.problem
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in runtime.remedy
    assert "opencv-python and opencv-python-headless" in opencv.problem


def test_a_gpu_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    described = machine.describe()
    monkeypatch.setattr(machine, "describe", lambda: described | {"gpus": ["NVIDIA T4, 535, 15360 MiB"]})

    (without,) = examined().findings
    assert "built without CUDA" in without.problem
    assert "asl-edge[gpu]" in without.remedy
    offered = {("import", "onnxruntime"): {"version": "1.19.2", "offered": ["cpu", "cuda"]}}
    (broken,) = examined(offered | {("provider", "cuda"): {"error": "no libcudnn.so.9"}}).findings
    assert "CUDA does not work: no libcudnn.so.9" in broken.problem
    assert examined(offered | {("provider", "cuda"): {"ms": 0.1}}).findings == []


def test_a_provider_without_its_device_is_no_fault() -> None:
    offered = {("import", "onnxruntime"): {"version": "1.19.2", "offered": ["cpu", "cuda"]}}
    diagnosis = examined(offered | {("provider", "cuda"): {"error": "no CUDA-capable device"}})

    assert diagnosis.findings == []
    assert [check.works for check in diagnosis.providers] == [True, False]


def test_a_jetson_without_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    described = machine.describe()
    monkeypatch.setattr(machine, "describe", lambda: described | {"jetson": "Jetson Orin Nano, L4T 36.4.3"})

    (finding,) = examined().findings
    assert "NVIDIA's onnxruntime-gpu for this JetPack" in finding.remedy
    changes = {("import", "cv2"): {"error": "No module named 'cv2'"}}
    assert "apt install python3-opencv" in examined(changes).findings[0].remedy


def test_little_memory_and_few_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    described = machine.describe()
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 100_000_000)
    monkeypatch.setattr(machine, "describe", lambda: described | {"cores": 1})
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 8)

    memory, cores = examined().findings
    assert "Only 100 MB" in memory.problem
    assert "1 of the machine's 8 cores" in cores.problem


def test_things_are_tried_in_a_process_of_their_own() -> None:
    assert "error" in doctor.probe("import", "no_such_module")
    assert doctor.probe("import", "numpy")["version"]
    assert doctor.probe("provider", "cpu")["ms"] > 0
    assert "error" in doctor.probe("provider", "rocm")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_library_that_kills_its_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "killer.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    (tmp_path / "quitter.py").write_text("import os; os._exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert doctor.probe("import", "killer") == {"error": "it crashes (SIGILL)"}
    assert doctor.probe("import", "quitter") == {"error": "it ends the process with exit code 3"}


@pytest.mark.parametrize(("version", "release"), [("1.17.0", (1, 17)), ("4.8.0.74", (4, 8)), ("1", (1,))])
def test_releases(version: str, release: tuple[int, ...]) -> None:
    assert doctor._release(version) == release
