"""Memory that runs out in training, and GPUs whose libraries do not work: real errors, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_progress import RecordedProgress

from asl_edge.errors import DataError, TrainingError
from asl_edge.training import networks, recipes
from asl_edge.training.compute import memory
from asl_edge.training.compute.backend import load_keras
from asl_edge.training.loop.failures import explain_device_failure, note_memory

HUGE = 1 << 24


@pytest.fixture(scope="module")
def network() -> Any:
    load_keras()
    return networks.build("alexnet-edge", 3, 64)


def error_of_numpy() -> Exception:
    try:
        np.ones((HUGE, HUGE))
    except MemoryError as error:
        return error
    raise AssertionError("this machine has petabytes of memory")


@pytest.mark.parametrize(
    "error",
    [
        error_of_numpy(),
        # TensorFlow, which tries for ten seconds before it gives up, JAX, and PyTorch on a GPU and a CPU.
        RuntimeError("OOM when allocating tensor with shape[4096,96,54,54] and type float on CPU:0 by allocator cpu"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4294967296 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4398046511104 bytes."),
    ],
)
def test_memory_that_ran_out_names_a_batch_that_fits(error: Exception, network: Any, tmp_path: Path) -> None:
    config = recipes.get("default", network="alexnet-edge", batch_size=4096)
    with pytest.raises(TrainingError, match=r"ran out with batches of 4096 images \(alexnet-edge\)") as raised:
        explain_device_failure(error, network, config, tmp_path)
    fits = int(str(raised.value).rpartition("--batch-size ")[2].rstrip("."))
    assert 1 <= fits <= 2048
    assert memory.needed(network).for_batch(fits) < (memory.available_bytes() or 1 << 60)


def test_the_largest_batch() -> None:
    assert memory.largest_batch(None, 100, None) == 32
    assert memory.largest_batch(None, 1, None) == 0


def test_the_largest_batch_of_a_network(network: Any) -> None:
    fixed, per_image = memory.needed(network)
    assert memory.largest_batch(network, 4096, int((fixed + 100 * per_image) / 0.9) + 1) == 64
    assert memory.largest_batch(network, 4096, fixed // 2) == 0


def test_too_large_a_batch_is_said_before(network: Any) -> None:
    progress = RecordedProgress()
    note_memory(network, recipes.get("default", network="alexnet-edge", batch_size=32), progress)
    assert progress.notes == []
    note_memory(network, recipes.get("default", network="alexnet-edge", batch_size=10_000_000), progress)
    assert "the system may end this training without a word. --batch-size" in progress.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "Failed to initialize cuDNN: DNN library initialization failed.",
        "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device",
        "CUDA error: the provided PTX was compiled with an unsupported toolchain",
        "libdevice not found at ./libdevice.10.bc",
    ],
)
def test_gpus_whose_libraries_do_not_work(text: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"The GPU cannot be used.*nvidia-smi.*CUDA_VISIBLE_DEVICES= before"):
        explain_device_failure(RuntimeError(f"{text}\n" + "node " * 999), None, recipes.get("default"), tmp_path)


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), DataError("data/cudnn/out of memory is missing. Prepare the arrays again.")], ids=str
)
def test_other_errors_are_left_alone(error: Exception, tmp_path: Path) -> None:
    explained = None
    try:
        explain_device_failure(error, None, recipes.get("default"), tmp_path)
    except TrainingError as instead:
        explained = instead
    assert explained is None
