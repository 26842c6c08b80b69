"""What the options that commands share become in the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.cli.options import described, model_options
from asl_edge.errors import ProviderError, UserError
from asl_edge.runtime.model_options import ModelOptions


def test_model_options_carry_every_value() -> None:
    options = model_options(
        provider="cuda",
        strict=True,
        precision="fp16",
        threads=3,
        provider_options=["device_id=1", "cudnn_conv_algo_search = HEURISTIC"],
        zoom=False,
    )
    assert options == ModelOptions(
        provider="cuda",
        strict=True,
        precision="fp16",
        threads=3,
        provider_options={"device_id": "1", "cudnn_conv_algo_search": "HEURISTIC"},
        zoom=False,
    )


def test_without_options_a_model_runs_as_in_the_library() -> None:
    assert model_options() in (ModelOptions(), ModelOptions(provider_options={}))


@pytest.mark.parametrize("words", [["device_id"], ["=1"], ["a=1", "a=2"]])
def test_a_provider_option_is_a_name_and_a_value(words: list[str]) -> None:
    with pytest.raises(ProviderError, match="name=value"):
        model_options(provider_options=words)


def test_a_model_outside_a_run_is_described() -> None:
    model = described("a,B,space", "pad", True, "0-1", Path("weights.h5"))
    assert (model.classes, model.fit, model.colour) == (("A", "B", "space"), "pad", "BGR")
    assert (model.pixels, model.weights) == ("0-1", Path("weights.h5"))
    nothing = described(None, None, None, "auto", None)
    assert (nothing.classes, nothing.fit, nothing.colour, nothing.weights) == (None, None, None, None)
    assert described(None, None, False, "auto", None).colour == "RGB"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((None, "squeeze", None, "auto", None), "--fit must be crop, stretch or pad. Received: 'squeeze'"),
        ((None, None, None, "0-100", None), "--pixels must be auto, 0-1 or 0-255. Received: 0-100"),
        (("A,Q5", None, None, "auto", None), "Unknown class 'Q5'"),
    ],
)
def test_an_unknown_value_is_a_mistake(words: tuple[str | None, str | None, None, str, None], message: str) -> None:
    with pytest.raises(UserError, match=message):
        described(*words)
