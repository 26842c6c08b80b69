"""Memory that a training on a CPU uses again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from asl_edge.training.compute import host_memory
from asl_edge.training.compute.host_memory import reuse_host_memory

POOLED, LIMIT = "TF_CPU_ALLOCATOR_USE_BFC", "TF_CPU_BFC_MEM_LIMIT_IN_MB"
ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux" or Path("/dev/nvidiactl").exists(), reason="nothing is changed on this machine"
)

FAULTS = """
import resource, numpy
from asl_edge.training.compute.host_memory import reuse_host_memory
reuse_host_memory()
def step():
    for _ in range(4):
        numpy.ones(5_000_000)  # 40 MB: above the largest threshold that glibc sets itself
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Without the variables, and with this process's allocator left as it is; whether it would be changed."""
    kept: list[bool] = []
    for name in (
        POOLED,
        LIMIT,
        "GLIBC_TUNABLES",
        "MALLOC_MMAP_MAX_",
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_MMAP_THRESHOLD_",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(host_memory, "_keep_freed_blocks", lambda: kept.append(True))
    return kept


@ON_LINUX
def test_tensorflow_gets_a_pool_no_larger_than_the_machine(untouched: list[bool]) -> None:
    reuse_host_memory()

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert os.environ[POOLED] == "1"
    assert 0 < int(os.environ[LIMIT]) * 2**20 <= total
    assert untouched == [True]


@ON_LINUX
def test_what_the_user_has_set_stays(untouched: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POOLED, "0")
    reuse_host_memory()
    assert (os.environ[POOLED], LIMIT in os.environ, untouched) == ("0", False, [])

    monkeypatch.setenv(POOLED, "1")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")
    reuse_host_memory()
    assert untouched == []


@pytest.mark.parametrize(("system", "gpu"), [("win32", False), ("darwin", False), ("linux", True)])
def test_nothing_changes_elsewhere(
    untouched: list[bool], monkeypatch: pytest.MonkeyPatch, system: str, gpu: bool
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "exists", lambda path: gpu)
    reuse_host_memory()

    assert POOLED not in os.environ
    assert untouched == []


@ON_LINUX
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_large_blocks_are_used_again() -> None:
    faults = {}
    for pooled in ("0", "1"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        done = subprocess.run(
            [sys.executable, "-c", FAULTS],
            env=environment | {POOLED: pooled},
            capture_output=True,
            text=True,
            check=True,
        )
        faults[pooled] = int(done.stdout)

    assert faults["1"] < faults["0"] / 10
