"""`asl-edge predict`: letters for images, folders, lists, videos and cameras."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.runtime.streams.sinks import Sink, TextSink


def predict(
    sources: list[str] = typer.Argument(
        ...,
        metavar="SOURCE...",
        help="Images, folders, patterns ('hands/*.jpg'), - for a list of paths on standard input, videos, or the "
        "number of a camera (0).",
    ),
    model: Path = typer.Option(
        None,
        "--model",
        "-m",
        help="An .onnx file that `asl-edge export` made.",
        show_default="the model in the box",
    ),
    adapted: Path = typer.Option(None, "--adapted", help="What `asl-edge adapt` made for the person who signs."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object a line instead of the table."),
    as_csv: bool = typer.Option(False, "--csv", help="CSV instead of the table."),
    top_k: int = typer.Option(3, "--top-k", min=1, help="How many classes to list for each image."),
    threshold: float = typer.Option(
        None,
        "--threshold",
        min=0,
        max=1,
        help='Below this confidence the answer is "not sure".',
        show_default="the model's",
    ),
    batch_size: int = typer.Option(
        None,
        "--batch-size",
        min=1,
        help="Images at once.",
        show_default="16; 1 for lists on standard input and cameras",
    ),
    provider: str = typer.Option(
        "auto", "--provider", help="auto, cpu, cuda, tensorrt, openvino, coreml, directml, ..."
    ),
    strict: bool = typer.Option(False, "--strict", help="Fail, rather than warn, when another provider is used."),
    provider_option: list[str] = typer.Option(
        [], "--provider-option", metavar="NAME=VALUE", help="For the provider, as ONNX Runtime names it; repeatable."
    ),
    zoom: bool = typer.Option(
        True,
        "--zoom/--no-zoom",
        help="Look again at small hands, if the model can.",
    ),
    explain_placement: bool = typer.Option(
        False, "--explain-placement", help="Say first how many nodes of the model run on which provider."
    ),
    threads: int = typer.Option(None, "--threads", min=1, help="Threads of the network.", show_default="one a core"),
    show: bool = typer.Option(False, "--show", help="Show video in a window, with the guide box and the letter."),
    save_video: Path = typer.Option(None, "--save-video", help="Write video with the guide box and the letter (.mp4)."),
) -> None:
    """Read the letter in each image or frame; of a frame, its centre square counts.

    Exit code 0 when every image was answered, 1 when some could not be read (they are named on standard error and the
    rest goes on), 2 when none could or the command is wrong.
    """
    import warnings

    from asl_edge.cli import discard

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads would start for nothing
    from asl_edge.runtime.engine.providers import EngineBuildNotice, ProviderWarning, parse_options
    from asl_edge.runtime.model_options import ModelOptions
    from asl_edge.runtime.predict import PredictConfig, predict_sources
    from asl_edge.runtime.streams.sinks import on_one_line

    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other. Choose one.")
    options = ModelOptions(
        provider=provider,
        strict=strict,
        provider_options=parse_options(provider_option),
        threads=threads,
        zoom=zoom,
    )
    config = PredictConfig(batch_size=batch_size, threshold=threshold, top_k=top_k, adaptation=adapted)
    with ExitStack() as stack:
        if explain_placement:
            from asl_edge.runtime.diagnostics.node_placement import in_words, placement

            _tell(in_words(placement(model, options)), quiet=True)
        sinks = _video_sinks(stack, sources, show, save_video)
        sinks.append(stack.enter_context(_text_sink(as_json, as_csv)))
        stack.enter_context(warnings.catch_warnings())
        for category in (ProviderWarning, EngineBuildNotice):
            warnings.simplefilter("always", category)
        try:
            summary = predict_sources(
                sources,
                sinks,
                model=model,
                options=options,
                config=config,
                on_skip=lambda source, reason: _tell(f"Skipped {on_one_line(source)}: {reason}"),
            )
        except BrokenPipeError:
            discard(sys.stdout)  # whoever read our lines has had enough (`| head`)
            return
    if not (as_json or as_csv) and summary.answered + len(summary.skipped) > 1:
        unsure = f", {summary.not_sure} not sure" if summary.not_sure else ""
        skipped = f", {len(summary.skipped)} skipped" if summary.skipped else ""
        used = summary.providers_used[0]
        at_once = f", {summary.workers} batches side by side" if summary.workers > 1 else ""
        _tell(
            f"{summary.answered} answered{unsure}{skipped}; {summary.mean_ms:.1f} ms each on {used}{at_once}",
            quiet=True,
        )
    if summary.skipped:
        raise typer.Exit(1 if summary.answered else 2)


def _text_sink(as_json: bool, as_csv: bool) -> TextSink:
    """Return the sink on standard output."""
    from asl_edge.runtime.streams.sinks import CsvSink, JsonLinesSink, TableSink

    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # names of files need not be text
    if as_json:
        return JsonLinesSink(sys.stdout)
    return CsvSink(sys.stdout) if as_csv else TableSink(sys.stdout)


def _video_sinks(stack: ExitStack, sources: list[str], show: bool, save_video: Path | None) -> list[Sink]:
    """Open the window and the video file that were asked for."""
    from asl_edge.runtime.streams.sources import is_camera, is_video
    from asl_edge.runtime.streams.video_sinks import VideoFileSink, WindowSink

    if (show or save_video) and not any(is_video(source) for source in sources):
        raise UserError("--show and --save-video are for videos and cameras; none is among the sources.")
    sinks: list[Sink] = []
    if show:
        sinks.append(stack.enter_context(WindowSink(mirror=any(is_camera(source) for source in sources))))
    if save_video:
        sinks.append(stack.enter_context(VideoFileSink(save_video)))
    return sinks


def _tell(message: str, quiet: bool = False) -> None:
    # Not through console.py: rich would add a fifth to the time of a single prediction.
    typer.secho(message, err=True, fg=None if quiet else typer.colors.YELLOW, dim=quiet or None)
