"""Run folders at a glance: the results of each one, and how two of them differ. Reads files only, without Keras."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from asl_edge.data.arrays import FILES
from asl_edge.errors import AslEdgeError, RunError
from asl_edge.files.earlier_names import with_current_names
from asl_edge.training.config import TrainConfig
from asl_edge.training.runs import folder as run_folder
from asl_edge.training.runs.checkpoints import best_epoch, path_of_epoch
from asl_edge.training.runs.folder import RunFolder, read_config
from asl_edge.training.runs.lock import is_taken
from asl_edge.training.runs.parameter_count import count_parameters

State = Literal["finished", "training", "can be resumed", "damaged"]
History = list[dict[str, float]]

DEPTH = 3
"""How many folders deep `find_runs` looks."""

_SIGNS = (run_folder.CONFIG_FILE, run_folder.HISTORY_FILE, run_folder.BEST_FILE, run_folder.STATE_FILE)
"""A folder without a readable config that has two or more of these files was a run: each alone is a common name."""


@dataclass(frozen=True)
class RunSummary:
    """What is known of one run folder; None where it is not recorded."""

    path: Path
    state: State
    reason: str | None
    """What is damaged, as a sentence."""
    recipe: str | None = None
    network: str | None = None
    classes: tuple[str, ...] = ()
    epochs: int = 0
    """Complete epochs."""
    planned_epochs: int | None = None
    best_epoch: int | None = None
    """The epoch that `best.keras` holds, from 1."""
    validation_accuracy: float | None = None
    """Of the best epoch, as `history.csv` has it."""
    test_accuracy: float | None = None
    """Of `best.keras`; known once a run is finished, and if its arrays have a test split."""
    test_interval95: tuple[float, float] | None = None
    test_images: int | None = None
    parameters: int | None = None
    """Parameters of the network, including the running averages of batch normalisation."""
    size_bytes: int = 0
    """Size of all files in the folder; a file with several names counts once."""
    training_seconds: float | None = None
    """Sum over the complete epochs."""
    changed: float = 0.0
    """When the last epoch was completed, or without one the run began, in seconds since 1970."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; `changed` as ISO 8601 in UTC."""
        changed = datetime.fromtimestamp(self.changed, timezone.utc).isoformat(timespec="seconds")
        return asdict(self) | {"path": str(self.path), "changed": changed}


@dataclass(frozen=True)
class Difference:
    """One entry of `config.json` or `environment.json` that two runs do not share; None where a run lacks it."""

    name: str
    """Names of nested entries with dots between them, such as `data.split`."""
    first: Any
    second: Any


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    first: RunSummary
    second: RunSummary
    choices: tuple[Difference, ...]
    """What differs in `config.json`."""
    environment: tuple[Difference, ...]
    """What differs in `environment.json`: training times are comparable only on the same processor."""
    first_history: History
    second_history: History
    same_images: dict[str, bool | None]
    """By split: whether both have the same images, as comparable accuracies require; None if not recorded."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "runs": [self.first.to_dict(), self.second.to_dict()],
            "choices": {item.name: [item.first, item.second] for item in self.choices},
            "environment": {item.name: [item.first, item.second] for item in self.environment},
            "same_images": self.same_images,
            "histories": [self.first_history, self.second_history],
        }


def find_runs(folder: str | os.PathLike[str]) -> list[RunSummary]:
    """Summarise the run that `folder` is, or all runs in it up to three folders deep; newest first.

    Damaged runs are included, with the reason.

    Raises:
        RunError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"There is no folder at {folder}. Name a run folder, or one that holds run folders.")
    return sorted((summarize(path) for path in _run_folders(folder, DEPTH)), key=lambda run: -run.changed)


def summarize(path: str | os.PathLike[str]) -> RunSummary:
    """Summarise the run folder `path`; where it is damaged, `state` and `reason` say so."""
    path = Path(path)
    summary = _summarize(path)
    if is_taken(path):  # its files may be between one epoch and the next
        return replace(summary, state="training", reason=None)
    return summary


def _summarize(path: Path) -> RunSummary:
    known = RunSummary(path, "damaged", None, size_bytes=_size(path), changed=_changed(path))
    try:
        config = read_config(path)
        known = replace(known, **_choices(config))
        history = _history(path)
        if history:
            known = replace(known, **_reached(path, history))
        results = _results(path, history)
        known = replace(known, **_tested(results))
        return replace(known, state=_state(path, config, history, results))
    except AslEdgeError as error:
        return replace(known, reason=str(error))
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:  # files that somebody has edited
        return replace(known, reason=f"{path} holds something unexpected ({type(error).__name__}: {error}).")


