"""Adapting: the last layer fitted again to a person's images, in NumPy, and applied by the predictor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.rehearsal_images import stand_ins
from asl_edge.data.synthetic.scene import random_scene
from asl_edge.errors import DataError, ModelError
from asl_edge.export.export import export_run
from asl_edge.runtime.adapt import adapt
from asl_edge.runtime.adaptation import Adaptation
from asl_edge.runtime.last_layer import fit
from asl_edge.runtime.predictor import Predictor

LABELS = "ABC"


def draw(folder: Path, per_class: int, seed: int, labels: str = LABELS) -> Path:
    """Draw images of one person in one place."""
    for column, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        rng = np.random.default_rng((seed, column))
        scene = random_scene(label, rng, 48)
        for number in range(per_class):
            cv2.imwrite(str(folder / label / f"{label}{number}.png"), draw_frame(scene, rng, 48).image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def model(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network that knows nothing of hands: random weights."""
    path = tmp_path_factory.mktemp("adapting") / "model.onnx"
    assert export_run(mini_run, path).spec.features == 64
    return path


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("person") / "mine", 12, seed=3)


def share_right(predictor: Predictor, folder: Path) -> float:
    return float(np.mean([p.label == Path(p.source).parent.name for p in predictor(sorted(folder.rglob("*.png")))]))


def test_a_hand_that_is_read_badly_is_read_well(model: Path, person: Path, tmp_path: Path) -> None:
    with Predictor(model) as predictor:
        adaptation, report = adapt(predictor, [person], draw=stand_ins)
        others = draw(tmp_path / "later", 8, seed=3)
        before = share_right(predictor, others)
    saved = adaptation.save(tmp_path / "mine.npz")
    with Predictor(model, adaptation=saved) as predictor:
        after = share_right(predictor, others)
        assert share_right(predictor, person) == 1
    assert after > 0.9 > before
    assert (report.images, report.classes) == (36, ("A", "B", "C"))
    assert report.accuracy_after > 0.9 > report.accuracy_before
    assert saved.stat().st_size < 5000


def test_what_the_predictor_applies_is_the_formula(model: Path, person: Path) -> None:
    with Predictor(model) as predictor:
        adaptation, _ = adapt(predictor, [person], draw=stand_ins)
        images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        probabilities, features = predictor.probabilities_and_features(images)
        assert np.array_equal(probabilities, predictor.probabilities(images))
    with Predictor(model, adaptation=adaptation, batch_size=2) as adapted:
        answered = adapted.probabilities(images)
    logits = (np.log(probabilities) + features @ adaptation.weights + adaptation.bias) / adaptation.temperature
    powers = np.exp(logits)
    np.testing.assert_allclose(answered, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


def test_classes_without_images_stay_as_they_are(model: Path, person: Path, tmp_path: Path) -> None:
    shutil.copytree(person / "A", tmp_path / "two" / "A")
    shutil.copytree(person / "C", tmp_path / "two" / "c")
    with Predictor(model) as predictor:
        adaptation, report = adapt(predictor, [tmp_path / "two"], draw=stand_ins)
    assert report.classes == ("A", "C")
    assert not adaptation.weights[:, 1].any()
    assert adaptation.bias[1] == 0
    assert adaptation.weights[:, 0].any()


def test_cross_validation_does_not_flatter() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (120, 40)).astype(np.float32)
    labels = np.repeat(np.arange(4), 30)
    offsets = np.log(rng.dirichlet(np.ones(4), 120)).astype(np.float32)
    _, _, before, after = fit(offsets, features, labels)
    assert before < 0.5
    assert after < 0.5  # features that say nothing cannot help, however well they are learnt by heart


def several_letters(rng: np.random.Generator, shift: float = 0.0) -> tuple[Any, Any, Any]:
    """Six classes that a network reads well, each around a place of its own; the first one moved towards the last."""
    labels = np.repeat(np.arange(6), 10)
    places = 3 * np.eye(6, 20, dtype=np.float32)
    features = places[labels] + rng.normal(0, 0.5, (60, 20)).astype(np.float32)
    features[labels == 0] += shift * (places[5] - places[0]) + 4 * np.eye(20, dtype=np.float32)[10]
    logits = 2 * features @ places.T
    offsets = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return offsets.astype(np.float32), features.astype(np.float32), labels


