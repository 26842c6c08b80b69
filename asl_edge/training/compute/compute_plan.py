"""By what means a training is computed on this machine: number format, ways of convolving, compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from asl_edge.training.compute.backend import Policy, choose_precision, compile_with_xla, has_gpu
from asl_edge.training.config import TrainConfig

_WORTH_IT = 1.02
"""XLA compiles for a minute, so it must be faster by more than the noise."""


@dataclass(frozen=True)
class ComputePlan:
    """Chosen when a run begins, kept in its config, taken again when it goes on."""

    policy: Policy = "float32"
    policy_reason: str = "asked for"
    fast_convolution: bool = False
    """Whether convolutions are computed by `asl_edge.training.compute.fast_convolution`'s ways."""
    fast_convolution_reason: str = "asked for"
    xla: bool = False
    """Whether the backend compiles the step with XLA; JAX always does."""
    xla_reason: str = "asked for"

    def to_dict(self) -> dict[str, Any]:
        """Return what `config.json` keeps."""
        return {
            "dtype_policy": self.policy,
            "dtype_policy_reason": self.policy_reason,
            "fast_convolution_used": self.fast_convolution,
            "fast_convolution_reason": self.fast_convolution_reason,
            "xla_used": self.xla,
            "xla_reason": self.xla_reason,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ComputePlan:
        """Read them out of `config.json`."""
        return cls(
            values["dtype_policy"], values["dtype_policy_reason"],
            values["fast_convolution_used"], values["fast_convolution_reason"],
            values["xla_used"], values["xla_reason"],
        )  # fmt: skip

    def notes(self) -> list[str]:
        """Return a sentence for people on each choice."""
        convolution = "fast ways" if self.fast_convolution else "the backend's own"
        return [
            f"Precision: {self.policy} ({self.policy_reason}).",
            f"Convolution: {convolution} ({self.fast_convolution_reason}).",
            f"XLA: {'on' if self.xla else 'off'} ({self.xla_reason}).",
        ]


def choose_plan(config: TrainConfig, seconds_of_a_step: Callable[[ComputePlan], float]) -> ComputePlan:
    """Choose for `config` on this machine.

    Args:
        config: what is asked for.
        seconds_of_a_step: measures a way; called only where there is no telling without.
    """
    precision = choose_precision(config.precision)
    fast, why_fast = _choose_convolution(config)
    means = ComputePlan(precision.policy, precision.reason, fast, why_fast)
    xla, why_xla = _choose_xla(config, means, seconds_of_a_step)
    return replace(means, xla=xla, xla_reason=why_xla)


def _choose_convolution(config: TrainConfig) -> tuple[bool, str]:
    if config.fast_convolution != "auto":
        return config.fast_convolution == "on", "asked for"
    if has_gpu():
        return False, "the GPU's library chooses its own ways"
    import keras

    if keras.backend.backend() == "torch":
        return False, "not known to be faster with torch"
    return (
        True,
        "large kernels by their Fourier transform, strided ones rearranged: faster on a CPU, equal but for rounding",
    )


def _choose_xla(
    config: TrainConfig, means: ComputePlan, seconds_of_a_step: Callable[[ComputePlan], float]
) -> tuple[bool, str]:
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        return True, "JAX always compiles with it"
    if config.xla != "auto":
        return config.xla == "on", "asked for"
    if compile_with_xla() is False:
        return False, "several times slower with TensorFlow on a CPU"
    if backend != "tensorflow":
        return False, f"not known to be faster with {backend}"
    without, with_xla = (seconds_of_a_step(replace(means, xla=xla)) for xla in (False, True))
    return without > _WORTH_IT * with_xla, f"a step takes {with_xla * 1e3:.0f} ms with it, {without * 1e3:.0f} without"
