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
_HALF_FIRST = ("cuda", "rocm", "migraphx", "coreml", "directml")

LARGEST_EXACT_WEIGHT = 64
"""Whole numbers up to which two products with bytes, added up, fit into 16 bits: 255 * (64 + 64) = 32640."""

FULL = ("fp16-weights", "fp32", "fp16")
"""Arithmetic in float32: where nothing faster is known to be right."""


class _Entry(Protocol):
    """One precision of a model, such as `asl_edge.runtime.bundle.reader.BundledModel`."""

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
        import platform  # some milliseconds, which only Windows has to take

        machine = platform.machine().lower()
    return "x86" if machine in _X86 else "arm" if machine in _ARM else "other"


def has_vnni() -> bool | None:
    """Whether an x86 processor multiplies 8-bit numbers without saturating sums; None where that cannot be told."""
    flags = processor_flags()
    return bool(_VNNI & flags) if flags is not None else None


def products_saturate() -> bool:
    """Whether this processor is known to cut off sums of two products of bytes that do not fit into 16 bits.

    That is x86 without VNNI. Files whose weights have 7 bits, as asl-edge writes them, never reach that far.
    """
    return processor() == "x86" and has_vnni() is False


def may_saturate(spec: ModelSpec) -> bool:
    """Whether a file's weights are so large that products saturate where processors do that: INT8 of 8 bits.

    Older versions of asl-edge wrote such files, and other programs do.
    """
    limit = spec.quantization.get("weight_limit")
    return spec.precision == "int8" and not (isinstance(limit, int) and limit <= LARGEST_EXACT_WEIGHT)


def preference(provider: str) -> tuple[tuple[str, str | None], ...]:
    """Return precisions with INT8's target, best first, for one of our provider names on this machine.

    INT8 on a CPU is faster than float32, and several times as fast where the processor has instructions for it
    (benchmarks/results/int8-processors.md). Activations of 0 to 255 (`x86`) run as well on Arm.
    """
    full = tuple((name, None) for name in FULL)
    if provider in _HALF_FIRST:
        return (("fp16", None), *full[:2])
    if provider == "qnn":  # whose HTP computes with whole numbers; floats are for its slower parts
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
    """Return the model that suits a provider best; the first of them where none is known to."""
    for precision, target in preference(provider):
        for model in models:
            if model.precision == precision and (target is None or model.target == target):
                return model
    return models[0]


def wants_proof(precision: str) -> bool:
    """Whether a precision may be right on one device and wrong on another: INT8."""
    return precision == "int8"
