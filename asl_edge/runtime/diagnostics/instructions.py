"""Instruction sets of the processor that matter here, and what follows for precision and training."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

_SETS: tuple[tuple[str, frozenset[str]], ...] = (
    ("AVX2", frozenset(("avx2",))),
    ("AVX-512", frozenset(("avx512f",))),
    ("VNNI", frozenset(("avx512_vnni", "avx_vnni"))),
    ("AMX", frozenset(("amx_int8", "amx_bf16"))),
    ("bfloat16", frozenset(("avx512_bf16", "amx_bf16", "bf16"))),
    ("Arm dot product", frozenset(("asimddp",))),
    ("Arm int8 matrices", frozenset(("i8mm",))),
)
"""Our name, and the features any of which means it."""
_INTEGERS = frozenset(("VNNI", "AMX", "Arm dot product", "Arm int8 matrices"))


class Instructions(NamedTuple):
    """What a processor has, and what follows."""

    sets: tuple[str, ...]
    """Names of the sets that it has."""
    precision: str
    training: str


def instructions(features: Set[str], architecture: str) -> Instructions | None:
    """Return what follows from a processor's features; None if they are not known, as outside Linux.

    The ratios were measured with the pretrained model on one thread of an Intel Xeon, with all instructions and as with
    AVX2 alone (docs/model-card.md), and in training AlexNet (`asl_edge.training.compute.backend`).

    Args:
        features: see `asl_edge.runtime.machine.processor_features`.
        architecture: as `platform.machine()` gives it.
    """
    if not features:
        return None
    sets = tuple(name for name, any_of in _SETS if any_of & features)
    if _INTEGERS & set(sets):
        precision = "INT8 is the fastest: its products need one instruction (3 times as fast as float32 on a Xeon)"
    elif "AVX2" in sets:
        precision = "INT8 gains little: about 1.5 times as fast as float32, where VNNI gives 3 times"
    elif architecture.lower() in ("aarch64", "arm64"):
        precision = "INT8 gains little without the dot product; measure it with `asl-edge benchmark`"
    else:
        precision = "Neither AVX2 nor VNNI: expect several times the latencies of the documentation"
    if "bfloat16" in sets:
        training = "Training computes in bfloat16, about twice as fast as in float32"
    else:
        training = "Training computes in float32, about half as fast as with bfloat16"
    return Instructions(sets, precision, training)