def test_a_few_classes_given_do_not_spoil_the_others() -> None:
    rng = np.random.default_rng(2)
    offsets, features, labels = several_letters(rng, shift=0.8)  # a first letter that looks like the last, not given
    given = labels < 2
    missing = tuple(part[labels >= 2] for part in several_letters(np.random.default_rng(3))[:2])
    fitted, _, before, after = fit(offsets[given], features[given], labels[given], missing)
    weights, bias, temperature = fitted
    assert temperature >= 1  # twenty images of one sitting do not make the answers surer
    assert before == 0.5  # all classes to choose from, not the given ones only
    assert after >= 0.9
    later, theirs, right = several_letters(np.random.default_rng(4), shift=0.8)
    adapted = (later + theirs @ weights + bias) / temperature
    assert (adapted.argmax(axis=1) == right)[right < 2].mean() > 0.9
    others = right >= 2
    assert (adapted.argmax(axis=1) == right)[others].mean() >= (later.argmax(axis=1) == right)[others].mean() - 0.06
    np.testing.assert_allclose((theirs @ weights + bias).sum(axis=1), 0, atol=1e-3)


def test_read_rightly_before_stays_as_sure_as_it_was() -> None:
    offsets, features, labels = several_letters(np.random.default_rng(2))
    given = labels < 3
    (_, _, temperature), *_ = fit(offsets[given], features[given], labels[given])
    assert temperature >= 1


def test_drawn_hands_stand_in_for_the_classes_that_are_not_given(model: Path, person: Path, tmp_path: Path) -> None:
    shutil.copytree(person / "A", tmp_path / "two" / "A")
    shutil.copytree(person / "C", tmp_path / "two" / "C")
    asked = []

    def draw(label: str, count: int, size: int) -> list[Any]:
        asked.append((label, count, size))
        return stand_ins(label, count, size)

    with Predictor(model) as predictor:
        adapt(predictor, [tmp_path / "two"], draw=draw)
        assert asked == [("B", 6, 32)]
        adapt(predictor, [person], draw=draw)
    assert len(asked) == 1


def test_stand_ins_are_always_the_same() -> None:
    first, again = stand_ins("space", 2, 40), stand_ins("space", 2, 40)
    assert [image.shape for image in first] == [(40, 40, 3)] * 2
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(*first)
    assert stand_ins("A", 1, 24)[0].shape == (24, 24, 3)  # smaller than can be drawn
    assert stand_ins("thumbs up", 2, 40) == []


def test_the_fit_is_the_least_of_its_loss() -> None:
    from scipy.optimize import minimize

    from asl_edge.runtime import last_layer

    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.3, (60, 5)).astype(np.float32)
    z = rng.normal(0, 1, (60, 4)).astype(np.float32)
    wanted = np.eye(4, dtype=np.float32)[(x[:, 0] + 0.2 * rng.normal(0, 1, 60) > 0).astype(np.int64) + 1]
    columns = np.array([0, 1, 2])
    counts = np.repeat([1.0, 0.5], 30) / 45

    def loss(flat: Any) -> float:
        weights = flat.reshape(6, 3)
        weights = weights - weights.mean(axis=1, keepdims=True)
        logits = z.astype(np.float64)
        logits[:, columns] += np.hstack([x, np.ones((60, 1))]) @ weights
        logits -= logits.max(axis=1, keepdims=True)
        nll = np.log(np.exp(logits).sum(axis=1)) - (logits * wanted).sum(axis=1)
        return float((nll * counts).sum() + 0.5 * 0.01 * (weights**2).sum())

    groups = [
        last_layer._Images(x[rows], z[rows], wanted[rows], weight)
        for rows, weight in ((slice(0, 30), 1.0), (slice(30, 60), 0.5))
    ]
    ours = loss(last_layer._minimise(groups, columns, 0.01).astype(np.float64).ravel())
    assert ours == pytest.approx(minimize(loss, np.zeros(18)).fun, abs=1e-3)


