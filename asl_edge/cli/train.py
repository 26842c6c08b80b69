"""`asl-edge train`: prepared arrays to a run folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training.compute.hosts import Hosts
    from asl_edge.training.config import TrainConfig
    from asl_edge.training.loop.progress import Progress
    from asl_edge.training.loop.train import TrainResult


def train(
    arrays: Path | None = typer.Argument(
        None, metavar="ARRAYS", help="Folder of prepared arrays (see `asl-edge data prepare`).", show_default=False
    ),
    out: Path | None = typer.Option(None, "--out", "-o", help="Run folder to make.", show_default=False),
    recipe: str | None = typer.Option(
        None,
        help="Named set of choices: default, tutorial (as it trains), strangers (for hands and rooms that no training "
        "image shows), drawn (quick, for drawn hands), or finetune (for a few images of your own hand, from a "
        "trained model).",
        show_default="default, or finetune with a model to start from",
    ),
    network: str | None = typer.Option(
        None,
        help="Network to train: alexnet, alexnet-edge or alexnet-edge-8.",
        show_default="the recipe's, or that of the model",
    ),
    from_pretrained: bool = typer.Option(False, "--from-pretrained", help="Start from the model in the box."),
    start_from: Path | None = typer.Option(
        None,
        "--start-from",
        metavar="MODEL",
        help="Start from a trained model: a run folder, a .keras file, or an .onnx file that asl-edge exported.",
        show_default=False,
    ),
    epochs: int | None = typer.Option(None, help="Epochs.", show_default="the recipe's"),
    batch_size: int | None = typer.Option(None, help="Images in a batch.", show_default="the recipe's"),
    learning_rate: float | None = typer.Option(None, help="Learning rate, or its peak.", show_default="the recipe's"),
    seed: int | None = typer.Option(None, help="Same seed, same machine: same history on a CPU.", show_default="0"),
    precision: str | None = typer.Option(
        None, help="auto, float32 or mixed (bfloat16; float16 on older GPUs).", show_default="the recipe's"
    ),
    early_stopping: int | None = typer.Option(
        None, metavar="PATIENCE", help="Stop after this many epochs without a better one."
    ),
    keep: str | None = typer.Option(
        None, help="Checkpoints that stay: best3 (and the last), or all.", show_default="best3"
    ),
    time_budget: str | None = typer.Option(
        None, "--time-budget", metavar="TIME", help="Train as many epochs as end within 30m, 1h30m, ..."
    ),
    augmentation: str | None = typer.Option(
        None,
        help="How far images are changed in training: none, light, strong, strangers.",
        show_default="the recipe's",
    ),
    flip: float | None = typer.Option(
        None, "--flip", min=0, max=1, help="Share of images that are mirrored, to read both hands.", show_default="0"
    ),
    balance_classes: bool = typer.Option(False, "--balance-classes", help="Let small classes count as much as large."),
    settings: list[str] | None = typer.Option(
        None,
        "--set",
        metavar="NAME=VALUE",
        help="Any other choice of the recipe, such as optimizer=sgd. Repeatable; a wrong name lists them all.",
    ),
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Write TensorBoard logs into the run folder."),
    wandb: bool = typer.Option(False, "--wandb", help="Send every epoch to Weights & Biases too."),
    mlflow: bool = typer.Option(False, "--mlflow", help="Send every epoch to MLflow too."),
    bgr: bool = typer.Option(False, "--bgr", help="The arrays are BGR, as the tutorial's own script writes them."),
    classes: str | None = typer.Option(
        None, help="Class names by column, such as A,B,C, for arrays without a manifest.", show_default=False
    ),
    no_check: bool = typer.Option(False, "--no-check", help="Do not compare the arrays with their manifest first."),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --out where it stopped."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the run that stands in --out."),
    summary: bool = typer.Option(
        False, "--summary", help="Print the network and stop; needs ARRAYS, or --classes (and --size)."
    ),
    hosts: str | None = typer.Option(
        None, "--hosts", metavar="A:PORT,B:PORT", help="Train on several hosts, the same command on each (JAX)."
    ),
    host_index: int | None = typer.Option(None, "--host-index", help="Which of --hosts this one is, from 0."),
    size: int | None = typer.Option(
        None,
        help="Side of the images for --summary without ARRAYS, in pixels.",
        show_default="that of the model to start from, else the network's own",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train a network on prepared arrays: checkpoints, history, curves and the best model stand in the run folder."""
    changes = {
        "network": network,
        "start_from": _model_to_start_from(from_pretrained, start_from),
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "precision": precision,
        "early_stopping": early_stopping,
        "keep": keep,
        "tensorboard": tensorboard or None,
        "trackers": tuple(name for name, wanted in (("wandb", wandb), ("mlflow", mlflow)) if wanted) or None,
        "augmentation": augmentation,
        "flip_probability": flip,
        "balance_classes": balance_classes or None,
        "time_budget_minutes": None if time_budget is None else _minutes(time_budget, epochs),
    }
    _add_settings(changes, settings or [])
    if summary:
        _print_summary(arrays, classes, size, _config(recipe, changes, None), bgr)
        return
    if arrays is None or out is None:
        raise UserError("Name the arrays and the run folder to make: asl-edge train ARRAYS --out RUN")
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other: one keeps the run, the other replaces it.")
    from asl_edge.training.compute.hosts import from_options

    config = _config(recipe, changes, out if resume else None)
    names, bgr = _columns(classes, bgr, out if resume else None)
    opened = _open_arrays(arrays, names, bgr, check=not no_check)
    _train(config, opened, out, resume, overwrite, as_json, from_options(hosts, host_index))


