from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import ModelError, RunError
from asl_edge.labels import CLASSES

keras = pytest.importorskip("keras")

from asl_edge.runtime.hand_landmarks import POINTS  # noqa: E402
from asl_edge.training.networks import landmark_layers as ours  # noqa: E402
from pretrained.landmarks.batches import SMOOTHING, Batches, BatchPlan, without_hand  # noqa: E402
from pretrained.landmarks.image_cache import ImageCache, Labelled, write_cache  # noqa: E402
from pretrained.landmarks.network.architecture import OUTPUTS, appearance_only, build, start_from_pretrained  # noqa: E402
from pretrained.landmarks.network.fused_norm import make_norms_fused  # noqa: E402
from pretrained.landmarks.network.loss import Weights, losses, total  # noqa: E402
from pretrained.landmarks.network.weights_file import read_weights, write_weights  # noqa: E402
from pretrained.landmarks.sources import NO_LETTER, Item  # noqa: E402
from pretrained.landmarks.stages import APPEARANCE_MODEL, SCRATCH, recipe_of  # noqa: E402
from pretrained.landmarks.training import BEST_WEIGHTS, CHECKPOINT, HISTORY, Settings, Trainer, run  # noqa: E402

SIZE = 64  # gives 7 x 7 places


@pytest.fixture(scope="module")
def network() -> Any:
    keras.utils.set_random_seed(1)
    return build(input_size=SIZE)


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(1).integers(0, 255, (4, SIZE, SIZE, 3), np.uint8)


def test_outputs(network: Any, images: Any) -> None:
    shapes = {name: tuple(value.shape) for name, value in network(images).items()}

    assert list(shapes) == list(OUTPUTS)
    assert shapes["fused"] == shapes["geometry"] == shapes["appearance"] == (4, len(CLASSES))
    assert shapes["landmarks"] == (4, POINTS, 3)


def test_budget() -> None:
    full = build()
    trained = sum(int(np.prod(variable.shape)) for variable in full.weights)
    places = full.output["heatmaps"].shape[1]

    assert trained * 2 <= 8_000_000  # bytes, with weights in half precision
    assert places == 15 * 15


def test_the_appearance_head_is_alexnet_edge_8(network: Any, images: Any) -> None:
    plain = np.asarray(appearance_only(network)(images))
    logits = np.asarray(network(images)["appearance"])

    assert np.allclose(plain, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-5)


def test_starts_as_the_pretrained_model(images: Any) -> None:
    from asl_edge.runtime.predictor import Predictor

    rng = np.random.default_rng(2)
    batch = rng.integers(0, 255, (6, 128, 128, 3), np.uint8)
    with Predictor(APPEARANCE_MODEL, zoom=False) as predictor:
        expected = predictor.probabilities(batch)
        temperature = predictor.spec.temperature
    started = build()
    start_from_pretrained(started, str(APPEARANCE_MODEL), batch)
    logits = np.asarray(started(batch)["appearance"]) / temperature
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))

    assert np.allclose(probabilities / probabilities.sum(axis=1, keepdims=True), expected, atol=0.02)


@pytest.mark.parametrize("training", [False, True])
def test_fused_normalisation_computes_the_same(images: Any, training: bool) -> None:
    plain, fused = build(input_size=SIZE), build(input_size=SIZE)
    fused.set_weights(plain.get_weights())
    names = make_norms_fused(fused)
    for network in (plain, fused):
        for name in ("dropout", "fused_dropout"):
            network.get_layer(name).rate = 0.0
    outputs = [np.asarray(network(images, training=training)["fused"]) for network in (plain, fused)]
    moving = [network.get_layer("norm3").get_weights()[2] for network in (plain, fused)]

    assert len(names) == 11
    assert np.allclose(outputs[0], outputs[1], atol=1e-3)
    assert np.allclose(moving[0], moving[1], atol=1e-4)


def test_another_network_is_refused(network: Any, tmp_path: Path, images: Any) -> None:
    keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten()], name="alexnet").save(tmp_path / "a.keras")

    with pytest.raises(ModelError, match="alexnet-edge-8"):
        start_from_pretrained(network, str(tmp_path / "a.keras"), images)


