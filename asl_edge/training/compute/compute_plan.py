"""Compute plan: dtype policy, convolution implementation and XLA, chosen once per run."""

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
    """How a run is computed: chosen when it begins, kept in its config, and used again when it is resumed."""

    policy: Policy = "float32"
    policy_reason: str = "requested"
    fast_convolution: bool = False
    """Whether convolutions are computed as in `asl_edge.training.compute.fast_convolution` where that is faster."""
    fast_convolution_reason: str = "requested"
    xla: bool = False
    """Whether the backend compiles the step with XLA; JAX always does."""
    xla_reason: str = "requested"

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
        """Read the plan out of `config.json`."""
        return cls(
            values["dtype_policy"], values["dtype_policy_reason"],
            values["fast_convolution_used"], values["fast_convolution_reason"],
            values["xla_used"], values["xla_reason"],
        )  # fmt: skip

    def notes(self) -> list[str]:
        """Return a sentence for people on each choice."""
        convolution = "asl-edge's own" if self.fast_convolution else "the backend's own"
        return [
            f"Precision: {self.policy} ({self.policy_reason}).",
            f"Convolution: {convolution} ({self.fast_convolution_reason}).",
            f"XLA: {'on' if self.xla else 'off'} ({self.xla_reason}).",
        ]


def choose_plan(config: TrainConfig, seconds_per_step: Callable[[ComputePlan], float]) -> ComputePlan:
    """Choose the plan for `config` on this machine.

    Args:
        config: what is requested.
        seconds_per_step: measures a plan; called only where the faster one is not known.
    """
    precision = choose_precision(config.precision)
    fast, why_fast = _choose_convolution(config)
    plan = ComputePlan(precision.policy, precision.reason, fast, why_fast)
    xla, why_xla = _choose_xla(config, plan, seconds_per_step)
    return replace(plan, xla=xla, xla_reason=why_xla)


def _choose_convolution(config: TrainConfig) -> tuple[bool, str]:
    if config.fast_convolution != "auto":
        return config.fast_convolution == "on", "requested"
    if has_gpu():
        return False, "the GPU's library chooses its own algorithms"
    import keras

    if keras.backend.backend() == "torch":
        return False, "not known to be faster with torch"
    return (
        True,
        "large kernels with FFTs, strided ones rearranged: faster on a CPU, equal except for rounding",
    )


def _choose_xla(
    config: TrainConfig, plan: ComputePlan, seconds_per_step: Callable[[ComputePlan], float]
) -> tuple[bool, str]:
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        return True, "JAX always compiles with it"
    if config.xla != "auto":
        return config.xla == "on", "requested"
    if compile_with_xla() is False:
        return False, "several times slower with TensorFlow on a CPU"
    if backend != "tensorflow":
        return False, f"not known to be faster with {backend}"
    without, with_xla = (seconds_per_step(replace(plan, xla=xla)) for xla in (False, True))
    return (
        without > _WORTH_IT * with_xla,
        f"a step takes {with_xla * 1e3:.0f} ms with it, {without * 1e3:.0f} ms without",
    )