def _model_to_start_from(from_pretrained: bool, start_from: Path | None) -> str | None:
    from asl_edge.runtime.pretrained import PRETRAINED, names_pretrained

    if start_from is None:
        return PRETRAINED if from_pretrained else None
    if from_pretrained:
        raise UserError("--from-pretrained starts from the model in the box, --start-from from another. Choose one.")
    return f"./{start_from}" if names_pretrained(str(start_from)) else str(start_from)


def _add_settings(changes: dict[str, Any], settings: list[str]) -> None:
    from asl_edge.training.config import read_settings

    if "help" in settings:
        _print_settings()
        raise typer.Exit
    for name, value in read_settings(settings).items():
        if changes.get(name) is not None:
            raise UserError(f"{name} is chosen by an option and by --set. Leave one of them out.")
        changes[name] = value


def _print_settings() -> None:
    """Print every choice that --set takes."""
    from rich.table import Table

    from asl_edge.cli.output.console import out
    from asl_edge.training.config import describe_settings

    table = Table("name", "values", "default", "meaning", box=None, pad_edge=False)
    for setting in describe_settings():
        table.add_row(*setting)
    out.print(table, markup=False)


def _minutes(time_budget: str, epochs: int | None) -> float:
    from asl_edge.training.loop.time_budget import minutes

    if epochs is not None:
        raise UserError("--time-budget chooses the number of epochs, so --epochs and it exclude each other.")
    return minutes(time_budget)


def _config(recipe: str | None, changes: dict[str, Any], resumed: Path | None) -> TrainConfig:
    from asl_edge.training import recipes
    from asl_edge.training.loop.start import resumed_config

    if resumed is not None:
        return resumed_config(resumed, recipe=recipe, **changes)
    if changes.get("start_from") is None:
        if recipe == recipes.FINETUNE:
            raise UserError(
                "The recipe finetune goes on from a trained model: add --from-pretrained, or --start-from MODEL."
            )
        return recipes.get(recipe or recipes.DEFAULT, **changes)
    from asl_edge.training.pretrained.source import open_pretrained

    network = changes["network"] or open_pretrained(changes["start_from"]).network
    return recipes.get(recipe or recipes.FINETUNE, **changes | {"network": network})


def _columns(classes: str | None, bgr: bool, resumed: Path | None) -> tuple[list[str] | None, bool]:
    """Return class names and colour order as asked for or, where a run goes on, as it was begun."""
    from asl_edge.labels import parse_classes

    names = parse_classes(classes) if classes else None
    if resumed is None:
        return names, bgr
    from asl_edge.training.runs.folder import read_config

    recorded = read_config(resumed)
    return names or list(recorded["classes"]), bgr or bool(recorded["data"]["bgr"])


def _open_arrays(folder: Path, classes: list[str] | None, bgr: bool, check: bool) -> PreparedArrays:
    import warnings

    from asl_edge.cli.output.console import err, warn
    from asl_edge.data.arrays import PreparedArrays

    with warnings.catch_warnings(record=True) as caught, err.status("Checking the arrays ..."):
        warnings.simplefilter("always")
        opened = PreparedArrays.open(folder, classes=classes, bgr=bgr, check=check)
    for warning in caught:
        warn(str(warning.message))
    return opened


def _train(
    config: TrainConfig,
    arrays: PreparedArrays,
    out: Path,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    hosts: Hosts | None,
) -> None:
    from asl_edge.cli.output.console import print_json, print_next, warn
    from asl_edge.training.loop.train import Interrupted
    from asl_edge.training.loop.train import train as fit

    quiet = hosts is not None and hosts.index > 0
    progress = None if quiet else progress_on_console()
    try:
        result = fit(config, arrays, out, resume=resume, overwrite=overwrite, progress=progress, hosts=hosts)
    except Interrupted as stopped:
        warn(str(stopped))
        print_next(shlex.join(["asl-edge", "train", str(arrays.folder), "--out", str(out), "--resume"]), "Go on with")
        raise typer.Exit(130) from stopped
    if quiet:
        return  # host 0 says it for all
    if as_json:
        print_json(
            {
                "run": str(result.run),
                "epochs": result.epochs,
                "best_epoch": result.best_epoch,
                "stopped_early": result.stopped_early,
                "history": result.history,
                **{split: score.to_dict() for split, score in result.scores.items()},
            }
        )
    else:
        _print_result(result)
    print_next(shlex.join(["asl-edge", "export", str(out), "--out", str(out / "model.onnx")]))


