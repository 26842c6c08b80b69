"""Run folders at a glance: what is told of whole, unfinished and damaged ones, and how two are compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from recorded_progress import StopAt

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import RunError
from asl_edge.training import recipes
from asl_edge.training.loop.train import Interrupted, train
from asl_edge.training.runs import summary as summary_module
from asl_edge.training.runs.folder import RunFolder
from asl_edge.training.runs.summary import compare, find_runs, summarize


def config(recipe="tutorial", **changes):
    return recipes.get(recipe, **({"network": "tiny", "epochs": 2, "batch_size": 16, "precision": "float32"} | changes))


@pytest.fixture(scope="module")
def folder(shared_colour_arrays, tmp_path_factory, tiny_network):
    """Runs `finished` (2 epochs), `stopped` (in epoch 2 of 3) and `begun` (no complete epoch)."""
    folder = tmp_path_factory.mktemp("some") / "runs"
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    train(config(), arrays, folder / "finished")
    with pytest.raises(Interrupted):
        train(config("default", epochs=3), arrays, folder / "stopped", progress=StopAt(2, 0))
    with pytest.raises(Interrupted):
        train(config(), arrays, folder / "begun", progress=StopAt(1, 0))
    return folder


@pytest.fixture
def copied(folder, tmp_path):
    """Copies a run, to harm it."""

    def copy(name, to="run"):
        return shutil.copytree(folder / name, tmp_path / to, copy_function=shutil.copy2)

    return copy


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_finished_run(folder):
    run, opened = summarize(folder / "finished"), RunFolder.open(folder / "finished")
    assert (run.state, run.reason) == ("finished", None)
    assert (run.recipe, run.network, run.classes) == ("tutorial", "tiny", ("A", "B", "C"))
    assert (run.epochs, run.planned_epochs) == (2, 2)
    history, results = opened.history(), json.loads((run.path / "results.json").read_text())
    assert run.best_epoch == results["best_epoch"]
    assert run.validation_accuracy == history[run.best_epoch - 1]["val_accuracy"]
    assert run.test_accuracy == results["test"]["accuracy"]
    assert run.test_interval95 == tuple(results["test"]["interval95"])
    assert run.test_images == 15
    assert run.training_seconds == pytest.approx(sum(row["seconds"] for row in history))
    assert run.parameters == opened.load_model().count_params()
    files = [path.stat() for path in run.path.rglob("*") if path.is_file()]
    assert run.size_bytes == sum({status.st_ino: status.st_size for status in files}.values())
    assert json.loads(json.dumps(run.to_dict()))["changed"].endswith("+00:00")


def test_a_stopped_run_can_be_resumed(folder):
    run = summarize(folder / "stopped")
    assert (run.state, run.reason) == ("can be resumed", None)
    assert (run.epochs, run.planned_epochs, run.best_epoch) == (1, 3, 1)
    assert run.validation_accuracy is not None
    assert run.parameters is not None
    assert (run.test_accuracy, run.test_interval95) == (None, None)


def test_a_run_without_a_complete_epoch_can_be_resumed(folder):
    run = summarize(folder / "begun")
    assert (run.state, run.reason, run.epochs) == ("can be resumed", None, 0)
    assert (run.best_epoch, run.validation_accuracy, run.parameters, run.training_seconds) == (None,) * 4


def test_results_of_fewer_epochs_are_old(copied):
    run = copied("finished")
    rewrite(run / "results.json", epochs=1)
    assert summarize(run).state == "can be resumed"
    assert summarize(run).test_accuracy is None


def test_killed_before_the_best_epoch_was_copied_it_can_be_resumed(copied):
    run = copied("stopped")
    (run / "best.keras").unlink()
    assert summarize(run).state == "can be resumed"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("finished", lambda run: (run / "config.json").unlink(), "it has no config.json"),
        ("finished", lambda run: truncate(run / "config.json"), "config.json cannot be read"),
        ("finished", lambda run: rewrite(run / "config.json", classes=3), "holds something unexpected"),
        ("finished", lambda run: (run / "history.csv").write_text("epoch,loss\n1,x\n"), "history.csv cannot be read"),
        ("finished", lambda run: (run / "history.csv").write_text("epoch\n1\n"), "no column 'loss'"),
        ("finished", lambda run: (run / "history.csv").unlink(), "history.csv is missing"),
        ("finished", lambda run: (run / "results.json").write_text("[]"), "results.json cannot be read"),
        ("finished", lambda run: (run / "best.keras").unlink(), "best.keras is missing"),
        ("finished", lambda run: truncate(run / "best.keras"), "best.keras is damaged"),
        ("stopped", lambda run: (run / "checkpoints/state.npz").unlink(), "state.npz is missing"),
        ("stopped", lambda run: truncate(run / "checkpoints/state.npz"), "state.npz is damaged"),
        ("stopped", lambda run: rewrite(run / "config.json", epochs=0), "epochs must be a whole number"),
    ],
)
def test_damaged_runs_are_listed_with_the_reason(name, harm, reason, copied, tmp_path):
    harm(copied(name))
    (run,) = find_runs(tmp_path)
    assert run.state == "damaged"
    assert reason in run.reason
    assert run.size_bytes > 0


def test_only_what_would_go_on_must_be_of_this_version(copied):
    for name, state in (("finished", "finished"), ("stopped", "damaged")):
        run = copied(name, name)
        values = json.loads((run / "config.json").read_text())
        del values["seed"]
        (run / "config.json").write_text(json.dumps(values))
        assert summarize(run).state == state
    assert "lacks seed: another version" in summarize(run).reason


def test_finds_runs_in_folders_newest_first_and_each_once(folder, tmp_path):
    for age, place in enumerate(["new", "a/old", "a/b/older", "a/b/c/too deep", ".hidden"]):
        (tmp_path / place).mkdir(parents=True)
        for name in ("config.json", "history.csv", "best.keras", "results.json"):
            shutil.copy(folder / "finished" / name, tmp_path / place / name)
        os.utime(tmp_path / place / "history.csv", (1e9 - age, 1e9 - age))
    (tmp_path / "other" / "model").mkdir(parents=True)
    (tmp_path / "other" / "model" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "latest").symlink_to(tmp_path / "new")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    found = find_runs(tmp_path)
    assert [run.path.resolve() for run in found] == [tmp_path / name for name in ("new", "a/old", "a/b/older")]
    assert [run.changed for run in found] == [1e9, 1e9 - 1, 1e9 - 2]


def test_a_run_is_found_by_its_own_name(folder):
    assert [run.path for run in find_runs(folder / "finished")] == [folder / "finished"]
    assert {run.path.name for run in find_runs(folder)} == {"finished", "stopped", "begun"}


def test_an_empty_folder_has_no_runs_and_no_folder_is_a_mistake(tmp_path):
    assert find_runs(tmp_path) == []
    with pytest.raises(RunError, match="There is no folder at"):
        find_runs(tmp_path / "none")


def test_parameters_are_unknown_without_h5py_or_in_another_kind_of_file(folder, copied, monkeypatch):
    run = copied("finished")
    with zipfile.ZipFile(run / "best.keras") as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(run / "best.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", weights)
    assert summarize(run).parameters is None
    with zipfile.ZipFile(run / "best.keras", "w") as archive:
        archive.writestr("model.weights.h5", weights[:100])
    assert summarize(run).parameters is None
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert summarize(folder / "finished").parameters is None
    assert summarize(folder / "finished").state == "finished"


def test_reads_runs_without_keras(folder):
    code = (
        "import sys; from asl_edge.training.runs import summary as runs\n"
        "found = runs.find_runs(sys.argv[1]); assert len(found) == 3, found\n"
        "runs.compare(found[0].path, found[1].path)\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestCompare:
    def test_what_differs(self, folder):
        comparison = compare(folder / "finished", folder / "stopped")
        differing = {item.name: (item.first, item.second) for item in comparison.choices}
        assert differing["recipe"] == ("tutorial", "default")
        assert differing["epochs"] == (2, 3)
        assert differing["optimizer"] == ("sgd", "adamw")
        assert "batch_size" not in differing
        assert not any(name.startswith("data.") for name in differing)
        assert comparison.environment == ()
        assert comparison.same_images == {"validation": True, "test": True}
        assert comparison.first_history == RunFolder.open(folder / "finished").history()
        assert len(comparison.second_history) == 1
        assert (comparison.first.state, comparison.second.state) == ("finished", "can be resumed")
        values = json.loads(json.dumps(comparison.to_dict()))
        assert values["choices"]["recipe"] == ["tutorial", "default"]
        assert [len(history) for history in values["histories"]] == [2, 1]

    def test_nested_and_missing_entries(self, folder, copied):
        run = copied("finished")
        data = json.loads((run / "config.json").read_text())["data"]
        data["fingerprint"]["test_set.npy"] = 1
        rewrite(run / "config.json", data=data | {"split": "random"}, new_field=None, newer_field=1)
        rewrite(run / "environment.json", cores=99)
        comparison = compare(folder / "finished", run)
        differing = {item.name: (item.first, item.second) for item in comparison.choices}
        assert differing.keys() == {"data.fingerprint.test_set.npy", "data.split", "newer_field"}
        assert differing["data.split"][1] == "random"
        assert differing["newer_field"] == (None, 1)
        assert [(item.name, item.second) for item in comparison.environment] == [("cores", 99)]
        assert comparison.same_images == {"validation": True, "test": False}
        rewrite(run / "config.json", data={})
        assert compare(folder / "finished", run).same_images == {"validation": None, "test": None}

    def test_what_is_no_run_is_refused(self, folder, copied, tmp_path):
        with pytest.raises(RunError, match="There is no run folder at"):
            compare(folder / "finished", tmp_path / "none")
        run = copied("finished")
        (run / "history.csv").write_text("epoch\n1\n")
        with pytest.raises(RunError, match=r"history\.csv cannot be read"):
            compare(run, folder / "finished")

    def test_a_damaged_run_is_compared_as_far_as_it_goes(self, folder, copied):
        run = copied("finished")
        (run / "best.keras").unlink()
        comparison = compare(folder / "finished", run)
        assert comparison.second.state == "damaged"
        assert len(comparison.second_history) == 2


def test_a_folder_that_cannot_be_read_is_passed_over(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "finished", tmp_path / "run")
    (tmp_path / "private").mkdir()
    real = os.scandir

    def refuse(path):
        if Path(path).name == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(summary_module.os, "scandir", refuse)
    assert [run.path for run in find_runs(tmp_path)] == [tmp_path / "run"]
