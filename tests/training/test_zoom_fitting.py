"""The second look is fitted to a network's own images, kept where it helps, and taken along by export."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.data.arrays import PreparedArrays
from asl_edge.runtime.zoom import ZoomModel
from asl_edge.training import recipes
from asl_edge.training.config import read_settings
from asl_edge.training.zoom_fitting import ZoomFit, fit_zoom, made_smaller, write_zoom

SIDE = 48
FRAMING = ZoomModel((0.5, 0.25), -1.0, 1.0, 0.8, 0.5)


def discs(count: int, seed: int) -> tuple[Any, Any]:
    """Images of a red or a green disc that fills most of a grey image, and their one-hot classes."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for number, image in enumerate(images):
        image[:] = rng.integers(60, 200)
        colour = (210, 90, 90) if number % 2 == 0 else (90, 210, 90)
        centre = tuple(int(value) for value in rng.integers(SIDE // 2 - 3, SIDE // 2 + 4, 2))
        cv2.circle(image, centre, int(rng.integers(15, 20)), colour, -1)
    return images, np.eye(2, dtype=np.float32)[np.arange(count) % 2]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> PreparedArrays:
    folder = tmp_path_factory.mktemp("discs")
    for number, (split, count) in enumerate((("train", 120), ("validation", 60), ("test", 20))):
        images, classes = discs(count, number)
        np.save(folder / f"{split}_set.npy", images)
        np.save(folder / f"{split}_classes.npy", classes)
    return PreparedArrays.open(folder, classes=["A", "B"])


def colour_network(*, flat: bool = False) -> Any:
    """A network that tells red from green, and says red where there is little of either."""
    from asl_edge.export.graph.toolchain import load_keras

    layers = load_keras().layers
    network = load_keras().Sequential(
        [
            layers.Input((SIDE, SIDE, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(2, 1, activation="relu", name="colours"),
            layers.AveragePooling2D(4),
            layers.Flatten() if flat else layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(2, name="logits"),
            layers.Activation("softmax"),
        ]
    )
    network.get_layer("colours").set_weights([np.array([[[[1.0, -1.0], [-1.0, 1.0], [0, 0]]]]), np.zeros(2)])
    if not flat:
        network.get_layer("logits").set_weights([np.array([[30.0, -30.0], [-30.0, 30.0]]), np.array([4.0, 0.0])])
    return network


def test_small_ones_are_read_better(arrays: PreparedArrays) -> None:
    found = fit_zoom(colour_network(), arrays, seed=0)

    assert found is not None
    assert found.kept
    assert found.small_at_two > 1.1 * found.small_at_one
    assert found.whole_at_two == found.whole_at_one == found.images == 256
    assert "looks again" in found.describe()
    again = fit_zoom(colour_network(), arrays, seed=0)
    assert again is not None
    assert again.to_dict() == found.to_dict()
    assert again.zoom.bias == pytest.approx(found.zoom.bias, abs=1e-4)


def test_a_network_that_cannot_tell_where_it_looks_has_none(arrays: PreparedArrays) -> None:
    assert fit_zoom(colour_network(flat=True), arrays, seed=0) is None


def test_too_few_images_decide_nothing(tmp_path: Path) -> None:
    for number, (split, count) in enumerate((("train", 60), ("validation", 8), ("test", 8))):
        for name, values in zip(("set", "classes"), discs(count, number), strict=True):
            np.save(tmp_path / f"{split}_{name}.npy", values)
    assert fit_zoom(colour_network(), PreparedArrays.open(tmp_path, classes=["A", "B"]), seed=0) is None


def test_what_does_not_help_is_not_kept(arrays: PreparedArrays) -> None:
    network = colour_network()
    network.get_layer("logits").set_weights([np.zeros((2, 2)), np.array([0.1, 0.0])])  # always the same answer

    found = fit_zoom(network, arrays, seed=0)

    assert found is not None
    assert not found.kept
    assert "looks once" in found.describe()


def look(kept: bool) -> ZoomFit:
    return ZoomFit(FRAMING, 100, 50, 70, 90, 90, kept)


def test_the_file_is_ours_alone_to_change(tmp_path: Path) -> None:
    path = tmp_path / "zoom.json"
    write_zoom(tmp_path, look(kept=False))
    assert not path.exists()
    write_zoom(tmp_path, look(kept=True))
    assert ZoomModel.from_dict(json.loads(path.read_text())) == FRAMING
    write_zoom(tmp_path, None)  # trained on, it no longer helps
    assert not path.exists()
    for somebodys in (json.dumps(FRAMING.to_dict() | {"margin": 1.3}), "{", "[]"):
        path.write_text(somebodys)
        for found in (look(kept=True), look(kept=False), None):
            write_zoom(tmp_path, found)
            assert path.read_text() == somebodys


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 1.6), st.integers(8, 70), st.integers(4, 90), st.integers(0, 2**32 - 1))
def test_an_image_made_smaller_takes_up_its_share(share: float, source: int, side: int, seed: int) -> None:
    image = np.zeros((source, source, 3), np.uint8)
    image[..., 0] = 255
    made = made_smaller(image, share, side, np.random.default_rng(seed))
    assert (made.shape, made.dtype) == ((side, side, 3), np.uint8)
    red = (made[..., 0] > 250) & (made[..., 1:].max(axis=2) < 5)
    if share >= 1 or red.all():  # all of it, or its edges go on
        assert red.all()
    else:  # what a drawn background leaves, but for the seam
        assert red.sum() <= (share * side + 5) ** 2


def test_training_tries_it_and_export_takes_along_what_is_kept(
    arrays: PreparedArrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asl_edge.export.export import export_run
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.training.loop.progress import Progress
    from asl_edge.training.loop.train import train

    class Notes(Progress):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    for wanted in (True, False):
        run, notes = tmp_path / f"run-{wanted}", Notes()
        config = recipes.get("strangers", epochs=6, steps_per_epoch=None, batch_size=20, precision="float32",
                             augmentation="none", flip_probability=None, warmup_epochs=0.0, ema_momentum=0.0,
                             dropout_scale=0.0, zoom=wanted)  # fmt: skip
        train(config, arrays, run, progress=notes)
        results = json.loads((run / "results.json").read_text())
        kept = results.get("zoom", {}).get("kept", False)
        assert ("zoom" in results) is wanted
        assert (run / "zoom.json").exists() is kept
        assert any("at two" in note for note in notes.notes) is wanted
        with Predictor(export_run(run, tmp_path / f"{wanted}.onnx", precision="fp32").model_path) as predictor:
            assert (predictor.zoom is not None) is kept

    run = tmp_path / "run-True"
    zoom = ZoomModel((0.01,) * 256, -1.0, 1.1, 0.8, 0.5)
    write_zoom(run, ZoomFit(zoom, 100, 50, 70, 90, 90, kept=True))
    with Predictor(export_run(run, tmp_path / "kept.onnx", precision="fp32").model_path) as predictor:
        assert predictor.zoom == zoom

    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)  # not installed: the training is not lost
    notes = Notes()
    train(replace(config, epochs=1, zoom=True), arrays, tmp_path / "without", progress=notes)
    assert any("scikit-learn" in note for note in notes.notes)
    assert (tmp_path / "without" / "results.json").is_file()


def test_it_is_a_choice_of_the_training() -> None:
    assert recipes.get("finetune").zoom
    assert not recipes.get("finetune", **read_settings(["zoom=false"])).zoom
