from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asl_edge.runtime import machine


def test_cores() -> None:
    assert 1 <= machine.available_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process choose its cores")
def test_cores_follow_the_affinity() -> None:
    code = (
        "import os; from asl_edge.runtime.machine import available_cores;"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(("quota", "expected"), [(None, 6), (0.4, 1), (1.5, 2), (2.0, 2), (64.0, 6)])
def test_cores_follow_the_containers_quota(monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int) -> None:
    monkeypatch.setattr(machine, "_cgroup_quota", lambda: quota)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(6), raising=False)

    assert machine.available_cores() == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 6),
        ({f"system/cpu/cpu{core}/cpu_capacity": "1024" if core > 3 else "414" for core in range(6)}, 2),  # big.LITTLE
        ({f"system/cpu/cpu{core}/cpu_capacity": "1024" for core in range(6)}, 6),
        ({"system/cpu/cpu0/cpu_capacity": "414"}, 6),  # told of some only
        ({"cpu_core/cpus": "0-3\n", "cpu_atom/cpus": "4-5\n"}, 4),  # Intel's hybrids
        ({"cpu_core/cpus": "0,2\n"}, 2),
        ({"cpu_core/cpus": "8-15\n"}, 6),  # none of them is ours
        ({"cpu_core/cpus": "?\n"}, 6),
    ],
)
def test_small_cores_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setattr(machine, "available_cores", lambda: 6)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.fast_cores(tmp_path) == expected


def test_memory() -> None:
    total, free, peak = (
        machine.total_memory_bytes(),
        machine.available_memory_bytes(),
        machine.peak_memory_bytes(),
    )

    assert total is None or total > 100e6
    assert free is None or total is None or free <= total * 1.1
    assert peak is None or 10e6 < peak < 100e9


def test_the_peak_is_the_processs_own() -> None:
    import numpy as np

    before = machine.peak_memory_bytes()
    if before is None:
        pytest.skip("this system does not tell")
    np.ones(40_000_000, np.uint8)
    code = "from asl_edge.runtime.machine import peak_memory_bytes; print(peak_memory_bytes())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(child.stdout) < 60e6, "what its parent used must not count"


def test_a_jetson_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n"
    (tmp_path / "etc/nv_tegra_release").write_text(release)

    assert machine.jetson(tmp_path) == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3"


def test_a_raspberry_pi_is_no_jetson(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")

    assert machine.jetson(tmp_path) is None
    assert machine.jetson(tmp_path / "empty") is None


def test_the_description_is_json() -> None:
    described = json.loads(json.dumps(machine.describe()))

    assert described["cores"] >= 1
    assert described["processor"]
    assert isinstance(described["gpus"], list)


def test_gpus_come_from_nvidias_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.nvidia_gpus() is None
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(machine, "_output", lambda command: "NVIDIA T4, 535.1, 15360 MiB\n")
    assert machine.nvidia_gpus() == ["NVIDIA T4, 535.1, 15360 MiB"]
    monkeypatch.setattr(machine, "_output", lambda command: None)  # a driver that does not answer
    assert machine.nvidia_gpus() == []
