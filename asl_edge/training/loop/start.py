"""Opening a run: the folder with all that is known before the first epoch, or the one to go on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asl_edge._version import __version__
from asl_edge.errors import RunError
from asl_edge.files import atomic
from asl_edge.training import augmentation
from asl_edge.training.compute.compute_plan import ComputePlan, choose_plan
from asl_edge.training.compute.devices import Distribution, broadcast_from_host_0, single_device
from asl_edge.training.config import TrainConfig
from asl_edge.training.loop.build import build_training_model, chosen_augmentation
from asl_edge.training.loop.progress import Progress
from asl_edge.training.loop.time_budget import fit_epochs_to_budget, seconds_of_a_step
from asl_edge.training.pretrained.load import TransferReport
from asl_edge.training.runs import dataset_fingerprint, image_samples
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.environment import describe
from asl_edge.training.runs.lock import RunLock

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays

_FREE_ON_RESUME = (
    "epochs",
    "keep",
    "tensorboard",
    "trackers",
    "early_stopping",
    "on_device",
    "checkpoint_minutes",
    "checkpoint_steps",
)
"""Fields that may change when a run goes on, since they do not change what its epochs so far would have been."""

_SHOWN_IMAGES = 32
"""Images from which the sheet of the augmentation is made: those that it shows and their partners."""


def resumed_config(out: Path, **changes: Any) -> TrainConfig:
    """Return the config of the run in `out`, with what may change on `resume` changed; None leaves a field.

    Raises:
        RunError: `out` is no run, or a change would make another history.
    """
    stored = TrainConfig.from_dict(run_folder.read_config(out))
    wanted = replace(stored, **{name: value for name, value in changes.items() if value is not None})
    _check_same_run(stored, wanted)
    return wanted


def open_run(
    config: TrainConfig,
    arrays: PreparedArrays,
    out: Path,
    resume: bool,
    overwrite: bool,
    progress: Progress,
    devices: Distribution,
    lock: RunLock,
    taken: TransferReport | None = None,
) -> tuple[TrainConfig, ComputePlan]:
    """Make the run folder with all that is known before the first epoch, or check the one to go on with.

    The process that writes takes `lock`, as soon as there is a folder. `taken` is what a run starts from, where that is
    a trained network.
    """
    if devices.devices > 1:
        progress.note(devices.describe())
        devices.check_batch(config.batch_size)
        config = replace(config, drop_last=True)  # the last batch of an epoch could not be shared evenly
    if not devices.writes:
        if resume:
            recorded = broadcast_from_host_0([], devices)[0]
            return config, ComputePlan.from_dict(recorded)
        return config, choose_plan(config, _measured(config, arrays))
    if resume:
        recorded = run_folder.read_config(out)
        lock.take()
        _check_same_run(TrainConfig.from_dict(recorded), config)
        dataset_fingerprint.check_unchanged(arrays, recorded["data"], recorded["classes"])
        now = _augmentation_values(config)
        if another := _differing(recorded.get("augmentation_values", now), now):
            progress.note(
                f"The augmentation {config.augmentation} is another in this version than when the run began: "
                f"{another}. The run goes on with what it is now."
            )
        recorded.update(config.to_dict() | {"augmentation_values": now})
        atomic.write_json(out / run_folder.CONFIG_FILE, recorded)
        broadcast_from_host_0([recorded], devices)
        return config, ComputePlan.from_dict(recorded)
    import keras

    if overwrite and out.is_dir():
        lock.take()  # what another process is training stays
    _make_way(out, overwrite)
    means = choose_plan(config, _measured(config, arrays))
    for note in means.notes():
        progress.note(note)
    if config.time_budget_minutes is not None:
        config = fit_epochs_to_budget(config, arrays, build_training_model, means, progress)
    keras.utils.set_random_seed(config.seed)  # as if nothing had been tried
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.take()
    except OSError as error:
        raise RunError(
            f"The run folder {out} cannot be made ({error.strerror or error}). Choose another --out."
        ) from error
    try:
        _write_beginning(config, arrays, out, means, taken)
    except BaseException:
        # Without a config it is no run, and must not stand in the way of the next try.
        for item in out.iterdir():
            _remove(item)
        out.rmdir()
        raise
    return config, means


def _measured(config: TrainConfig, arrays: PreparedArrays) -> Callable[[ComputePlan], float]:
    return lambda means: seconds_of_a_step(config, arrays, build_training_model, means)


def _write_beginning(
    config: TrainConfig, arrays: PreparedArrays, out: Path, means: ComputePlan, taken: TransferReport | None
) -> None:
    """Write all that is known before the first epoch; the config last, since a folder with a config is a run."""
    (out / run_folder.CHECKPOINTS_FOLDER).mkdir(exist_ok=True)
    test_split = "test" if dataset_fingerprint.describe_arrays(arrays)["counts"]["test"] else "validation"
    kept = {
        "test": {
            "split": test_split,
            "images": image_samples.write_samples(
                out, "test", arrays, test_split, image_samples.TEST_SAMPLES, config.seed
            ),
        },
        "train": {
            "split": "train",
            "images": image_samples.write_samples(
                out, "train", arrays, "train", image_samples.TRAIN_SAMPLES, config.seed
            ),
        },
    }
    atomic.write_json(out / run_folder.ENVIRONMENT_FILE, describe())
    changes = chosen_augmentation(config)
    if changes is not None:
        rows = np.unique(np.linspace(0, len(arrays.split("train")) - 1, _SHOWN_IMAGES).astype(int))
        images, labels = arrays.rgb("train", rows), arrays.split("train").labels[rows]
        with single_device():
            augmentation.write_sheet(
                out / run_folder.AUGMENTATION_FILE, images, labels, arrays.classes, changes, config.seed
            )
    atomic.write_json(
        out / run_folder.CONFIG_FILE,
        {
            "asl_edge_version": __version__,
            **config.to_dict(),
            **means.to_dict(),
            "augmentation_values": _augmentation_values(config),
            "classes": list(arrays.classes),
            "input_size": arrays.input_size,
            "fit": arrays.fit,
            "colour": "RGB",
            "arrays": str(arrays.folder.resolve()),
            "data": dataset_fingerprint.describe_arrays(arrays)
            | ({} if taken is None else {"started_from": taken.to_dict()}),
            "samples": kept,
        },
    )


def _augmentation_values(config: TrainConfig) -> dict[str, float]:
    """Return how far every random change of an image may go, but for those that do not happen."""
    chosen = chosen_augmentation(config)
    return {} if chosen is None else {name: value for name, value in asdict(chosen).items() if value}


def _differing(before: dict[str, float], now: dict[str, float]) -> str:
    """Return which values differ, in words."""
    names = [name for name in {**before, **now} if before.get(name, 0.0) != now.get(name, 0.0)]
    return ", ".join(f"{name} {before.get(name, 0.0):g}, now {now.get(name, 0.0):g}" for name in names)


def _make_way(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file. Name a folder for the run with --out.")
    if not out.exists() or not any(out.iterdir()):
        return
    is_run = (out / run_folder.CONFIG_FILE).is_file()
    foreign = run_folder.foreign_files(out)
    if foreign and (overwrite or not is_run):
        raise RunError(
            f"{out} holds something that is not a run's ({foreign[0]}), so it stays. Name another folder with --out."
        )
    if overwrite:
        _remove(out)
    elif is_run:
        raise RunError(
            f"{out} holds a run already. Go on with it: add --resume. Replace it: add --overwrite. "
            "Or name another folder with --out."
        )
    else:
        raise RunError(f"{out} holds the beginning of a run that never began. Replace it: add --overwrite.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _check_same_run(stored: TrainConfig, wanted: TrainConfig) -> None:
    free = set(_FREE_ON_RESUME) if stored.schedule == "constant" else set(_FREE_ON_RESUME) - {"epochs"}
    before, now = stored.to_dict(), wanted.to_dict()
    other = [
        f"{name} was {before[name]}, now {now[name]}"
        for name in before
        if before[name] != now[name] and name not in free
    ]
    if other:
        raise RunError(
            f"A run goes on with the choices that it was begun with; {'; '.join(other)}. "
            "Leave these options out, or train into a new folder."
        )