def test_another_model_refuses_it(
    model: Path, person: Path, make_mini_model: Any, make_run: Any, tmp_path: Path
) -> None:
    with Predictor(model) as predictor:
        saved = adapt(predictor, [person], draw=stand_ins)[0].save(tmp_path / "mine.npz")
    other = tmp_path / "other.onnx"
    export_run(make_run(tmp_path / "run", make_mini_model(seed=5)), other)
    with pytest.raises(ModelError, match=r"mine.npz does not belong to .*other.onnx: it was made for another model"):
        Predictor(other, adaptation=saved)


def test_the_same_network_in_another_precision_takes_it(
    model: Path, mini_run: Path, person: Path, tmp_path: Path
) -> None:
    with Predictor(model) as predictor:
        adaptation, _ = adapt(predictor, [person], draw=stand_ins)
    export_run(mini_run, tmp_path / "half.onnx", precision="fp16-weights")
    with Predictor(tmp_path / "half.onnx", adaptation=adaptation) as predictor:
        assert share_right(predictor, person) > 0.95


def test_a_model_without_features_says_what_to_do(colour_model: Path, person: Path) -> None:
    with Predictor(colour_model) as predictor, pytest.raises(ModelError, match="has no features output"):
        adapt(predictor, [person], draw=stand_ins)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "is not a folder"),
        (lambda folder: [shutil.rmtree(folder / name) for name in "ABC"], "No folder of a class"),
        (lambda folder: [shutil.rmtree(folder / name) for name in "AB"], "at least two classes. Received: C"),
        (lambda folder: [path.unlink() for path in sorted((folder / "B").iterdir())[1:]], r"Too few: B \(1\)"),
    ],
)
def test_too_little_to_adapt_with(model: Path, tmp_path: Path, change: Callable[[Path], Any], message: str) -> None:
    folder = draw(tmp_path / "mine", 3, seed=1)
    change(folder)
    with Predictor(model) as predictor, pytest.raises(DataError, match=message):
        adapt(predictor, [folder], draw=stand_ins)


def test_an_image_that_cannot_be_read_is_reported_and_skipped(model: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "mine", 4, seed=1)
    (folder / "A" / "broken.png").write_bytes(b"no image")
    with Predictor(model) as predictor:
        report = adapt(predictor, [folder], draw=stand_ins)[1]
    assert report.images == 12
    assert [Path(path).name for path, _ in report.skipped] == ["broken.png"]


def test_what_is_not_a_class_folder_is_counted(model: Path, person: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(person, tmp_path / "mine")
    shutil.copytree(mine / "A", mine / "sign_A")
    shutil.copy(mine / "A" / "A0.png", mine / "A99.png")
    with Predictor(model) as predictor:
        _, report = adapt(predictor, [mine], draw=stand_ins)
        _, nothing = adapt(predictor, [person], draw=stand_ins)
    assert not nothing.left_out
    assert report.left_out.in_words() == (
        "1 folder that is not named after a class of the model, 1 file next to the class folders"
    )


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = Adaptation(("A", "B"), np.zeros((3, 2), np.float32), np.zeros(2, np.float32), 1.0, "x")
    path = good.save(tmp_path / "mine.npz")
    assert Adaptation.load(path).classes == ("A", "B")
    data = path.read_bytes()
    for spoilt in (b"", data[:100], b"\x00" * 500):
        path.write_bytes(spoilt)
        with pytest.raises(ModelError, match=r"mine.npz"):
            Adaptation.load(path)
    np.savez(path, weights=np.array([object()], dtype=object))
    with pytest.raises(ModelError, match=r"mine.npz is damaged"):
        Adaptation.load(path)
    with pytest.raises(ModelError, match="There is no adaptation"):
        Adaptation.load(tmp_path / "none.npz")
    with pytest.raises(ModelError, match="do not fit"):
        Adaptation(("A", "B"), np.zeros((3, 3), np.float32), np.zeros(2, np.float32), 1.0, "x")
    with pytest.raises(ModelError, match="NaN or infinite"):
        Adaptation(("A", "B"), np.full((3, 2), np.nan, np.float32), np.zeros(2, np.float32), 1.0, "x")
