"""Which precision of a model suits which provider and processor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from asl_edge.runtime.machine import processor_flags

if TYPE_CHECKING:
    from asl_edge.spec import ModelSpec

_X86 = frozenset(("x86_64", "amd64", "i386", "i686"))
_ARM = frozenset(("aarch64", "arm64", "armv7l", "armv8l"))
_VNNI = frozenset(("avx512_vnni", "avx_vnni", "amx_int8"))
_FP16_FIRST = ("cuda", "rocm", "migraphx", "coreml", "directml")
"""Providers on which half precision is the fastest."""

LARGEST_EXACT_WEIGHT = 64
"""Largest integer weight for which the sum of two products with bytes fits into 16 bits: 255 * (64 + 64) = 32640."""

FULL = ("fp16-weights", "fp32", "fp16")
"""Precisions with floating-point arithmetic, best first: used where nothing faster is known to be accurate."""


class _Entry(Protocol):
    """A model in one precision, such as `asl_edge.runtime.bundle.reader.BundledModel`."""

    @property
    def precision(self) -> str: ...
    @property
    def target(self) -> str | None: ...


AnyEntry = TypeVar("AnyEntry", bound=_Entry)


def processor() -> str:
    """Return `x86`, `arm` or `other`."""
    if hasattr(os, "uname"):
        machine = os.uname().machine.lower()
    else:
        import platform  # takes some milliseconds, and only Windows needs it

        machine = platform.machine().lower()
    return "x86" if machine in _X86 else "arm" if machine in _ARM else "other"


def has_vnni() -> bool | None:
    """Whether an x86 processor sums products of 8-bit integers without saturation (VNNI); None if that is unknown."""
    flags = processor_flags()
    return bool(_VNNI & flags) if flags is not None else None


def products_saturate() -> bool:
    """Whether this processor is known to saturate sums of two products of bytes that do not fit into 16 bits.

    That is x86 without VNNI. With 7-bit weights, as asl-edge writes them, the sums always fit.
    """
    return processor() == "x86" and has_vnni() is False


def may_saturate(spec: ModelSpec) -> bool:
    """Whether a model's weights are large enough for products to saturate: INT8 with 8-bit weights.

    Earlier versions of asl-edge wrote such files, and other programs do. Only some processors saturate (see
    `products_saturate`).
    """
    limit = spec.quantization.get("weight_limit")
    return spec.precision == "int8" and not (isinstance(limit, int) and limit <= LARGEST_EXACT_WEIGHT)


def preference(provider: str) -> tuple[tuple[str, str | None], ...]:
    """Return (precision, INT8 target) pairs for a provider (by our name) on this machine, best first.

    INT8 on a CPU is faster than float32, and several times as fast if the processor has instructions for it
    (benchmarks/results/int8-processors.md). Unsigned activations (`x86`, 0 to 255) also run on Arm.
    """
    full = tuple((name, None) for name in FULL)
    if provider in _FP16_FIRST:
        return (("fp16", None), *full[:2])
    if provider == "qnn":  # its HTP computes with integers; floats run on slower units
        return (("int8", "x86"), ("int8", "arm"), *full)
    if provider == "tensorrt":
        return (("int8", "tensorrt"), ("fp16", None), *full[:2])
    if provider in ("cpu", "openvino", "dnnl"):
        kind = processor()
        if kind == "arm":
            return (("int8", "arm"), ("int8", "x86"), ("int8", "tensorrt"), *full)
        if kind == "x86":
            return (("int8", "x86"), *full, ("int8", "arm"))
        return full
    return full


def best_for(models: Sequence[AnyEntry], provider: str) -> AnyEntry:
    """Return the model that suits a provider best; the first one if none is known to suit it."""
    for precision, target in preference(provider):
        for model in models:
            if model.precision == precision and (target is None or model.target == target):
                return model
    return models[0]


def needs_golden_test(precision: str) -> bool:
    """Whether a precision may be accurate on one device and not on another, so that each has to verify it: INT8."""
    return precision == "int8"
