"""Memory that training takes, and how to tell that it has run out or that a GPU's libraries do not work."""

from __future__ import annotations

import math
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from asl_edge.runtime import machine
from asl_edge.training.compute.host_memory import address_space_bytes

if TYPE_CHECKING:
    import keras

_OUT_OF_MEMORY = re.compile(
    r"out of memory|OOM when allocating|RESOURCE_?EXHAUSTED|can't allocate memory|not enough memory|bad_alloc"
    r"|Unable to allocate|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_LIBRARIES = re.compile(
    r"cudnn|DNN library|CUDA_ERROR|CUDA error|CUDA driver|cublas|cusolver|libdevice|ptxas|nvrtc|nvlink"
    r"|no kernel image|Failed call to cuInit",
    re.IGNORECASE,
)
_COPIES_PER_ACTIVATION = 3
"""The activation, its gradient, and the workspace of the convolution that computes it."""
_COPIES_PER_IMAGE = 6
"""Of the images as float32, while they are augmented."""
_COPIES_PER_WEIGHT = 4
"""The weight, its gradient, and two moments of the optimizer, all in float32."""
_USABLE = 0.9


class Needed(NamedTuple):
    """An estimate of the memory that training takes, in bytes."""

    fixed: int
    per_image: int

    def for_batch(self, images: int) -> int:
        """Return the memory that batches of this size take."""
        return self.fixed + self.per_image * images


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, NumPy or a Keras backend says that memory ran out, on the GPU or elsewhere."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def is_of_gpu_libraries(error: BaseException) -> bool:
    """Whether an exception of a Keras backend says that the GPU's driver, CUDA or cuDNN does not work."""
    return _LIBRARIES.search(str(error)) is not None


def needed(network: keras.Model) -> Needed:
    """Estimate the memory that training a network takes, from its weights and the sizes of its layers' outputs.

    Within a factor of two of what AlexNet takes; kernels and allocators differ between backends.
    """
    weights = sum(math.prod(weight.shape) for weight in network.weights)
    policy = str(network.dtype_policy.compute_dtype)
    width = 2 if "16" in policy else 4
    activations = sum(_elements(layer) for layer in network.layers)
    pixels = math.prod(network.input_shape[1:])
    return Needed(
        fixed=_COPIES_PER_WEIGHT * 4 * weights,
        per_image=_COPIES_PER_ACTIVATION * width * activations + _COPIES_PER_IMAGE * 4 * pixels,
    )


def largest_batch(network: keras.Model | None, failed: int, available_bytes: int | None) -> int:
    """Return a batch size, a power of two, that should fit where `failed` images did not; at most half as many.

    Args:
        network: what is trained; None if it could not be built.
        failed: images per batch that did not fit.
        available_bytes: memory of the device; None if unknown.
    """
    most = failed // 2
    if network is not None and available_bytes is not None:
        estimate = needed(network)
        most = min(most, int(_USABLE * available_bytes - estimate.fixed) // estimate.per_image)
    return 0 if most < 1 else 1 << (most.bit_length() - 1)


def available_bytes() -> int | None:
    """Return the memory of the device that trains: its GPU's, or what this process may use; None if unknown."""
    gpu = _gpu_bytes()
    if gpu is not None:
        return gpu
    total, limit = machine.total_memory_bytes(), address_space_bytes()
    known = [size for size in (total, limit) if size is not None]
    return min(known) if known else None


def _elements(layer: Any) -> int:
    """Return the number of elements of a layer's output per image; 0 for layers without a single one."""
    try:
        return math.prod(int(side) for side in layer.output.shape[1:])
    except (AttributeError, TypeError, ValueError):
        return 0


def _gpu_bytes() -> int | None:
    from asl_edge.training.compute.backend import has_gpu

    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not has_gpu():
        return None
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        return min(int(line) for line in done.stdout.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
