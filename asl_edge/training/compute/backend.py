"""Loading Keras quietly, and the number format to train in on this machine."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

from asl_edge.errors import MissingPackageError, UserError
from asl_edge.process.environment import for_importing_keras, use_our_keras_settings
from asl_edge.process.native_stderr import quiet_stderr
from asl_edge.process.printable import first_line
from asl_edge.training.compute.host_memory import reuse_host_memory
from asl_edge.training.config import Precision

_BACKENDS = ("tensorflow", "jax", "torch")

Policy = Literal["float32", "mixed_bfloat16", "mixed_float16"]


class ChosenPrecision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: Policy
    reason: str


def load_keras() -> ModuleType:
    """Import Keras and its backend, with its own defaults and without their start-up messages on standard error.

    Raises:
        MissingPackageError: Keras or its backend is not installed.
        UserError: `KERAS_BACKEND` names no backend, or the backend does not start on this machine.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules:
        use_our_keras_settings(sys.modules["keras"])
        return sys.modules["keras"]
    _refuse_unknown_backend()
    reuse_host_memory()
    try:
        with quiet_stderr(), for_importing_keras():
            import keras

            keras.ops.zeros(1)  # the backend's own first messages come with its first tensor
    except ImportError as error:
        raise MissingPackageError(
            f"Training needs Keras and a backend, and one cannot be imported ({first_line(error)}). "
            "Install them: pip install 'asl-edge[train]'"
        ) from error
    except RuntimeError as error:  # JAX and PyTorch, where the GPU's driver or libraries do not fit
        raise UserError(
            f"The backend of Keras does not start on this machine ({first_line(error)}). Update the GPU's driver, or "
            "compute on the CPU: CUDA_VISIBLE_DEVICES= JAX_PLATFORMS=cpu"
        ) from error
    module: ModuleType = keras
    return module


def _refuse_unknown_backend() -> None:
    backend = os.environ.get("KERAS_BACKEND")
    if backend and backend not in _BACKENDS:
        raise UserError(
            f"KERAS_BACKEND={backend} is not a backend to train on. Set it to {', '.join(_BACKENDS)}, or unset it for "
            "tensorflow."
        )


@contextlib.contextmanager
def dtype_policy(policy: Policy) -> Iterator[None]:
    """Build layers under a Keras dtype policy; the policy that was set before is set again afterwards."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def choose_precision(wanted: Precision) -> ChosenPrecision:
    """Return the dtype policy for `wanted` on this machine.

    `auto` uses bfloat16 where the processor computes with it; measured on two cores with AVX512-BF16, AlexNet, batch
    64: 47 images/s in float32, 109 in mixed_bfloat16. bfloat16 keeps float32's range, so the loss needs no scaling.
    """
    if wanted == "float32":
        return ChosenPrecision("float32", "requested")
    if has_gpu():
        if _gpu_has_bfloat16():
            return ChosenPrecision("mixed_bfloat16", "the GPU computes with bfloat16")
        return ChosenPrecision("mixed_float16", "the GPU has no bfloat16; the loss is scaled")
    if wanted == "mixed":
        return ChosenPrecision("mixed_bfloat16", "requested")
    import keras

    if keras.backend.backend() != "tensorflow":
        return ChosenPrecision("float32", f"bfloat16 on a CPU is not known to be faster with {keras.backend.backend()}")
    flags = cpu_flags() & {"avx512_bf16", "amx_bf16"}
    if flags:
        return ChosenPrecision("mixed_bfloat16", f"the processor computes with bfloat16 ({', '.join(sorted(flags))})")
    return ChosenPrecision("float32", "the processor has no bfloat16 instructions")


def list_devices() -> list[str]:
    """Return the names of the devices that the Keras backend computes on here: its GPUs, or without any its CPUs."""
    import keras

    if keras.backend.backend() == "torch":  # for which Keras lists none
        import torch

        return [f"gpu:{number}" for number in range(torch.cuda.device_count())] or ["cpu:0"]
    return [str(device) for device in keras.distribution.list_devices()]


def has_gpu() -> bool:
    """Whether the Keras backend computes on a GPU here."""
    return any("gpu" in device.lower() or "cuda" in device.lower() for device in list_devices())


def compile_with_xla() -> bool | str:
    """Return `jit_compile` for Keras: TensorFlow on a CPU is several times slower with XLA; elsewhere Keras decides."""
    import keras

    return "auto" if keras.backend.backend() != "tensorflow" or has_gpu() else False


def _gpu_has_bfloat16() -> bool:
    """Compute capability 8.0 (Ampere, 2020) and later; JAX does not report it."""
    import keras

    if keras.backend.backend() == "torch":
        import torch

        return bool(torch.cuda.is_bf16_supported())
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    capabilities = [
        tf.config.experimental.get_device_details(device).get("compute_capability", (8, 0))
        for device in tf.config.list_physical_devices("GPU")
    ]
    return all(capability >= (8, 0) for capability in capabilities)


def cpu_flags() -> set[str]:
    """Return the processor's feature flags, as Linux names them; none on other systems."""
    if platform.system() != "Linux":
        return set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()
