"""Experiment trackers: what they are told, that a resumed run goes on in the same one, and how it ends."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import MissingPackageError, RunError, UserError
from asl_edge.training import recipes
from asl_edge.training.compute.backend import load_keras
from asl_edge.training.loop import trackers
from asl_edge.training.loop.final_scores import SplitScore
from asl_edge.training.loop.trackers import Tracking
from asl_edge.training.runs.history import write_history

SCORES = {"test": SplitScore(0.75, 1.0, 16, (0.5, 0.9))}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder, in the current folder, whose trackers write files and call nobody."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_PROJECT", "WANDB_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "my run").mkdir()
    return tmp_path / "my run"


def config(**changes):
    return recipes.get("default", **({"epochs": 4, "batch_size": 8} | changes))


def fit(callbacks, epochs, initial_epoch=0):
    """Fit something small with a schedule, as a training does."""
    keras = load_keras()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    model.compile(keras.optimizers.SGD(schedule), "mse", metrics=["accuracy"])
    x, y = np.ones((16, 4), np.float32), np.zeros((16, 2), np.float32)
    model.fit(x, y, epochs=epochs, initial_epoch=initial_epoch, validation_data=(x, y), callbacks=callbacks, verbose=0)


def stop_after(epochs, run, trackers):
    """Fit that many epochs, then press Ctrl-C."""
    with Tracking(run, config(), trackers) as tracked:
        fit(tracked.callbacks, epochs)
        raise KeyboardInterrupt


def write_epochs(run, count):
    write_history(run / "history.csv", [{"epoch": epoch + 1, "loss": 1.0} for epoch in range(count)])


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, run, monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    for begin in (trackers.check, lambda names: trackers.callbacks(run, config(), names)):
        with pytest.raises(MissingPackageError, match=rf"--{name} needs .* pip install 'asl-edge\[train,{name}\]'"):
            begin([name])
    assert not list(run.iterdir())


def test_an_unknown_tracker_is_refused(run):
    with pytest.raises(UserError, match="must be one of wandb, mlflow. Received: 'neptune'"):
        trackers.callbacks(run, config(), ["neptune"])


def test_no_tracker_is_nothing(run):
    with Tracking(run, config(), []) as tracked:
        assert tracked.callbacks == []
        tracked.log_scores(SCORES)
    assert not list(run.iterdir())


class Standing:
    """What `tracking` needs of W&B, where it is not installed: keeps what it is told."""

    def __init__(self, monkeypatch):
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self.summary: dict[str, Any] = {}
        self.fails = False
        keras = load_keras()
        standing = self

        class Run:
            offline = False
            summary = standing.summary

            def finish(self, exit_code):
                standing.ended.append(exit_code)
                package.run = None
                if standing.fails:
                    raise OSError("the network is down")

        def init(**options):
            standing.began.append(options)
            if standing.fails:
                raise package.Error("No API key configured")
            package.run = Run()
            return package.run

        package, integration = ModuleType("wandb"), ModuleType("wandb.integration")
        callbacks = ModuleType("wandb.integration.keras")
        package.run, package.Error, package.init = None, type("Error", (Exception,), {}), init
        callbacks.WandbMetricsLogger = type("WandbMetricsLogger", (keras.callbacks.Callback,), {})
        for module in (package, integration, callbacks):
            monkeypatch.setitem(sys.modules, module.__name__, module)


class TestAnyTracker:
    @pytest.fixture
    def standing(self, monkeypatch):
        return Standing(monkeypatch)

    def test_is_told_what_the_run_is(self, run, standing):
        with Tracking(run, config(), ["wandb", "wandb"]) as tracked:
            assert len(tracked.callbacks) == 1
            tracked.log_scores(SCORES)
        (options,) = standing.began
        assert (options["dir"], options["name"], options["resume"]) == (run, "my run", "allow")
        assert options["project"] == "asl-edge"
        assert options["config"]["batch_size"] == 8
        assert json.loads((run / "tracking.json").read_text()) == {"wandb": options["id"]}
        assert standing.summary == {"test_accuracy": 0.75, "test_top3_accuracy": 1.0}
        assert standing.ended == [0]

    def test_goes_on_under_the_same_id(self, run, standing):
        for _ in range(2):
            Tracking(run, config(), ["wandb"]).close()
        assert standing.began[0]["id"] == standing.began[1]["id"]

    @pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (ValueError, 1)])
    def test_is_told_how_it_ended(self, error, code, run, standing):
        with pytest.raises(error), Tracking(run, config(), ["wandb"]):
            raise error
        assert standing.ended == [code]

    def test_callbacks_close_it_when_the_fit_ends(self, run, standing):
        callbacks = trackers.callbacks(run, config(), ["wandb"])
        assert standing.ended == []
        fit(callbacks, 1)
        assert standing.ended == [0]

    def test_a_second_one_that_fails_closes_the_first(self, run, standing, monkeypatch):
        def refuse(*arguments):
            raise UserError("no")

        monkeypatch.setattr(trackers, "_KINDS", trackers._KINDS | {"mlflow": refuse})
        monkeypatch.setattr(trackers, "check", lambda names: None)
        with pytest.raises(UserError, match="no"):
            Tracking(run, config(), ["wandb", "mlflow"])
        assert standing.ended == [1]

    def test_failing_at_the_end_is_a_warning(self, run, standing):
        tracked = Tracking(run, config(), ["wandb"])
        standing.fails = True
        with pytest.warns(UserWarning, match=r"A tracker failed: the network is down\. The run folder is complete\."):
            tracked.close()
        tracked.close()
        assert standing.ended == [0]

    def test_failing_at_the_begin_is_explained(self, run, standing):
        standing.fails = True
        with pytest.raises(UserError, match=r"W&B cannot be started: No API key configured\. .*WANDB_MODE=offline"):
            Tracking(run, config(), ["wandb"])
        assert not (run / "tracking.json").exists()

    def test_somebody_elses_run_is_left_alone(self, run, standing):
        with Tracking(run, config(), ["wandb"]):
            with pytest.raises(UserError, match="already has an open W&B run"):
                Tracking(run, config(), ["wandb"])
            assert standing.ended == []

    @pytest.mark.parametrize("text", ["{", "[]"])
    def test_a_damaged_note_of_the_ids_is_named(self, text, run, standing):
        (run / "tracking.json").write_text(text)
        with pytest.raises(RunError, match=r"tracking\.json cannot be read"):
            Tracking(run, config(), ["wandb"])


@pytest.mark.filterwarnings("ignore")  # other people's deprecations
class TestWandb:
    @pytest.fixture(autouse=True)
    def wandb(self):
        return pytest.importorskip("wandb", reason="wandb is not installed: pip install 'asl-edge[wandb]'")

    def test_epochs_learning_rate_and_scores_are_logged_into_the_run_folder(self, run, wandb):
        with Tracking(run, config(), ["wandb"]) as tracked:
            fit(tracked.callbacks, 2)
            tracked.log_scores(SCORES)
            assert wandb.run.config["batch_size"] == 8
            summary, step, identifier = dict(wandb.run.summary), wandb.run.step, wandb.run.id
        assert wandb.run is None
        assert step == 2
        assert summary["epoch/epoch"] == 1
        assert summary["epoch/learning_rate"] == pytest.approx(0.1, rel=0.01)
        assert {"epoch/loss", "epoch/val_loss", "epoch/val_accuracy"} < summary.keys()
        assert summary["test_accuracy"] == 0.75
        assert json.loads((run / "tracking.json").read_text()) == {"wandb": identifier}
        assert len(list((run / "wandb").glob(f"offline-run-*-{identifier}/run-{identifier}.wandb"))) == 1

    def test_a_resumed_run_goes_on_in_the_same_one_behind_its_last_step(self, run, wandb):
        with pytest.raises(KeyboardInterrupt):
            stop_after(2, run, ["wandb"])
        write_epochs(run, 2)
        with Tracking(run, config(epochs=5), ["wandb"]) as tracked:
            fit(tracked.callbacks, 3, initial_epoch=2)
            step, identifier = wandb.run.step, wandb.run.id
        assert step == 3
        assert json.loads((run / "tracking.json").read_text()) == {"wandb": identifier}


@pytest.mark.filterwarnings("ignore")
class TestMlflow:
    @pytest.fixture(autouse=True)
    def mlflow(self):
        pytest.importorskip("mlflow.keras", reason="MLflow is not installed: pip install 'asl-edge[mlflow]'")
        import mlflow

        return mlflow

    def logged(self, mlflow, run):
        return mlflow.get_run(json.loads((run / "tracking.json").read_text())["mlflow"])

    def test_epochs_choices_and_scores_are_logged(self, run, mlflow):
        with Tracking(run, config(), ["mlflow"]) as tracked:
            fit(tracked.callbacks, 2)
            tracked.log_scores(SCORES)
        assert mlflow.active_run() is None
        logged = self.logged(mlflow, run)
        assert (logged.info.status, logged.info.run_name) == ("FINISHED", "my run")
        assert mlflow.get_experiment(logged.info.experiment_id).name == "asl-edge"
        assert logged.data.params["batch_size"] == "8"
        assert logged.data.metrics.keys() == {
            "loss", "accuracy", "val_loss", "val_accuracy", "test_accuracy", "test_top3_accuracy",
        }  # fmt: skip
        assert self.steps(mlflow, run) == [0, 1]

    def test_a_resumed_run_goes_on_in_the_same_one(self, run, mlflow):
        with pytest.raises(KeyboardInterrupt):
            stop_after(2, run, ["mlflow"])
        first = self.logged(mlflow, run)
        assert first.info.status == "KILLED"
        fit(trackers.callbacks(run, config(epochs=5), ["mlflow"]), 3, initial_epoch=2)
        logged = self.logged(mlflow, run)
        assert (logged.info.run_id, logged.info.status) == (first.info.run_id, "FINISHED")
        assert self.steps(mlflow, run) == [0, 1, 2]
        assert (logged.data.params["epochs"], logged.data.tags["resumed.epochs"]) == ("4", "5")

    def test_a_store_that_does_not_know_the_run_is_explained(self, run, mlflow):
        (run / "tracking.json").write_text('{"mlflow": "0123"}')
        with pytest.raises(UserError, match="Run with id=0123 not found. Set MLFLOW_TRACKING_URI as it was"):
            Tracking(run, config(), ["mlflow"])
        assert mlflow.active_run() is None

    def steps(self, mlflow, run):
        history = mlflow.MlflowClient().get_metric_history(self.logged(mlflow, run).info.run_id, "val_loss")
        return [metric.step for metric in history]
