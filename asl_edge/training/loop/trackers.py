"""Experiment trackers, Weights & Biases and MLflow, through their own Keras callbacks.

The run folder remains the authority: it is complete without a tracker, and a tracker that fails once training has
begun does not end the training.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from asl_edge.errors import MissingPackageError, RunError, UserError
from asl_edge.files import atomic
from asl_edge.training.config import TrainConfig
from asl_edge.training.runs.folder import RunFolder

if TYPE_CHECKING:
    import keras

    from asl_edge.training.loop.final_scores import SplitScore

TRACKERS = ("wandb", "mlflow")
TRACKING_FILE = "tracking.json"
"""In the run folder: tracker -> its id of the run, so that a resumed run continues under it."""
PROJECT = "asl-edge"
"""Project of W&B or experiment of MLflow, unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME names another."""


class Tracking:
    """The trackers of one training, from its first epoch to its scores; a context manager.

    At the end the trackers' runs are closed: as finished, or as failed or killed when an exception is raised.
    """

    def __init__(self, run: Path, config: TrainConfig, trackers: Sequence[str]) -> None:
        """Begin a run in each of `trackers`, or continue the one that the run folder `run` records.

        Raises:
            UserError: a tracker is unknown, cannot be reached, or is busy with another run.
            MissingPackageError: a tracker is not installed.
            RunError: the run folder's record of the trackers' ids is damaged.
        """
        check(trackers)
        self._open: list[_Wandb | _Mlflow] = []
        try:
            for name in dict.fromkeys(trackers):
                self._open.append(_KINDS[name](run, config))
        except BaseException as error:
            self.close(error)
            raise

    @property
    def callbacks(self) -> list[keras.callbacks.Callback]:
        """The trackers' callbacks, for one fit after another; they belong after the one that saves the epoch."""
        return [tracker.callback for tracker in self._open]

    def log_scores(self, scores: Mapping[str, SplitScore]) -> None:
        """Record accuracy and top-3 accuracy of the best epoch on each split, as `test_accuracy` and so on."""
        values = {}
        for split, score in scores.items():
            values[f"{split}_accuracy"] = score.accuracy
            values[f"{split}_top3_accuracy"] = score.top3_accuracy
        for tracker in self._open:
            with _failing_softly():
                tracker.log(values)

    def close(self, error: BaseException | None = None) -> None:
        """Close the trackers' runs: as finished, or by what ended the training. Does nothing the second time."""
        while self._open:
            with _failing_softly():
                self._open.pop().close(error)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)


