"""`asl-edge train`: prepared arrays to a run folder."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asl_edge.cli.options import DATA, HARDWARE, ArraysBgr, AsJson, Overwrite
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training.compute.hosts import Hosts
    from asl_edge.training.config import TrainConfig
    from asl_edge.training.loop.train import TrainResult


_OPTIMISATION = "Optimisation"
_CHECKPOINTS = "Checkpoints"
_TRACKING = "Tracking"
_SUMMARY = "Summary of the network"


def train(
    arrays: Annotated[
        Path | None, typer.Argument(metavar="ARRAYS", help="Folder of prepared arrays (see `asl-edge data prepare`).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="RUN", help="Run folder to make.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME",
            help="default, tutorial, signer-independent, synthetic or finetune.",
            show_default="default; finetune to start from a model",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="NAME",
            help="alexnet, alexnet-edge, alexnet-edge-8 or alexnet-edge-8-landmarks.",
            show_default="the recipe's or the model's",
        ),
    ] = None,
    from_pretrained: Annotated[
        bool, typer.Option("--from-pretrained", help="Start from the pretrained model.")
    ] = False,
    start_from: Annotated[
        Path | None,
        typer.Option("--start-from", metavar="MODEL", help="Start from a run folder, a .keras or an .onnx file."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Epochs.", show_default="the recipe's")
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option("--time-budget", metavar="TIME", help="As many epochs as fit into 30m, 1h30m, ..."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    augmentation: Annotated[
        str | None,
        typer.Option(
            "--augmentation",
            metavar="NAME",
            help="none, light, strong or signer-independent.",
            show_default="the recipe's",
            rich_help_panel=DATA,
        ),
    ] = None,
    flip: Annotated[
        float | None,
        typer.Option(
            "--flip",
            metavar="P",
            min=0,
            max=1,
            help="Share of images to mirror, for left hands.",
            show_default="the recipe's",
            rich_help_panel=DATA,
        ),
    ] = None,
    balance_classes: Annotated[
        bool, typer.Option("--balance-classes", help="Weight all classes equally.", rich_help_panel=DATA)
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="A,B,...",
            help="Classes by column, for arrays without a manifest.",
            rich_help_panel=DATA,
        ),
    ] = None,
    bgr: ArraysBgr = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not compare the arrays with their manifest.", rich_help_panel=DATA)
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            help="Images per batch.",
            show_default="the recipe's",
            rich_help_panel=_OPTIMISATION,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            metavar="X",
            help="Constant or peak learning rate.",
            show_default="the recipe's",
            rich_help_panel=_OPTIMISATION,
        ),
    ] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            "--early-stopping",
            metavar="N",
            help="Stop after N epochs without improvement.",
            rich_help_panel=_OPTIMISATION,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            help="Same seed and machine, same history on a CPU.",
            show_default="0",
            rich_help_panel=_OPTIMISATION,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other choice; help lists them. Repeatable.",
            rich_help_panel=_OPTIMISATION,
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="WHICH",
            help="Checkpoints to keep: best3 (and the last) or all.",
            show_default="best3",
            rich_help_panel=_CHECKPOINTS,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="NAME",
            help="auto, float32 or mixed.",
            show_default="the recipe's",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    hosts: Annotated[
        str | None,
        typer.Option(
            "--hosts",
            metavar="A:PORT,...",
            help="Train on several hosts (JAX), same command on each.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    host_index: Annotated[
        int | None,
        typer.Option(
            "--host-index", metavar="N", help="Which of --hosts this one is, from 0.", rich_help_panel=HARDWARE
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard logs to the run folder.", rich_help_panel=_TRACKING)
    ] = False,
    wandb: Annotated[
        bool, typer.Option("--wandb", help="Log every epoch to Weights & Biases.", rich_help_panel=_TRACKING)
    ] = False,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Log every epoch to MLflow.", rich_help_panel=_TRACKING)
    ] = False,
    summary: Annotated[
        bool,
        typer.Option(
            "--summary",
            help="Print the network and stop (needs ARRAYS or --classes).",
            rich_help_panel=_SUMMARY,
        ),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            metavar="PX",
            help="Side of the images, without ARRAYS.",
            show_default="the model's",
            rich_help_panel=_SUMMARY,
        ),
    ] = None,
) -> None:
    """Train a network on prepared arrays.

    The run folder holds checkpoints, history, curves and the best model.

    A recipe is a named set of choices: default; tutorial trains as the tutorial does; signer-independent
    generalises to unseen signers and rooms; synthetic is quick, for synthetic hands; finetune adapts a trained model to
    a few images of your own. --set changes any single choice, such as --set optimizer=sgd; --set help lists them.

    Examples:
        asl-edge train arrays --out runs/first
        asl-edge train arrays --out runs/mine --from-pretrained --time-budget 30m
        asl-edge train arrays --out runs/first --resume
    """
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
    prepared = _open_arrays(arrays, names, bgr, check=not no_check)
    _train(config, prepared, out, resume, overwrite, as_json, from_options(hosts, host_index))


def _model_to_start_from(from_pretrained: bool, start_from: Path | None) -> str | None:
    from asl_edge.runtime.pretrained import PRETRAINED, names_pretrained

    if start_from is None:
        return PRETRAINED if from_pretrained else None
    if from_pretrained:
        raise UserError("--from-pretrained starts from the pretrained model, --start-from from another. Choose one.")
    return f"./{start_from}" if names_pretrained(str(start_from)) else str(start_from)


def _add_settings(changes: dict[str, Any], settings: list[str]) -> None:
    from asl_edge.training.config import read_settings

    if "help" in settings:
        _print_settings()
        raise typer.Exit
    for name, value in read_settings(settings).items():
        if changes.get(name) is not None:
            raise UserError(f"{name} is given by an option and by --set. Leave one of them out.")
        # No shell expands the tilde in `--set start_from=~/x`.
        is_path = name == "start_from" and isinstance(value, str)
        changes[name] = os.path.expanduser(value) if is_path else value  # noqa: PTH111 - it leaves unknown users alone


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
        raise UserError("--time-budget chooses the number of epochs. Leave --epochs out.")
    return minutes(time_budget)


def _config(recipe: str | None, changes: dict[str, Any], resumed: Path | None) -> TrainConfig:
    from asl_edge.training import recipes
    from asl_edge.training.loop.start import resumed_config

    if resumed is not None:
        return resumed_config(resumed, recipe=recipe, **changes)
    if changes.get("start_from") is None:
        if recipe == recipes.FINETUNE:
            raise UserError(
                "The recipe finetune starts from a trained model: add --from-pretrained, or --start-from MODEL."
            )
        return recipes.get(recipe or recipes.DEFAULT, **changes)
    from asl_edge.training.pretrained.source import open_pretrained

    network = changes["network"] or open_pretrained(changes["start_from"]).network
    return recipes.get(recipe or recipes.FINETUNE, **changes | {"network": network})


def _columns(classes: str | None, bgr: bool, resumed: Path | None) -> tuple[list[str] | None, bool]:
    """Return class names and colour order: those of the options or, to resume a run, those it was started with."""
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
        prepared = PreparedArrays.open(folder, classes=classes, bgr=bgr, check=check)
    for warning in caught:
        warn(str(warning.message))
    return prepared


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
    from asl_edge.cli.output.training_progress import ConsoleProgress
    from asl_edge.training.loop.train import Interrupted
    from asl_edge.training.loop.train import train as fit

    quiet = hosts is not None and hosts.index > 0
    progress = None if quiet else ConsoleProgress()
    try:
        result = fit(config, arrays, out, resume=resume, overwrite=overwrite, progress=progress, hosts=hosts)
    except Interrupted as stopped:
        warn(str(stopped))
        print_next(shlex.join(["asl-edge", "train", str(arrays.folder), "--out", str(out), "--resume"]), "To continue")
        raise typer.Exit(130) from stopped
    if quiet:
        return  # host 0 prints the result
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
    out.print(f"{result.epochs} epochs{ended}; best validation accuracy in epoch {result.best_epoch}: best.keras")
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
        prepared = _open_arrays(arrays, names, bgr, check=False)
        count, size = len(prepared.classes), prepared.input_size
    elif names is not None:
        count, size = len(names), size or _usual_size(config)
    else:
        raise UserError("--summary needs the number of classes: name ARRAYS, or --classes A,B,C.")
    load_keras()
    model = networks.build(config.network, count, size)
    model.summary(line_length=100, print_fn=lambda text, **_: out.out(text, highlight=False))


def _usual_size(config: TrainConfig) -> int:
    """Return the input size of the model to start from; without one, the size that the network was designed for."""
    from asl_edge.training import networks
    from asl_edge.training.pretrained.source import open_pretrained

    own = None if config.start_from is None else open_pretrained(config.start_from).input_size
    return own or networks.get(config.network).input_size
