"""Options of an evaluation: objects, fields by name, and their limits."""

from __future__ import annotations

from typing import Any

import pytest

from asl_edge.errors import UserError
from asl_edge.evaluation.evaluation_options import EvaluationOptions, combined
from asl_edge.runtime.model_options import ModelOptions


def test_the_defaults_are_the_test_split_on_the_cpu() -> None:
    options, model_options = combined(None, None, {})
    assert options == EvaluationOptions()
    assert (options.split, options.threshold, options.batch_size) == ("test", None, 64)
    assert model_options == ModelOptions(provider="cpu")


def test_fields_by_name_go_to_the_object_that_has_them() -> None:
    options, model_options = combined(
        EvaluationOptions(split="train", bgr=True),
        ModelOptions(provider="auto", strict=True),
        {"split": "validation", "zoom": False, "threads": 2},
    )
    assert options == EvaluationOptions(split="validation", bgr=True)
    assert model_options == ModelOptions(provider="auto", strict=True, zoom=False, threads=2)


def test_an_unknown_field_is_an_error() -> None:
    unknown: Any = {"limit": 0.5}
    with pytest.raises(TypeError, match="limit"):
        combined(None, None, unknown)


@pytest.mark.parametrize("fields", [{"threshold": -0.1}, {"threshold": 1.1}, {"batch_size": 0}])
def test_numbers_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(fields))):
        EvaluationOptions(**fields)