def test_points_are_where_heatmaps_are() -> None:
    decoded = np.zeros((1, 15, 15, POINTS * ours.CHANNELS), np.float32)
    decoded[0, 3, 11, :POINTS] = 50  # row 3, column 11
    decoded[0, :, :, POINTS : 2 * POINTS] = 0.5  # offset to the right, in units of REACH
    points, _, mean = ours.PointsFromHeatmaps()(decoded)

    assert np.allclose(np.asarray(points)[0, :, 0], 11.5 / 15 + 0.5 * ours.REACH, atol=1e-4)
    assert np.allclose(np.asarray(points)[0, :, 1], 3.5 / 15, atol=1e-4)
    assert int(np.asarray(mean).argmax()) == 3 * 15 + 11


def test_attended_mean_looks_where_the_hand_is() -> None:
    maps = np.zeros((1, 7, 7, 2), np.float32)
    maps[0, 2, 5] = (3.0, 7.0)
    attention = np.zeros((1, 225), np.float32)
    attention[0, 4 * 15 + 11] = 1.0  # within the coarse place (2, 5)

    assert np.allclose(np.asarray(ours.AttendedMean()([maps, attention])), [[3.0, 7.0]], atol=1e-4)


@pytest.mark.parametrize(("coarse", "fine"), [(7, 15), (3, 7), (1, 4)])
def test_enlarging_keeps_constants_and_order(coarse: int, fine: int) -> None:
    matrix = ours.interpolation(coarse, fine)

    assert np.allclose(matrix.sum(axis=1), 1)
    assert (np.diff(matrix @ np.arange(coarse)) >= 0).all()


