"""Starting, resuming or joining a run: its folder, its compute plan, and what must not differ on resume."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge._version import __version__
from asl_edge.errors import RunError
from asl_edge.files import atomic
from asl_edge.files.removal import is_link, remove
from asl_edge.training import augmentation
from asl_edge.training.compute.compute_plan import ComputePlan, choose_plan
from asl_edge.training.compute.devices import broadcast_from_host_0, single_device
from asl_edge.training.config import TrainConfig
from asl_edge.training.loop.build import chosen_augmentation
from asl_edge.training.loop.setup import Setup
from asl_edge.training.loop.time_budget import fit_epochs_to_budget, seconds_per_step
from asl_edge.training.pretrained.load import TransferReport
from asl_edge.training.runs import dataset_fingerprint, image_samples
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.environment import describe
from asl_edge.training.runs.folder import SampleSet
from asl_edge.training.runs.lock import RunLock

_log = logging.getLogger(__name__)

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
"""Fields that may change when a run is resumed, since its epochs so far would have been the same."""

_SHOWN_IMAGES = 32
"""Images from which the augmentation sheet is made: those that it shows, and those that are mixed into them."""


def resumed_config(out: Path, **changes: Any) -> TrainConfig:
    """Return the config of the run in `out` with some changes; None leaves a field as it is.

    Raises:
        RunError: `out` is not a run, or a change would give another history.
    """
    stored = TrainConfig.from_dict(run_folder.read_config(out))
    changed = replace(stored, **{name: value for name, value in changes.items() if value is not None})
    _check_same_run(stored, changed)
    return changed


def spread_over_devices(setup: Setup) -> Setup:
    """Return the setup of a training whose batches are shared among the setup's devices.

    Raises:
        UserError: a batch cannot be shared evenly.
    """
    if setup.devices.devices == 1:
        return setup
    setup.progress.note(setup.devices.describe())
    setup.devices.check_batch(setup.config.batch_size)
    # The last batch of an epoch, where it is smaller, could not be shared evenly.
    return replace(setup, config=replace(setup.config, drop_last=True))


def start_run(setup: Setup, lock: RunLock, *, overwrite: bool = False, transfer: TransferReport | None = None) -> Setup:
    """Make the run folder, with all that is known before the first epoch, and choose the compute plan.

    Args:
        setup: what to train; its plan is still open.
        lock: taken as soon as there is a folder.
        overwrite: replace an earlier run in the same place.
        transfer: what the run takes over, where it starts from a trained network.

    Returns:
        The setup with its compute plan and, where a time budget is given, the epochs that fit into it.

    Raises:
        RunError: the folder is in use, in the way, or cannot be made.
    """
    import keras

    run = setup.run
    if overwrite and run.is_dir():
        lock.take()  # what another process is training stays
    _make_way(run, overwrite)
    setup = _with_chosen_plan(setup)
    for note in setup.plan.notes():
        setup.progress.note(note)
    if setup.config.time_budget_minutes is not None:
        setup = replace(setup, config=fit_epochs_to_budget(setup))
    keras.utils.set_random_seed(setup.config.seed)  # as if nothing had been tried
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.take()
    except OSError as error:
        raise RunError(
            f"The run folder {run} cannot be made ({error.strerror or error}). Choose another --out."
        ) from error
    try:
        _write_beginning(setup, transfer)
    except BaseException:
        # Without a config it is not a run, and must not be in the way of the next try.
        for item in run.iterdir():
            remove(item)
        run.rmdir()
        raise
    _log.info("started %s: %s", run, setup.plan)
    return setup


def resume_run(setup: Setup, lock: RunLock) -> Setup:
    """Check that a run can be resumed with this setup, and update its config; sends its plan to the other hosts.

    Returns:
        The setup with the compute plan that the run began with.

    Raises:
        RunError: there is no run, it is in use, or the config would give another history.
        TrainingError: the arrays are not those that the run began with.
    """
    recorded = run_folder.read_config(setup.run)
    lock.take()
    _check_same_run(TrainConfig.from_dict(recorded), setup.config)
    dataset_fingerprint.check_unchanged(setup.arrays, recorded["data"], recorded["classes"])
    values = _augmentation_values(setup.config)
    if difference := _differing(recorded.get("augmentation_values", values), values):
        setup.progress.note(
            f"The augmentation {setup.config.augmentation} has changed since the run began: {difference}. "
            "The run continues with the current values."
        )
    recorded.update(setup.config.to_dict() | {"augmentation_values": values})
    atomic.write_json(setup.run / run_folder.CONFIG_FILE, recorded)
    broadcast_from_host_0([recorded], setup.devices)  # `join_run` waits for it
    _log.info("resuming %s", setup.run)
    return replace(setup, plan=ComputePlan.from_dict(recorded))


def join_run(setup: Setup, *, resume: bool) -> Setup:
    """Take part, as one of the hosts that do not write, in a run that host 0 starts or resumes.

    Returns:
        The setup with its compute plan: host 0's where a run is resumed, else the one that this host chooses.
    """
    if resume:
        return replace(setup, plan=ComputePlan.from_dict(broadcast_from_host_0([], setup.devices)[0]))
    return _with_chosen_plan(setup)


def _with_chosen_plan(setup: Setup) -> Setup:
    plan = choose_plan(setup.config, lambda tried: seconds_per_step(replace(setup, plan=tried)))
    _log.info("compute plan: %s", plan)
    return replace(setup, plan=plan)


def _write_beginning(setup: Setup, transfer: TransferReport | None) -> None:
    """Write all that is known before the first epoch; the config last, since a folder with a config is a run."""
    run, config, arrays = setup.run, setup.config, setup.arrays
    (run / run_folder.CHECKPOINTS_FOLDER).mkdir(exist_ok=True)
    data = dataset_fingerprint.describe_arrays(arrays)
    if transfer is not None:
        data["started_from"] = transfer.to_dict()
    test_split = "test" if data["counts"]["test"] else "validation"
    samples = {
        "test": _write_samples(setup, "test", test_split, image_samples.TEST_SAMPLES),
        "train": _write_samples(setup, "train", "train", image_samples.TRAIN_SAMPLES),
    }
    atomic.write_json(run / run_folder.ENVIRONMENT_FILE, describe())
    changes = chosen_augmentation(config)
    if changes is not None:
        rows = np.unique(np.linspace(0, len(arrays.split("train")) - 1, _SHOWN_IMAGES).astype(int))
        images, labels = arrays.rgb("train", rows), arrays.split("train").labels[rows]
        with single_device():
            augmentation.write_sheet(
                run / run_folder.AUGMENTATION_FILE, images, labels, arrays.classes, changes, config.seed
            )
    atomic.write_json(
        run / run_folder.CONFIG_FILE,
        {
            "asl_edge_version": __version__,
            **config.to_dict(),
            **setup.plan.to_dict(),
            "augmentation_values": _augmentation_values(config),
            "classes": list(arrays.classes),
            "input_size": arrays.input_size,
            "fit": arrays.fit,
            "colour": "RGB",
            "arrays": str(arrays.folder.resolve()),
            "data": data,
            "samples": samples,
        },
    )


def _write_samples(setup: Setup, which: SampleSet, split: str, count: int) -> dict[str, Any]:
    """Write one set of samples; return what `config.json` keeps of it."""
    written = image_samples.write_samples(setup.run, which, setup.arrays, split, count, setup.config.seed)
    return {"split": split, "images": written}


def _augmentation_values(config: TrainConfig) -> dict[str, float]:
    """Return how far every random change of an image may go, except for those that never happen."""
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
            f"{out} holds something that is not part of a run ({foreign[0]}), so it is not replaced. "
            "Name another folder with --out."
        )
    if overwrite and is_link(out):
        raise RunError(
            f"{out} is a link, and the run that it leads to is not replaced. Name that folder itself with --out."
        )
    if overwrite:
        remove(out)
    elif is_run:
        raise RunError(
            f"{out} already holds a run. To continue it, add --resume; to replace it, add --overwrite; "
            "or name another folder with --out."
        )
    else:
        raise RunError(f"{out} holds the rest of a run that never began. To replace it, add --overwrite.")


def _check_same_run(stored: TrainConfig, wanted: TrainConfig) -> None:
    free = set(_FREE_ON_RESUME) if stored.schedule == "constant" else set(_FREE_ON_RESUME) - {"epochs"}
    before, now = stored.to_dict(), wanted.to_dict()
    changed = [
        f"{name} was {before[name]}, now {now[name]}"
        for name in before
        if before[name] != now[name] and name not in free
    ]
    if changed:
        raise RunError(
            f"A run continues with the choices that it began with; {'; '.join(changed)}. "
            "Leave these options out, or train into a new folder."
        )