def _print_result(result: TrainResult) -> None:
    from asl_edge.cli.output.console import out

    ended = ", stopped early" if result.stopped_early else ""
    out.print(
        f"{result.epochs} epochs{ended}; the best by validation accuracy is epoch {result.best_epoch}: best.keras"
    )
    for split, score in result.scores.items():
        low, high = score.interval95
        out.print(
            f"{split} accuracy {score.accuracy:.4f} (95% interval {low:.4f} to {high:.4f}), "
            f"top-3 {score.top3_accuracy:.4f}, on {score.images} images"
        )
    out.print(f"Run folder: {result.run}", markup=False)


def _print_summary(arrays: Path | None, classes: str | None, size: int | None, config: TrainConfig, bgr: bool) -> None:
    from asl_edge.cli.output.console import out
    from asl_edge.training import networks
    from asl_edge.training.compute.backend import load_keras

    names, _ = _columns(classes, bgr, None)
    if arrays is not None:
        opened = _open_arrays(arrays, names, bgr, check=False)
        count, size = len(opened.classes), opened.input_size
    elif names is not None:
        count, size = len(names), size or _usual_size(config)
    else:
        raise UserError("--summary needs the number of classes: name ARRAYS, or --classes A,B,C.")
    load_keras()
    model = networks.build(config.network, count, size)
    model.summary(line_length=100, print_fn=lambda text, **_: out.out(text, highlight=False))


def _usual_size(config: TrainConfig) -> int:
    """Return the side of the images of the model to start from; without one, what the network was designed for."""
    from asl_edge.training import networks
    from asl_edge.training.pretrained.source import open_pretrained

    own = None if config.start_from is None else open_pretrained(config.start_from).input_size
    return own or networks.get(config.network).input_size


def progress_on_console() -> Progress:
    """Return the progress that a person sees: a bar for the running epoch, a line for each complete one."""
    from asl_edge.cli.output.console import err, progress_bar
    from asl_edge.training.loop.progress import Progress

    class ShownProgress(Progress):
        """A bar for the running epoch and a line for every complete one, on standard error."""

        def __init__(self) -> None:
            self._bar = progress_bar()
            self._task: Any = None
            self._batch_size = self._epochs = self._epoch = self._images = 0
            self._first: tuple[int, float] | None = None
            self._seconds_of_an_epoch: float | None = None

        def note(self, message: str) -> None:
            err.print(message, style="dim", markup=False)

        def training_begins(self, config: TrainConfig) -> None:
            self._batch_size = config.batch_size

        def epoch_begins(self, epoch: int, epochs: int, images: int) -> None:
            self._epochs, self._epoch, self._images, self._first = epochs, epoch, images, None
            self._bar.start()
            self._task = self._bar.add_task(f"Epoch {epoch}/{epochs}", total=images, rate="")

        def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
            import time

            now = time.perf_counter()
            if self._first is None:  # of an epoch that goes on, some images were seen before
                self._first = images, now
            seen, seconds = images - self._first[0], now - self._first[1]
            rate = f"{seen / seconds:.0f} images/s  {self._left(images, seen / seconds)}  " if seen else ""
            self._bar.update(
                self._task,
                completed=images,
                rate=f"batch {self._batch_size}  {rate}loss {loss:.4f}  waiting for data {waiting_share:.1%}",
            )

        def _left(self, images: int, rate: float) -> str:
            """Of the whole training; the bar itself shows what is left of the epoch."""
            whole = self._seconds_of_an_epoch or self._images / rate
            seconds = (self._images - images) / rate + whole * (self._epochs - self._epoch)
            if seconds < 90:
                return f"{seconds:.0f} s left"
            return f"{seconds / 60:.0f} min left" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h left"

        def epoch_ends(self, row: Mapping[str, float], best: bool) -> None:
            self._seconds_of_an_epoch = row["seconds"]
            self._bar.remove_task(self._task)
            err.print(
                f"Epoch {row['epoch']:.0f}/{self._epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}  "
                f"val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}  "
                f"{row['images_per_second']:.0f} images/s  {row['seconds']:.0f} s" + ("  best so far" if best else "")
            )

        def close(self) -> None:
            self._bar.stop()

    return ShownProgress()
