"""The zoom pass is fitted to a network's own images, kept where it helps, and exported with the model."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_progress import RecordedProgress

from asl_edge.data.arrays import PreparedArrays
from asl_edge.runtime.zoom import BoxFinder, ZoomModel
from asl_edge.training import networks, recipes
from asl_edge.training.config import read_settings
from asl_edge.training.zoom_fitting import ZoomFit, fit_zoom, scaled_down, write_zoom

SIDE = 48
ZOOM = ZoomModel((0.5, 0.25), -1.0, 1.0, 0.8, 0.5)


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
    """A network that tells red from green, and predicts red where there is little of either."""
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


def test_small_hands_are_classified_better(arrays: PreparedArrays) -> None:
    found = fit_zoom(colour_network(), arrays, seed=0)

    assert found is not None
    assert found.kept
    assert found.small_with_zoom > 1.1 * found.small_without_zoom
    assert found.whole_with_zoom == found.whole_without_zoom == found.images == 256
    assert "cropped and classified a second time" in found.describe()
    again = fit_zoom(colour_network(), arrays, seed=0)
    assert again is not None
    assert again.to_dict() == found.to_dict()
    assert again.zoom.bias == pytest.approx(found.zoom.bias, abs=1e-4)


def test_a_network_that_cannot_locate_hands_has_none(arrays: PreparedArrays) -> None:
    assert fit_zoom(colour_network(flat=True), arrays, seed=0) is None


def test_too_few_images_decide_nothing(tmp_path: Path) -> None:
    for number, (split, count) in enumerate((("train", 60), ("validation", 8), ("test", 8))):
        for name, values in zip(("set", "classes"), discs(count, number), strict=True):
            np.save(tmp_path / f"{split}_{name}.npy", values)
    assert fit_zoom(colour_network(), PreparedArrays.open(tmp_path, classes=["A", "B"]), seed=0) is None


def test_what_does_not_help_is_not_kept(arrays: PreparedArrays) -> None:
    network = colour_network()
    network.get_layer("logits").set_weights([np.zeros((2, 2)), np.array([0.1, 0.0])])  # always the same prediction

    found = fit_zoom(network, arrays, seed=0)

    assert found is not None
    assert not found.kept
    assert "there is no zoom pass" in found.describe()


def zoom_fit(kept: bool) -> ZoomFit:
    return ZoomFit(ZOOM, 100, 50, 70, 90, 90, kept)


def test_the_file_is_ours_alone_to_change(tmp_path: Path) -> None:
    path = tmp_path / "zoom.json"
    write_zoom(tmp_path, zoom_fit(kept=False))
    assert not path.exists()
    write_zoom(tmp_path, zoom_fit(kept=True))
    assert ZoomModel.from_dict(json.loads(path.read_text())) == ZOOM
    write_zoom(tmp_path, None)  # trained further, it no longer helps
    assert not path.exists()
    for somebodys in (json.dumps(ZOOM.to_dict() | {"margin": 1.3}), "{", "[]"):
        path.write_text(somebodys)
        for found in (zoom_fit(kept=True), zoom_fit(kept=False), None):
            write_zoom(tmp_path, found)
            assert path.read_text() == somebodys


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 1.6), st.integers(8, 70), st.integers(4, 90), st.integers(0, 2**32 - 1))
def test_an_image_that_is_scaled_down_takes_up_its_share(share: float, source: int, side: int, seed: int) -> None:
    image = np.zeros((source, source, 3), np.uint8)
    image[..., 0] = 255
    scaled = scaled_down(image, share, side, np.random.default_rng(seed))
    assert (scaled.shape, scaled.dtype) == ((side, side, 3), np.uint8)
    red = (scaled[..., 0] > 250) & (scaled[..., 1:].max(axis=2) < 5)
    if share >= 1 or red.all():  # all of it, or its edges continue
        assert red.all()
    else:  # what a synthetic background leaves, except for the seam
        assert red.sum() <= (share * side + 5) ** 2


@pytest.mark.parametrize("ours", [True, False])
def test_the_file_of_an_earlier_version_is_replaced_if_training_wrote_it(ours: bool, tmp_path: Path) -> None:
    earlier, path = tmp_path / "framing.json", tmp_path / "zoom.json"
    values = ZOOM.to_dict() | {"margin": 1.3} | ({"fitted_by": "train"} if ours else {})
    earlier.write_text(json.dumps(values))
    write_zoom(tmp_path, zoom_fit(kept=True))
    assert (path.exists(), earlier.exists()) == (ours, not ours)
    if ours:
        assert ZoomModel.from_dict(json.loads(path.read_text())) == ZOOM
    else:
        assert json.loads(earlier.read_text()) == values


def trained(arrays: PreparedArrays, run: Path, *, zoom: bool) -> list[str]:
    """Train `colour_network` for an epoch into `run`; return the notes."""
    from asl_edge.training.loop.train import train

    if "colours" not in networks.names():
        networks.register(networks.Network("colours", "for tests", SIDE, 8, lambda _classes, _size: colour_network()))
    config = recipes.get("signer-independent", network="colours", epochs=1, steps_per_epoch=2, batch_size=20,
                         precision="float32", augmentation="none", flip_probability=None, warmup_epochs=0.0,
                         ema_momentum=0.0, dropout_scale=0.0, zoom=zoom)  # fmt: skip
    progress = RecordedProgress()
    train(config, arrays, run, progress=progress)
    return progress.notes


@pytest.fixture(scope="module")
def run(arrays: PreparedArrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training without a zoom pass."""
    run = tmp_path_factory.mktemp("without") / "run"
    assert not any("zoom" in note for note in trained(arrays, run, zoom=False))
    return run


def exported_zoom(run: Path, fit: ZoomFit | None, folder: Path) -> BoxFinder | None:
    """Return the zoom pass of a model that is exported from a copy of a run in which training wrote `fit`."""
    from asl_edge.export.export import export_run
    from asl_edge.runtime.predictor import Predictor

    copy = shutil.copytree(run, folder / "run")
    write_zoom(copy, fit)
    with Predictor(export_run(copy, folder / "model.onnx", precision="fp32").model_path) as predictor:
        return predictor.zoom


def test_training_fits_it_and_records_it(arrays: PreparedArrays, tmp_path: Path) -> None:
    notes = trained(arrays, tmp_path / "run", zoom=True)
    recorded = json.loads((tmp_path / "run/results.json").read_text())["zoom"]
    assert recorded["images"] == 256
    assert any(note.startswith("On validation images scaled down to 30% to 60%, accuracy is") for note in notes)
    assert (tmp_path / "run/zoom.json").exists() is recorded["kept"]


def test_training_without_it_leaves_no_trace_of_it(run: Path) -> None:
    assert "zoom" not in json.loads((run / "results.json").read_text())
    assert not (run / "zoom.json").exists()


def test_export_takes_what_is_kept(run: Path, tmp_path: Path) -> None:
    assert exported_zoom(run, zoom_fit(kept=True), tmp_path) == ZOOM


def test_export_has_none_where_it_does_not_help(run: Path, tmp_path: Path) -> None:
    assert exported_zoom(run, zoom_fit(kept=False), tmp_path) is None


def test_without_scikit_learn_the_training_is_not_lost(
    arrays: PreparedArrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert any("needs scikit-learn" in note for note in trained(arrays, tmp_path / "run", zoom=True))
    assert (tmp_path / "run/results.json").is_file()


def test_it_is_a_choice_of_the_training() -> None:
    assert recipes.get("finetune").zoom
    assert not recipes.get("finetune", **read_settings(["zoom=false"])).zoom
