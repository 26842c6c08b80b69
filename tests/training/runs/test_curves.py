"""curves.png."""

from __future__ import annotations

import pytest

from asl_edge.imaging.preprocess import load
from asl_edge.training.runs.curves import write_curves


@pytest.mark.parametrize("epochs", [1, 3, 60])
def test_is_an_image_for_any_number_of_epochs(epochs, tmp_path):
    pytest.importorskip("matplotlib")
    history = [
        {"epoch": e, "loss": 1 / e, "accuracy": 1 - 1 / (e + 1), "val_loss": 1.2 / e, "val_accuracy": 1 - 1 / (e + 2)}
        for e in range(1, epochs + 1)
    ]
    assert write_curves(tmp_path / "curves.png", history, "alexnet, recipe default")
    image = load(tmp_path / "curves.png", 200)
    assert image.min() < 100
    assert image.max() == 255
