from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.runtime import machine
from asl_edge.runtime.diagnostics.instructions import instructions

AVX2 = {"fpu", "avx", "avx2", "fma"}


@pytest.mark.parametrize(
    ("flags", "architecture", "sets", "precision", "training"),
    [
        (AVX2, "x86_64", ("AVX2",), "gains little", "float32, about half"),
        (AVX2 | {"avx_vnni"}, "x86_64", ("AVX2", "VNNI"), "fastest", "float32, about half"),
        (
            AVX2 | {"avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"},
            "x86_64",
            ("AVX2", "AVX-512", "VNNI", "AMX", "bfloat16"),
            "fastest",
            "bfloat16, about twice",
        ),
        ({"fp", "asimd", "asimddp"}, "aarch64", ("Arm dot product",), "fastest", "float32"),
        ({"fp", "asimd"}, "aarch64", (), "without the dot product", "float32"),
        ({"fpu", "sse2"}, "x86_64", (), "Neither AVX2", "float32"),
    ],
)
def test_what_follows(flags: set[str], architecture: str, sets: tuple[str, ...], precision: str, training: str) -> None:
    found = instructions(flags, architecture)

    assert found is not None
    assert found.sets == sets
    assert precision in found.precision
    assert training in found.training


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert instructions(machine.processor_features(tmp_path / "gone"), "x86_64") is None


@pytest.mark.parametrize("line", ["flags\t\t: fpu avx2 avx_vnni", "Features\t: fp asimd asimddp"])
def test_processors_of_both_kinds_are_read(tmp_path: Path, line: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n")

    found = instructions(machine.processor_features(tmp_path / "cpuinfo"), "x86_64")

    assert found is not None
    assert "fastest" in found.precision
