from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.bench.scenarios import Effort, Variant, variants
from asl_edge.errors import UserError


def test_every_combination_once() -> None:
    found = variants([Path("a.onnx"), "b.onnx"], ["cpu", "auto"], [1, 8, 1], [None, 2])

    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert found[0] == Variant("a.onnx", "cpu", 1, None)
    assert found[-1] == Variant("b.onnx", "auto", 8, 2)
    assert (found[0].threads_text, found[-1].threads_text) == ("all", "2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "needs at least one model"),
        ((["a"], ["cpu"], [0]), "batch size must be 1 or more"),
        ((["a"], ["cpu"], [1], [-2]), "number of threads must be 1 or more"),
    ],
)
def test_what_makes_no_sense(arguments: tuple[list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        variants(*arguments)


@pytest.mark.parametrize(("name", "value"), [("rounds", 0), ("runs", 0), ("warmup", -1)])
def test_effort_out_of_range(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{name} must be"):
        Effort(**{name: value})
