"""`asl-edge adapt`, `calibrate` and `model-card`, and predict with the pretrained model."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from asl_edge.cli import calibrate as calibrate_command
from asl_edge.cli import main
from asl_edge.data.synthetic.rehearsal_images import stand_ins
from asl_edge.evaluation.calibration import SourcePredictions, calibrate, write_calibration
from asl_edge.export.export import export_run
from asl_edge.runtime.adapt import adapt
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.sources import natural_key


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture(scope="module")
def model(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(mini_run, tmp_path_factory.mktemp("model") / "model.onnx").model_path


@pytest.fixture
def hands(tmp_path: Path, write_images: Callable[..., Path]) -> Path:
    return write_images(tmp_path / "hands", classes="ABC", per_class=8)


def test_adapt_then_predict(model: Path, hands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, advice = run(capsys, "adapt", hands, "--out", tmp_path / "mine", "--model", model)
    assert code == 0
    assert "24 images of 3 classes" in printed
    assert "neighbours" not in printed
    assert "each image is classified by a fit on the others" in " ".join(printed.split())
    assert "expect less on another day or in another place" in " ".join(printed.split())
    assert f"--adapted {tmp_path / 'mine.npz'} --model {model}" in advice
    words = ("predict", hands, "--model", model, "--json")
    labels = {}
    for name, more in (("plain", ()), ("adapted", ("--adapted", tmp_path / "mine.npz"))):
        code, printed, _ = run(capsys, *words, *more)
        answers = [json.loads(line) for line in printed.splitlines()]
        labels[name] = np.mean([answer["label"] == Path(answer["source"]).parent.name for answer in answers])
        assert code == 0
    assert labels["adapted"] > 0.8 > labels["plain"]


def test_adapt_as_json(model: Path, hands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.npz"
    code, printed, advice = run(capsys, "adapt", hands, "--out", out, "--model", model, "--json")
    values = json.loads(printed)
    assert (code, values["images"], values["classes"]) == (0, 24, ["A", "B", "C"])
    assert 0 <= values["accuracy_before"] <= values["accuracy_after"] <= 1
    assert out.is_file()
    assert f"--adapted {out} --model {model}" in advice


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "{hand}", "--model", "{model}", "--adapted", "{hand}"), "adaptation (it is not a zip)"),
        (("predict", "{hand}", "--model", "{model}", "--adapted", "none.npz"), "There is no adaptation none.npz"),
        (("adapt", "{hand}", "--out", "{out}", "--model", "{model}"), "is not a folder"),
        (("adapt", "{hands}", "--out", "{out}", "--model", "none.onnx"), "There is no model file none.onnx"),
        (("adapt", "{hands}", "--out", ".", "--model", "{model}"), "--out names the file to write"),
        (("adapt", "{hands}", "--out", "", "--model", "{model}"), "--out names the file to write"),
        (("adapt", "{hands}", "--out", "..", "--model", "{model}"), "--out names the file to write"),
        (("adapt", "{hands}", "--out", "{hand}/mine.npz", "--model", "{model}"), "is not a folder"),
        (("adapt", "{hands}", "--out", "{hands}/..", "--model", "{model}"), "--out names the file to write"),
    ],
)
def test_mistakes_are_told(
    model: Path, hands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any, message: str
) -> None:
    places = {"hand": next((hands / "A").iterdir()), "hands": hands, "model": model, "out": tmp_path / "mine"}
    code, _, said = run(capsys, *(word.format(**places) for word in words))
    assert code == 2
    assert message in " ".join(said.split())
    assert not (tmp_path / "mine.npz").exists()


def test_calibrate_from_images_and_from_files_of_answers(
    make_mini_model: Any, make_run: Any, tmp_path: Path, write_images: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", make_mini_model(sharp=4.0))
    strangers = write_images(tmp_path / "strangers", classes="ABC", per_class=30)
    code, printed, advice = run(capsys, "calibrate", folder, strangers, "--target", "0.5", "--about", "three colours")
    assert code == 0
    assert "Temperature" in printed
    assert f"asl-edge export {folder}" in advice
    first = json.loads((folder / "calibration.json").read_text())
    assert first["temperature"] != 1.0
    assert first["about"] == "three colours"

    # Again, now from the answers in a file: the run answers calibrated by now, its best.keras as before.
    run(capsys, "evaluate", folder / "best.keras", strangers, "--out", tmp_path / "report")
    code, _, _ = run(capsys, "calibrate", folder, tmp_path / "report" / "predictions.csv", "--target", "0.5")
    second = json.loads((folder / "calibration.json").read_text())
    assert second["temperature"] == pytest.approx(first["temperature"], rel=1e-4)
    assert second["sources"][0]["source"] == "report"
    assert first["sources"][0]["source"] == "strangers"

    # And from the answers of the calibrated run, and of what is exported from it: the temperature is not lost.
    export_run(folder, tmp_path / "model.onnx")
    for number, model in enumerate((folder, tmp_path / "model.onnx")):
        out = tmp_path / f"calibrated-{number}"
        run(capsys, "evaluate", model, strangers, "--out", out)
        assert json.loads((out / "report.json").read_text())["temperature"] == pytest.approx(second["temperature"])
        code, _, _ = run(capsys, "calibrate", folder, out / "predictions.csv", "--target", "0.5")
        third = json.loads((folder / "calibration.json").read_text())
        assert code == 0
        assert third["temperature"] == pytest.approx(second["temperature"], rel=1e-2)


def test_calibrate_checks_every_source_before_it_classifies_one(
    mini_run: Path, tmp_path: Path, write_images: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(calibrate_command, "_classified", pytest.fail)
    others = write_images(tmp_path / "others", classes="ABC", per_class=1)
    (tmp_path / "bad.csv").write_text("no table")
    for bad in (tmp_path / "missing", tmp_path / "bad.csv"):
        for words in ((others, bad), (others, "--threshold-on", bad)):
            code, _, advice = run(capsys, "calibrate", mini_run, *words)
            assert (code, bad.name in advice.replace("\n", "")) == (2, True)


def test_calibrate_so_that_the_promise_is_kept_in_every_source(
    make_mini_model: Any, make_run: Any, tmp_path: Path, write_images: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", make_mini_model(sharp=4.0))
    others = write_images(tmp_path / "good", classes="ABC", per_class=30)
    bad = write_images(tmp_path / "bad", classes="ABC", per_class=30)
    (bad / "A").rename(bad / "between")  # all of A and B change their names
    (bad / "B").rename(bad / "A")
    (bad / "between").rename(bad / "B")
    words = ("calibrate", folder, others, bad, "--temperature", "1", "--target", "0.45")
    assert run(capsys, *words)[0] == 0
    over_all = json.loads((folder / "calibration.json").read_text())
    assert run(capsys, *words, "--every-source")[0] == 0
    each = json.loads((folder / "calibration.json").read_text())
    accuracies = [[one["selective_accuracy"] for one in found["sources"]] for found in (over_all, each)]
    assert min(accuracies[0]) < 0.45 <= over_all["selective_accuracy"]
    assert each["threshold"] > over_all["threshold"]
    assert min(accuracies[1]) >= 0.45


def test_a_calibrated_run_answers_as_its_export_does_and_says_not_sure(
    make_mini_model: Any, make_run: Any, tmp_path: Path, write_images: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", make_mini_model(sharp=4.0))
    rng = np.random.default_rng(0)
    given = rng.dirichlet(np.ones(3) * 0.3, 400).astype(np.float32)
    labels = np.where(rng.random(400) < given.max(axis=1), given.argmax(axis=1), rng.integers(0, 3, 400))
    calibration = calibrate([SourcePredictions("drawn", given, labels)], target=0.95)
    assert calibration.temperature != 1.0
    assert calibration.threshold is not None
    write_calibration(folder, calibration)
    (folder / "model-card.md").write_text("# For my class\n")
    result = export_run(folder, tmp_path / "model.onnx")
    assert result.parity.passed
    assert (result.spec.temperature, result.spec.reject_threshold) == (calibration.temperature, calibration.threshold)
    assert result.spec.reject_curve == calibration.curve
    assert result.spec.calibration["sources"][0]["source"] == "drawn"

    strangers = write_images(tmp_path / "strangers", classes="ABC", per_class=10)
    of_run, of_file = (
        json.loads(run(capsys, "evaluate", model, strangers, "--json")[1])
        for model in (folder, tmp_path / "model.onnx")
    )
    for name in ("expected_calibration_error", "coverage", "selective_accuracy", "threshold"):
        assert of_run[name] == pytest.approx(of_file[name], abs=1e-4), name
    code, _, _ = run(capsys, "verify", tmp_path / "model.onnx", "--against", folder)
    assert code == 0

    code, printed, _ = run(capsys, "model-card", tmp_path / "model.onnx")
    assert code == 0
    assert printed.startswith("# For my class\n\n# Facts of the file\n")
    assert f"Temperature {calibration.temperature:.3f}" in printed
    spec = json.loads(run(capsys, "model-card", tmp_path / "model.onnx", "--json")[1])["spec"]
    assert spec["temperature"] == calibration.temperature


def test_the_pretrained_model_recognises_synthetic_hands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from asl_edge.data.synthetic.drawing import draw_hand

    for number in range(6):
        image = draw_hand("LV"[number % 2], np.random.default_rng(number), 224)
        cv2.imwrite(str(tmp_path / f"{'LV'[number % 2]}{number}.png"), image[..., ::-1])
    code, printed, _ = run(capsys, "predict", tmp_path, "--json", "--threshold", "0")
    answers = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert sum(answer["label"] == Path(answer["source"]).name[0] for answer in answers) >= 5
    with Predictor("pretrained") as named, Predictor() as unnamed:
        assert named.spec == unnamed.spec
        assert len(named.spec.classes) == 29


def test_the_pretrained_model_is_small_calibrated_and_carries_its_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrained_model().stat().st_size <= 8_000_000
    with Predictor() as predictor:
        spec = predictor.spec
    assert spec.precision == "fp16-weights"
    assert spec.features == 640
    assert spec.reject_threshold is not None
    assert 0 < spec.reject_threshold < 1
    assert spec.evaluation
    code, printed, _ = run(capsys, "model-card")
    assert code == 0
    card = (Path(__file__).parents[2] / "docs" / "model-card.md").read_text(encoding="utf-8")
    assert printed.startswith(card.strip())


@pytest.fixture(scope="module")
def wall(real_data: Path) -> dict[Path, Prediction]:
    """What the pretrained model answers for every image of dev-wall."""
    files = sorted((real_data / "dev-wall").rglob("*.jpg"))
    with Predictor(batch_size=64) as predictor:
        return dict(zip(files, predictor(files), strict=True))


def test_the_pretrained_model_recognises_unseen_signers(real_data: Path, wall: dict[Path, Prediction]) -> None:
    """Its promise, on people whom training never saw; the targets of its first release."""
    files = sorted(path for path in (real_data / "dev-rooms").rglob("*.jpg") if not path.name.startswith("aug_"))
    with Predictor(batch_size=64) as predictor:
        rooms = dict(zip(files, predictor(files), strict=True))
    for name, answers, least in (("dev-wall", wall, 0.85), ("dev-rooms", rooms, 0.60)):
        assert np.mean([answer.label == path.parent.name for path, answer in answers.items()]) >= least, name


DRAW_ONCE = functools.cache(stand_ins)


@pytest.mark.parametrize("given", ["ABCT", "TX"])
def test_adapting_to_some_letters_leaves_the_others(
    real_data: Path, wall: dict[Path, Prediction], tmp_path: Path, given: str
) -> None:
    """Ten images of each, every other one of a stranger's; tested on the images between them, of all classes."""
    tested = []
    for folder in sorted((real_data / "dev-wall").iterdir()):
        files = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        tested += files[1::2]
        for file in files[::2] if folder.name in given else []:
            (tmp_path / folder.name).mkdir(exist_ok=True)
            shutil.copy(file, tmp_path / folder.name)
    names = np.array([file.parent.name for file in tested])
    with Predictor(batch_size=64) as predictor:
        adaptation, _ = adapt(predictor, [tmp_path], draw=DRAW_ONCE)
    before = [wall[file] for file in tested]
    with Predictor(batch_size=64, adaptation=adaptation) as predictor:
        after = list(predictor(tested))
    right = {
        when: np.array([answer.label for answer in answers]) == names
        for when, answers in (("before", before), ("after", after))
    }
    theirs = np.isin(names, list(given))
    assert right["after"][theirs].mean() >= min(right["before"][theirs].mean() + 0.1, 1)
    assert right["after"][~theirs].mean() >= right["before"][~theirs].mean() - 0.02
    answered = {
        when: right[when][[answer.accepted for answer in answers]].mean()
        for when, answers in (("before", before), ("after", after))
    }
    assert answered["after"] >= min(answered["before"], 0.95) - 0.02
