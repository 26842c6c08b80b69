"""Facts about this machine: cores and memory that the process may use, GPU, JetPack."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any


def available_cores() -> int:
    """Return how many cores this process may use, at least 1; affinity and container quota count."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, min(cores, int(quota + 0.5)) if quota else cores)


def fast_cores(system: Path = Path("/sys/devices")) -> int:
    """Return how many cores should share one computation, at least 1.

    All that the process may use, except the small ones of a hybrid processor (big.LITTLE, Intel): evenly divided work
    waits for the slowest core. Linux reports a core's `cpu_capacity` on Arm, and lists Intel's kinds separately.
    """
    cores = available_cores()
    if not hasattr(os, "sched_getaffinity"):
        return cores
    capacities = []
    for core in os.sched_getaffinity(0):
        try:
            capacities.append(int((system / f"system/cpu/cpu{core}/cpu_capacity").read_text()))
        except (OSError, ValueError):
            break
    else:
        return max(1, min(cores, sum(2 * capacity > max(capacities) for capacity in capacities)))
    with contextlib.suppress(OSError, ValueError):
        large = _listed((system / "cpu_core/cpus").read_text()) & os.sched_getaffinity(0)
        return max(1, min(cores, len(large) or cores))
    return cores


def threads_here() -> int | None:
    """Return how many threads a session should have; None if ONNX Runtime's default, all cores, is right."""
    cores = fast_cores()
    return cores if cores < (os.cpu_count() or 1) else None


def most_workers(threads: int | None) -> int:
    """Return how many workers with so many threads each (None: one) the cores have room for, at least 1."""
    return max(1, fast_cores() // (threads or 1))


def processor_flags() -> frozenset[str] | None:
    """Return the feature flags of an x86 processor on Linux; None if unknown, empty for other processors."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(flags.split())


def processor_features(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return what an x86 or Arm processor can do, as Linux names it; empty where that is not known."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_bfloat16() -> bool:
    """Whether the processor is known to have instructions for bfloat16."""
    return bool({"avx512_bf16", "amx_bf16"} & (processor_flags() or frozenset()))


def total_memory_bytes() -> int | None:
    """Return the memory that this process may use: the machine's, or its container's limit if that is less."""
    total = _physical_memory_bytes()
    limits = [total] if total else []
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(path.read_text()))
    return min(limits) if limits else None


def available_memory_bytes() -> int | None:
    """Return the memory that new work may take without swapping; None if the system does not report it (Linux does)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process, None if the system does not report it."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            # Not getrusage on Linux: its figure includes that of the process that forked this one.
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _windows_peak_bytes()
    with contextlib.suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return None


def processor_name() -> str:
    """Return the processor's name as the system gives it, the architecture if it gives none."""
    with contextlib.suppress(OSError):
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if match:
            return match.group(1).strip()
    if sys.platform == "darwin":
        name = _output(["sysctl", "-n", "machdep.cpu.brand_string"])
        if name:
            return name
    import platform  # here and below: slow imports that a prediction does not need

    return platform.processor() or platform.machine()


def nvidia_gpus() -> list[str] | None:
    """Return name, driver and memory of each NVIDIA GPU, or None if `nvidia-smi` is missing."""
    if shutil.which("nvidia-smi") is None:
        return None
    table = _output(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
    return [line.strip() for line in (table or "").splitlines() if line.strip() and "No devices" not in line]


def nvidia_driver(path: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """Return the version line of the loaded NVIDIA driver, None if there is none (or not on Linux)."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
    except OSError:
        return None


def jetson(root: Path = Path("/")) -> str | None:
    """Return model and L4T release (JetPack's base) of a Jetson, None on any other machine."""
    model, release = "", ""
    with contextlib.suppress(OSError):
        model = (root / "proc/device-tree/model").read_text(errors="replace").strip("\0 \n")
    with contextlib.suppress(OSError):
        text = (root / "etc/nv_tegra_release").read_text()
        match = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", text)
        release = f"L4T {match.group(1)}.{match.group(2)}" if match else text.splitlines()[0]
    if not release and "NVIDIA" not in model:
        return None
    return ", ".join(part for part in (model, release) if part)


def describe() -> dict[str, Any]:
    """Return the facts that belong to a measurement on this machine."""
    import platform

    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_bytes": total_memory_bytes(),
        "gpus": nvidia_gpus() or [],
        "jetson": jetson(),
        "python": platform.python_version(),
    }


def _listed(text: str) -> set[int]:
    """`0-3,8` is 0, 1, 2, 3 and 8."""
    parts = [part.split("-") for part in text.strip().split(",") if part]
    return {core for part in parts for core in range(int(part[0]), int(part[-1]) + 1)}


def _cgroup_quota() -> float | None:
    """Return how many cores' worth of time the container grants, None without a limit. Version 2, then version 1."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        folder = Path("/sys/fs/cgroup/cpu")
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        return quota_us / int((folder / "cpu.cfs_period_us").read_text()) if quota_us > 0 else None
    return None


def _physical_memory_bytes() -> int | None:
    if hasattr(os, "sysconf"):
        with contextlib.suppress(OSError, ValueError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if sys.platform == "win32":
        return _windows_total_bytes()
    return None


def _output(command: list[str]) -> str | None:
    import subprocess

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _windows_total_bytes() -> int | None:
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = [  # MEMORYSTATUSEX
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            *((f"rest{number}", ctypes.c_ulonglong) for number in range(6)),
        ]

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    windll: Any = getattr(ctypes, "windll")  # noqa: B009  (does not exist elsewhere, which a type checker knows)
    return int(status.total) if windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _windows_peak_bytes() -> int | None:
    import ctypes

    class Counters(ctypes.Structure):
        _fields_ = [  # PROCESS_MEMORY_COUNTERS
            ("length", ctypes.c_ulong),
            ("page_faults", ctypes.c_ulong),
            ("peak_working_set", ctypes.c_size_t),
            *((f"rest{number}", ctypes.c_size_t) for number in range(7)),
        ]

    counters = Counters(length=ctypes.sizeof(Counters))
    windll: Any = getattr(ctypes, "windll")  # noqa: B009
    windll.kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(windll.kernel32.GetCurrentProcess())
    done = windll.kernel32.K32GetProcessMemoryInfo(handle, ctypes.byref(counters), counters.length)
    return int(counters.peak_working_set) if done else None
