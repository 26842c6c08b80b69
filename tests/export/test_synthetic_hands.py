"""Synthetic hands: the same every time, and none for calibration among those for the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.export.source.open_source import Source
from asl_edge.export.synthetic_hands import calibration_hands, unlike_training


def source(**changed: Any) -> Source:
    known: dict[str, Any] = {
        "path": Path("m.keras"), "model": None, "classes": ("A", "B"), "input_size": 32, "fit": "crop", "colour": "RGB",
        "network": "tiny",
    }  # fmt: skip
    return Source(**(known | changed))


@pytest.mark.parametrize("classes", [("A", "B"), ("cat", "dog")])
def test_they_are_always_the_same_and_never_shared(classes: tuple[str, ...]) -> None:
    seen, compared = calibration_hands(source(classes=classes)), unlike_training(source(classes=classes))
    assert (seen.shape, seen.dtype) == ((256, 32, 32, 3), np.uint8)
    assert (compared.shape, compared.dtype) == ((232, 32, 32, 3), np.uint8)
    assert len({image.tobytes() for image in (*seen, *compared)}) == 256 + 232
    assert np.array_equal(compared, unlike_training(source(classes=classes)))


def test_they_have_the_models_input_format() -> None:
    rgb = unlike_training(source())
    assert np.array_equal(unlike_training(source(colour="BGR")), rgb[..., ::-1])
    assert unlike_training(source(input_size=24)).shape == (232, 24, 24, 3)  # rendered larger and scaled down
