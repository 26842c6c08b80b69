"""The public API: what `asl_edge` offers, and every example of its docstrings, run on synthetic hands."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import asl_edge
from asl_edge.errors import ImageError, UserError

FUNCTIONS = ("prepare", "recipe", "train", "evaluate", "export", "verify", "predict", "adapt", "benchmark")
"""In the order of the work: each example uses what the ones before it wrote."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with synthetic hands of three letters, `hands/A/A1.jpg` and so on."""
    from asl_edge.data.synthetic.drawing import draw_hand
    from asl_edge.imaging.preprocess import opencv

    folder = tmp_path_factory.mktemp("api")
    random = np.random.default_rng(0)
    for label in "ABC":
        (folder / "hands" / label).mkdir(parents=True)
        for number in range(1, 31):
            image = draw_hand(label, random, 160)
            assert opencv().imwrite(str(folder / "hands" / label / f"{label}{number}.jpg"), image[..., ::-1])
    return folder


def examples_of(name: str) -> doctest.DocTest:
    if name == "export":
        from asl_edge.export.file_or_bundle import export as function
    else:
        function = getattr(asl_edge, name)
    (test,) = doctest.DocTestFinder(recurse=False).find(
        function, name, module=False, globs={"asl_edge": asl_edge, "Path": Path}
    )
    return test


def test_every_public_function_has_an_example() -> None:
    functions = {name for name in asl_edge.__all__ if name[0].islower()}

    assert functions == set(FUNCTIONS)
    assert [name for name in FUNCTIONS if not examples_of(name).examples] == []


def test_the_examples_run(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them in one test, in the order of the work: a model that was trained, exported, verified and run."""
    monkeypatch.chdir(work)
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    for name in FUNCTIONS:
        results = runner.run(examples_of(name))
        assert results.failed == 0, f"{name}\n{capsys.readouterr().out}"

    # What the examples left is what the commands leave.
    assert (work / "run" / "best.keras").is_file()
    assert (work / "model.onnx").is_file()
    assert len(asl_edge.predict("hands/B", "model.aslz", precision="fp16")) == 30


@pytest.mark.parametrize("first", ["import asl_edge.export.build", "asl_edge.export", "from asl_edge import export"])
def test_export_is_a_function_whatever_was_imported_first(first: str) -> None:
    code = (
        f"import asl_edge\n{first}\n"
        "from asl_edge.errors import UserError\n"
        "from asl_edge.export.build import Int8Choices\n"
        "import asl_edge.export.parity\n"
        "assert asl_edge.Int8Choices is Int8Choices is asl_edge.export.build.Int8Choices\n"
        "assert asl_edge.export.parity.ParityReport\n"
        "try: asl_edge.export('run', 'model.txt')\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "The exported file must end in .onnx. Received: model.txt\n"


def test_several_precisions_need_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.aslz"):
        asl_edge.export("run", tmp_path / "model.onnx", precision=["fp32", "fp16"])


def test_an_onnx_file_is_verified_against_something(colour_model: Path) -> None:
    with pytest.raises(UserError, match="against=RUN"):
        asl_edge.verify(colour_model)


def test_predict_takes_paths_patterns_and_folders(work: Path, colour_model: Path) -> None:
    hands = work / "hands"

    several = asl_edge.predict([hands / "A", str(hands / "B" / "B?.jpg")], colour_model, threshold=0)

    assert len(several) == 30 + 9
    assert {prediction.label for prediction in several} <= set("ABC")


def test_predict_raises_for_an_unreadable_image_or_leaves_it_out(
    work: Path, tmp_path: Path, colour_model: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    good = work / "hands" / "A" / "A1.jpg"
    skipped: list[str] = []

    with pytest.raises(ImageError, match=r"broken\.jpg"):
        asl_edge.predict([broken, good], colour_model)
    left = asl_edge.predict([broken, good], colour_model, on_skip=lambda name, reason: skipped.append(name))

    assert [prediction.source for prediction in left] == [str(good)]
    assert skipped == [str(broken)]


@pytest.mark.parametrize("source", ["7", "-", "rtsp://camera"])
def test_predict_refuses_what_never_ends(source: str, colour_model: Path) -> None:
    with pytest.raises(UserError, match="has no end"):
        asl_edge.predict(source, colour_model)


def test_recipe_takes_the_network_of_the_model_that_it_starts_from() -> None:
    config = asl_edge.recipe(start_from="pretrained", epochs=2)

    assert (config.recipe, config.network, config.epochs) == ("finetune", "alexnet-edge-8-landmarks", 2)
    with pytest.raises(UserError, match="Unknown recipe"):
        asl_edge.recipe("nonsense")


def test_prepare_takes_paths_or_a_config_but_not_both(tmp_path: Path, work: Path) -> None:
    config = asl_edge.PrepareConfig(sources=(work / "hands",), out=tmp_path / "one", size=64)
    by_config = asl_edge.prepare(config)
    by_paths = asl_edge.prepare([work / "hands"], tmp_path / "two", size=64)
    assert by_paths.classes == by_config.classes
    assert (tmp_path / "one/train_set.npy").read_bytes() == (tmp_path / "two/train_set.npy").read_bytes()
    with pytest.raises(UserError, match="PrepareConfig holds every choice"):
        asl_edge.prepare(config, tmp_path / "three")
    with pytest.raises(UserError, match="Name the folder to write"):
        asl_edge.prepare(work / "hands")


def test_train_says_what_its_config_must_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="config must be a TrainConfig"):
        asl_edge.train("arrays", tmp_path / "run", "default")