def drawn_cache(folder: Path) -> ImageCache:
    """Return a cache of 12 small images of two letters, some without landmarks, one without a letter."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(12):
        points = np.zeros((POINTS, 3), np.float32)
        points[:, :2] = rng.uniform(15, 45, (POINTS, 2))
        label = NO_LETTER if number == 11 else number % 2
        source = "signers-extra" if number == 11 else "signers"
        item = Item(f"{number}", source, f"s{number % 3:02}", label, "train")
        image = rng.integers(0, 255, (60, 60, 3), np.uint8)
        rows.append(Labelled(image, item, points, number % 4 != 0, number % 2))
    write_cache(folder, rows)
    return ImageCache.open(folder)


PLAN = BatchPlan(size=SIZE, batch=8)


@pytest.fixture
def untraced() -> Iterator[None]:
    """Run without tracing, which takes longer than the one step of a test."""
    tensorflow = pytest.importorskip("tensorflow")
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


def test_a_batch_says_what_is_known(tmp_path: Path) -> None:
    cache = drawn_cache(tmp_path / "cache")
    soft = np.zeros((len(cache), len(CLASSES)), np.float16)
    soft[0, 5] = 1
    batch = Batches(cache, soft, (), PLAN).batch(3)
    again = Batches(cache, soft, (), PLAN).batch(3)

    assert all(np.array_equal(batch[name], again[name]) for name in batch)
    assert np.allclose(batch["targets"].sum(axis=1), 1, atol=1e-3)
    assert set(np.unique(batch["has_points"])) <= {0.0, 1.0}
    assert not batch["points"][batch["has_points"] == 0].any()
    plain = batch["targets"][batch["targets"].max(axis=1) > 0.9]
    assert np.allclose(plain.max(axis=1), 1 - SMOOTHING + SMOOTHING / len(CLASSES))


def test_the_loss_is_zero_where_points_are_exact_and_ignores_what_is_unknown(tmp_path: Path, network: Any) -> None:
    batch = Batches(drawn_cache(tmp_path / "cache"), None, (), PLAN).batch(0)
    outputs = {name: np.asarray(value) for name, value in network(batch["images"]).items()}
    wrong = outputs | {"landmarks": np.where(batch["has_points"][:, None, None] > 0, batch["points"], 9.0)}
    parts = losses(wrong, batch)

    assert float(parts["points"]) == pytest.approx(0, abs=1e-3)
    assert float(losses(outputs, batch)["points"]) > 0.1
    assert np.isfinite(float(total(parts, Weights())))


def test_a_training_continues_where_it_stopped(tmp_path: Path, untraced: None) -> None:
    batches = Batches(drawn_cache(tmp_path / "cache"), None, (), PLAN)
    settings = Settings(minutes=1e-6, epoch_steps=1, warmup_steps=1, plan=PLAN)
    network = build(input_size=SIZE)
    run(network, batches, None, tmp_path / "run", settings)
    resumed = Trainer(network, settings)
    state = resumed.load(tmp_path / "run")
    network.load_weights(tmp_path / "run" / BEST_WEIGHTS)

    assert state["step"] == resumed.step == 1
    assert resumed.passed == 1.0
    assert (tmp_path / "run" / HISTORY).read_text().count("\n") == 1
    assert np.allclose(network.get_layer("conv1").get_weights()[0], resumed.average[0].numpy())


def test_a_training_by_steps_takes_so_many_and_ends_at_the_lowest_rate(tmp_path: Path, untraced: None) -> None:
    batches = Batches(drawn_cache(tmp_path / "cache"), None, (), PLAN)
    settings = Settings(minutes=1e-6, steps=3, epoch_steps=2, warmup_steps=1, plan=PLAN)
    run(build(input_size=SIZE), batches, None, tmp_path / "run", settings)
    rows = [json.loads(line) for line in (tmp_path / "run" / HISTORY).read_text().splitlines()]

    assert [row["step"] for row in rows] == [2, 3]
    assert rows[-1]["rate"] == pytest.approx(settings.learning_rate / 100)


@pytest.mark.parametrize(("share", "there"), [(0.0, False), (0.98, True)])
def test_a_plan_may_share_batches_otherwise(tmp_path: Path, share: float, there: bool) -> None:
    plan = replace(PLAN, batch=40, shares={"extra": share})
    targets = Batches(drawn_cache(tmp_path / "cache"), None, (), plan).batch(0)["targets"]

    assert (targets.max(axis=1) < 0.9).any() == there, "hands in no letter are those of `extra`"


def test_permissive_weights_start_from_nothing_that_other_images_taught() -> None:
    recipe = recipe_of("permissive")

    assert recipe.start_from == SCRATCH
    assert recipe.frozen_convolutions == 0
    assert recipe_of("all").start_from == str(APPEARANCE_MODEL)


def test_weights_in_half_precision_classify_the_same(network: Any, images: Any, tmp_path: Path) -> None:
    write_weights(network, tmp_path / "weights.npz")
    other = build(input_size=SIZE)
    read_weights(other, tmp_path / "weights.npz")
    outputs = [np.asarray(one(images)["fused"]) for one in (network, other)]

    assert (tmp_path / "weights.npz").stat().st_size < 8_000_000
    assert np.allclose(outputs[0], outputs[1], atol=0.02)


def test_weights_of_another_network_are_refused(network: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", **{"conv1/0": np.zeros(3)})

    with pytest.raises(ModelError, match="another network"):
        read_weights(network, tmp_path / "other.npz")
    with pytest.raises(ModelError, match="no weights"):
        read_weights(network, tmp_path / "missing.npz")


def test_a_network_that_grew_keeps_the_weights_of_what_is_new(network: Any, images: Any, tmp_path: Path) -> None:
    write_weights(network, tmp_path / "all.npz")
    with np.load(tmp_path / "all.npz") as stored:
        smaller = {
            name: stored[name] for name in stored.files if not name.startswith(("decode_conv2/", "decode_norm3/"))
        }
    np.savez(tmp_path / "smaller.npz", **smaller)
    grown = build(input_size=SIZE)
    read_weights(grown, tmp_path / "smaller.npz", grown=True)

    assert np.allclose(np.asarray(grown(images)["fused"]), np.asarray(network(images)["fused"]), atol=0.02)
    with pytest.raises(ModelError, match="another network"):
        read_weights(grown, tmp_path / "smaller.npz")


def test_a_hand_is_painted_over() -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    points = np.zeros((POINTS, 3), np.float32)
    points[:, :2] = np.random.default_rng(1).uniform(30, 45, (POINTS, 2))
    for x, y in np.round(points[:, :2]).astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    room = without_hand(image, points)

    assert room.shape == (160, 160, 3)
    assert (image > 200).mean() > 0.02
    assert not (room > 200).any()


def test_a_folder_without_checkpoint_is_named(tmp_path: Path, network: Any) -> None:
    with pytest.raises(RunError, match=CHECKPOINT):
        Trainer(network, Settings()).load(tmp_path)
