"""Memory of the machine: how training on a CPU uses it again, and how much a process may have."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from asl_edge.runtime import machine

_POOLED, _POOL_LIMIT = "TF_CPU_ALLOCATOR_USE_BFC", "TF_CPU_BFC_MEM_LIMIT_IN_MB"
_GLIBC_VARIABLES = {"GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of `mallopt` (malloc.h)."""


def reuse_host_memory() -> None:
    """Let training on a CPU use memory again, instead of asking the system anew for every large tensor.

    By default TensorFlow and the C library return large blocks to the system, which hands them out again page by page:
    a million page faults per step of AlexNet, and 38% of the processor's time (measured on two cores with AVX2, see
    benchmarks/results/speed). TensorFlow has an allocator that keeps tensors' memory, and glibc two settings for
    everything else; they hold for the whole process. Counts for a TensorFlow that has made no tensor yet. Nothing is
    changed where the user has set `TF_CPU_ALLOCATOR_USE_BFC` or glibc's own variables, on a machine with an NVIDIA GPU,
    and outside Linux.
    """
    if sys.platform != "linux" or Path("/dev/nvidiactl").exists():
        return
    if _POOLED not in os.environ:
        os.environ[_POOLED] = "1"
        sizes = [size for size in (machine.total_memory_bytes(), address_space_bytes()) if size is not None]
        if sizes:
            os.environ.setdefault(_POOL_LIMIT, str(min(sizes) // 2**20))
    if os.environ[_POOLED] == "1" and not _GLIBC_VARIABLES & os.environ.keys():
        _keep_freed_blocks()


def _keep_freed_blocks() -> None:
    """Let glibc take large blocks from its heap, which it never gives back; nothing with another C library."""
    with contextlib.suppress(OSError, AttributeError):  # musl has no such function
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def address_space_bytes() -> int | None:
    """Return the limit on this process's address space (`ulimit -v`), None without one."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