def callbacks(run: Path, config: TrainConfig, trackers: Sequence[str]) -> list[keras.callbacks.Callback]:
    """Return callbacks for one fit, the last of which closes the trackers' runs when it ends.

    Keras does not tell callbacks about a fit that fails, so `Tracking` is the better choice where scores follow or an
    exception should be visible in the tracker.

    Raises:
        UserError, MissingPackageError, RunError: as `Tracking`.
    """
    import keras

    tracking = Tracking(run, config, trackers)

    class CloseAtTheEnd(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_end(self, logs: object = None) -> None:
            tracking.close()

    return [*tracking.callbacks, CloseAtTheEnd()]


def check(trackers: Sequence[str]) -> None:
    """Check, before anything is trained, that trackers are known and installed.

    Raises:
        UserError: a tracker is unknown.
        MissingPackageError: a tracker is not installed.
    """
    for name in trackers:
        if name not in TRACKERS:
            raise UserError(f"A tracker must be one of {', '.join(TRACKERS)}. Received: {name!r}")
        _keras_integration(name)


def _keras_integration(tracker: str) -> Any:
    module = {"wandb": "wandb.integration.keras", "mlflow": "mlflow.keras"}[tracker]
    try:
        return import_module(module)
    except ImportError as error:
        # W&B's callback imports TensorFlow whichever backend Keras runs on.
        raise MissingPackageError(
            f"--{tracker} needs a package that cannot be imported ({error}). Install it: "
            f"pip install 'asl-edge[train,{tracker}]'"
        ) from error


class _Wandb:
    """One run of Weights & Biases."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        import keras

        integration: Any = _keras_integration("wandb")
        wandb: Any = import_module("wandb")
        if wandb.run is not None:
            raise UserError("This process already has an open W&B run. Finish it first: wandb.finish()")
        recorded = _ids(run).get("wandb")
        identifier = recorded or secrets.token_hex(4)
        try:
            self._run = wandb.init(
                dir=run,
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.resolve().name,
                id=identifier,
                resume="allow",
                config=config.to_dict(),
                allow_val_change=True,  # such as a greater number of epochs on --resume
            )
        except wandb.Error as error:
            raise UserError(
                f"W&B cannot be started: {_first_line(error)} Or set WANDB_MODE=offline, or leave --wandb out."
            ) from error
        _record(run, "wandb", identifier)
        if recorded and self._run.offline:
            # An offline run does not know where its first part ended; `wandb sync --append` joins parts by their steps.
            self._run.log({}, step=len(RunFolder(run, {}).history()))

        class MetricsLogger(integration.WandbMetricsLogger):  # type: ignore[misc]
            """W&B's callback, which can read the learning rate from TensorFlow only."""

            def _get_lr(self) -> float:
                return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

        self.callback = MetricsLogger()

    def log(self, values: dict[str, float]) -> None:
        """Record values of the whole run."""
        self._run.summary.update(values)

    def close(self, error: BaseException | None) -> None:
        """Close the run, which W&B shows as failed when its exit code is not 0."""
        self._run.finish(exit_code=0 if error is None else 130 if isinstance(error, KeyboardInterrupt) else 1)


class _Mlflow:
    """One run of MLflow."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        integration: Any = _keras_integration("mlflow")
        self._mlflow: Any = import_module("mlflow")
        if self._mlflow.active_run() is not None:
            raise UserError("This process already has an open MLflow run. End it first: mlflow.end_run()")
        recorded = _ids(run).get("mlflow")
        try:
            if recorded is None and not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(os.environ):
                self._mlflow.set_experiment(PROJECT)
            tracked = self._mlflow.start_run(run_id=recorded, run_name=None if recorded else run.resolve().name)
            _log_params(self._mlflow, tracked, config)
        except Exception as error:  # from MLflow, its database or its server
            self._mlflow.end_run("FAILED")
            advice = "Leave --mlflow out, or set MLFLOW_TRACKING_URI to a store that can be reached."
            if recorded:
                advice = (
                    f"Set MLFLOW_TRACKING_URI as it was when the run began, or remove {run / TRACKING_FILE} to begin a "
                    "new MLflow run."
                )
            raise UserError(f"MLflow cannot be started: {_first_line(error)} {advice}") from error
        _record(run, "mlflow", tracked.info.run_id)

        class EpochLogger(integration.MlflowCallback):  # type: ignore[misc]
            """MLflow's callback, without what it logs of every validation: the epoch's line has the same values."""

            def on_test_end(self, logs: object = None) -> None:
                pass

        self.callback = EpochLogger()

    def log(self, values: dict[str, float]) -> None:
        """Record values of the whole run."""
        self._mlflow.log_metrics(values)

    def close(self, error: BaseException | None) -> None:
        """End the run, once everything that was logged in the background has arrived."""
        try:
            self._mlflow.flush_async_logging()
        finally:
            self._mlflow.end_run(
                "FINISHED" if error is None else "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            )


_KINDS: dict[str, type[_Wandb | _Mlflow]] = {"wandb": _Wandb, "mlflow": _Mlflow}


def _log_params(mlflow: Any, tracked: Any, config: TrainConfig) -> None:
    """Log the config; what has changed since the run began becomes a tag, since MLflow's parameters cannot change."""
    values = {name: str(value) for name, value in config.to_dict().items()}
    logged = mlflow.get_run(tracked.info.run_id).data.params
    mlflow.log_params({name: value for name, value in values.items() if name not in logged})
    mlflow.set_tags(
        {f"resumed.{name}": value for name, value in values.items() if name in logged and logged[name] != value}
    )


def _ids(run: Path) -> dict[str, str]:
    path = run / TRACKING_FILE
    try:
        ids = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(identifier) for name, identifier in ids.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}). Remove it to start new runs in the trackers.") from error


def _record(run: Path, tracker: str, identifier: str) -> None:
    atomic.write_json(run / TRACKING_FILE, _ids(run) | {tracker: identifier})


@contextmanager
def _failing_softly() -> Iterator[None]:
    """Turn what a tracker raises into a warning: a network that is down must not cost a training."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"A tracker failed: {_first_line(error)} The run folder is complete.", stacklevel=3)


def _first_line(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if text.endswith((".", "!", "?")) else f"{text}."