def compare(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Comparison:
    """Compare two runs, whether they are finished or not.

    Raises:
        RunError: one of them is not a run folder, or its config or history cannot be read.
    """
    first, second = Path(first), Path(second)
    configs = read_config(first), read_config(second)
    return Comparison(
        summarize(first),
        summarize(second),
        _differences(*configs),
        _differences(_environment(first), _environment(second)),
        _history(first),
        _history(second),
        {split: _same_images(*configs, split) for split in ("validation", "test")},
    )


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Yield `folder` if it is a run, else the runs in it; each once, though links may lead to it twice."""
    seen: set[Path] = set()

    def search(at: Path, depth: int) -> Iterator[Path]:
        real = at.resolve()
        if real in seen:
            return
        seen.add(real)
        if _is_run(at):
            yield at
        elif depth:
            try:
                with os.scandir(at) as entries:
                    names = sorted(entry.name for entry in entries if entry.name[:1] != "." and entry.is_dir())
            except OSError:  # somebody else's folder
                return
            for name in names:
                yield from search(at / name, depth - 1)

    return search(folder, depth)


def _is_run(path: Path) -> bool:
    try:
        read_config(path)
        return True
    except RunError:  # damaged, or the config.json of something else
        return sum((path / name).is_file() for name in _SIGNS) > 1


def _choices(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipe": config.get("recipe"),
        "network": config["network"],
        "classes": tuple(config["classes"]),
        "planned_epochs": config.get("epochs"),
    }


def _reached(path: Path, history: History) -> dict[str, Any]:
    best = best_epoch(history)
    return {
        "epochs": len(history),
        "best_epoch": best,
        "validation_accuracy": next(row["val_accuracy"] for row in history if row["epoch"] == best),
        "training_seconds": sum(row["seconds"] for row in history) if "seconds" in history[0] else None,
        "parameters": count_parameters(path / run_folder.BEST_FILE),
    }


def _tested(results: Mapping[str, Any] | None) -> dict[str, Any]:
    test = (results or {}).get("test")
    if not test:
        return {}
    low, high = test["interval95"]
    return {"test_accuracy": test["accuracy"], "test_interval95": (low, high), "test_images": test["images"]}


def _history(path: Path) -> History:
    try:
        history = RunFolder(path, {}).history()
        for row in history:
            for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy"):
                row[name]
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{path / run_folder.HISTORY_FILE} cannot be read ({reason}).") from error
    return history


def _results(path: Path, history: History) -> dict[str, Any] | None:
    """Return `results.json`; None where it is missing or older than the last epochs."""
    file = path / run_folder.RESULTS_FILE
    try:
        results: dict[str, Any] = with_current_names(json.loads(file.read_text(encoding="utf-8")))
        return results if results["epochs"] == len(history) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{file} cannot be read ({error}). The same `asl-edge train` command with --resume writes it again."
        ) from error


def _environment(path: Path) -> dict[str, Any]:
    """Return `environment.json`; nothing depends on it, so one that cannot be read is empty."""
    try:
        values = json.loads((path / run_folder.ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _state(path: Path, config: Mapping[str, Any], history: History, results: Mapping[str, Any] | None) -> State:
    """Return whether a run is finished or can be resumed.

    Checks names, sizes and the last bytes of the large files: reading them whole takes seconds.

    Raises:
        RunError: it is neither.
    """
    best, state = path / run_folder.BEST_FILE, path / run_folder.STATE_FILE
    if best.exists() and not zipfile.is_zipfile(best):
        raise RunError(f"{best} is damaged. Train again, or --resume.")
    if history and not best.exists():
        checkpoint = path_of_epoch(path / run_folder.CHECKPOINTS_FOLDER, history, best_epoch(history))
        if results is not None or not checkpoint.exists():
            raise RunError(f"{best} is missing.")
    if results is not None:
        return "finished"
    TrainConfig.from_dict(config)
    if best.exists() and not history:
        raise RunError(f"{path / run_folder.HISTORY_FILE} is missing.")
    if history and not state.exists():
        raise RunError(f"{state} is missing, so the run cannot be resumed; its best epoch can still be exported.")
    if state.exists() and not zipfile.is_zipfile(state):
        raise RunError(f"{state} is damaged, so the run cannot be resumed; its best epoch can still be exported.")
    return "can be resumed"


def _size(path: Path) -> int:
    """Return the size of all files in bytes."""
    sizes: dict[tuple[int, int] | str, int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            try:
                status = file.lstat()
            except OSError:  # a checkpoint that a running training has replaced in the meantime
                continue
            # `best.keras` may be another name of a checkpoint.
            sizes[(status.st_dev, status.st_ino) if status.st_ino else str(file)] = status.st_size
    return sum(sizes.values())


def _changed(path: Path) -> float:
    for name in (run_folder.HISTORY_FILE, run_folder.CONFIG_FILE):
        try:
            return (path / name).stat().st_mtime
        except OSError:
            continue
    return 0.0


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    one, other = _flat(first), _flat(second)
    return tuple(
        Difference(name, one.get(name), other.get(name))
        for name in [*one, *(name for name in other if name not in one)]
        if one.get(name) != other.get(name)
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _same_images(first: Mapping[str, Any], second: Mapping[str, Any], split: str) -> bool | None:
    """Compare the checksums (without a manifest: size of the images, checksum of the classes) of one split."""
    names = FILES[split]
    one, other = ((config.get("data") or {}).get("fingerprint") or {} for config in (first, second))
    if not all(name in one and name in other for name in names):
        return None
    return list(first["classes"]) == list(second["classes"]) and all(one[name] == other[name] for name in names)
