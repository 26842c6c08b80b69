"""`asl-edge predict`: letters for images, folders, lists, videos and cameras."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import (
    CLASSIFICATION,
    HARDWARE,
    SAVE,
    HandModel,
    Model,
    Provider,
    Strict,
    Threads,
    Threshold,
    Zoom,
    model_options,
)
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.runtime.streams.sinks import Sink, TextSink


_VIDEO = "Video"


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Images, folders, patterns, videos, addresses, a camera's number, or - for standard input.",
        ),
    ],
    model: Model = None,
    adapted: Annotated[
        Path | None, typer.Option("--adapted", metavar="FILE", help="The signer's file from `asl-edge adapt`.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", metavar="N", min=1, help="Images at once.", show_default="16; 1 for cameras and -"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    top_k: Annotated[
        int,
        typer.Option("--top-k", metavar="N", min=1, help="Classes to list per image.", rich_help_panel=CLASSIFICATION),
    ] = 3,
    threshold: Threshold = None,
    zoom: Zoom = True,
    hand_model: HandModel = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show video in a window, with the guide box.", rich_help_panel=_VIDEO)
    ] = False,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Write a video with letters (.mp4, .avi), or predictions (.jsonl, .csv). Repeatable.",
        ),
    ] = None,
    provider: Provider = "auto",
    provider_option: Annotated[
        list[str] | None,
        typer.Option(
            "--provider-option",
            metavar="NAME=VALUE",
            help="As ONNX Runtime names it. Repeatable.",
            rich_help_panel=HARDWARE,
        ),
    ] = None,
    strict: Strict = False,
    threads: Threads = None,
    explain_placement: Annotated[
        bool,
        typer.Option("--explain-placement", help="List the nodes per provider first.", rich_help_panel=HARDWARE),
    ] = False,
) -> None:
    """Recognise the letter in images, videos or a camera.

    Of video frames, the centre square is classified. A file is an image or a video by its content. Standard input holds
    paths, one per line or with NUL bytes between them, or one image itself. Exit code 0 if every image was classified,
    1 if some could not be read or frames of a video are missing (which is said on standard error, and the others are
    classified), or if reading failed: a lost connection, a disk, a camera. 2 if nothing could be classified because
    of what was named, or the command is wrong.

    Examples:
        asl-edge predict hand.jpg
        asl-edge predict photos/ "more/*.png" --json
        asl-edge predict 0 --show
        asl-edge predict clip.mp4 --save annotated.mp4 --save letters.csv
    """
    import warnings

    from asl_edge.cli import discard

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start threads that are not used
    from asl_edge.process.printable import on_one_line
    from asl_edge.runtime.engine.providers import EngineBuildNotice, ProviderWarning
    from asl_edge.runtime.predict import PredictConfig, predict_sources

    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other. Choose one.")
    options = model_options(
        provider=provider,
        strict=strict,
        threads=threads,
        provider_options=provider_option or (),
        zoom=zoom,
        hand_model=hand_model,
    )
    config = PredictConfig(batch_size=batch_size, threshold=threshold, top_k=top_k, adaptation=adapted)
    with ExitStack() as stack:
        if explain_placement:
            from asl_edge.runtime.diagnostics.node_placement import in_words, placement

            _tell(in_words(placement(model, options)), quiet=True)
        sinks = _saved(stack, sources, show, save or [])
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
                on_skip=lambda source, reason: _tell(f"Skipped {on_one_line(source)}: {on_one_line(reason)}"),
            )
        except BrokenPipeError:
            discard(sys.stdout)  # the reader has closed the pipe (`| head`)
            return
    if not (as_json or as_csv) and summary.classified + len(summary.skipped) > 1:
        unsure = f", {summary.not_sure} not sure" if summary.not_sure else ""
        skipped = f", {len(summary.skipped)} skipped" if summary.skipped else ""
        used = summary.providers_used[0]
        parallel = f", {summary.workers} batches in parallel" if summary.workers > 1 else ""
        speed = f"; {summary.mean_ms:.1f} ms each on {used}{parallel}" if summary.classified else ""
        _tell(f"{summary.classified} classified{unsure}{skipped}{speed}", quiet=True)
    if summary.left_out:
        _tell(f"Left out: {summary.left_out.in_words()}.")
    raise typer.Exit(summary.exit_code)


def _text_sink(as_json: bool, as_csv: bool) -> TextSink:
    """Return the sink on standard output."""
    from asl_edge.runtime.streams.sinks import CsvSink, JsonLinesSink, TableSink

    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # file names need not be valid text
    if as_json:
        return JsonLinesSink(sys.stdout)
    return CsvSink(sys.stdout) if as_csv else TableSink(sys.stdout)


def _saved(stack: ExitStack, sources: list[str], show: bool, paths: list[Path]) -> list[Sink]:
    """Open the window and the files that were asked for."""
    from asl_edge.cli.output.saved_files import kinds_of_files
    from asl_edge.runtime.streams.sinks import CsvSink, JsonLinesSink, refuse_to_replace, text_file
    from asl_edge.runtime.streams.sources import given_files, is_camera, is_video
    from asl_edge.runtime.streams.video_sinks import VideoFileSink, WindowSink

    kinds = kinds_of_files(paths, (".jsonl", ".csv"))
    if (show or "video" in kinds) and not any(is_video(source) for source in sources):
        raise UserError(
            "--show and saving a video are for videos and cameras, and there is none among the sources. Leave them out."
        )
    sinks: list[Sink] = []
    if show:
        sinks.append(stack.enter_context(WindowSink(mirror=any(is_camera(source) for source in sources))))
    for path, kind in zip(paths, kinds, strict=True):
        refuse_to_replace(path, given_files(sources), SAVE)
        if kind == "video":
            sinks.append(stack.enter_context(VideoFileSink(path)))
        else:
            file = stack.enter_context(text_file(path, SAVE))
            sinks.append(stack.enter_context(JsonLinesSink(file) if kind == ".jsonl" else CsvSink(file)))
    return sinks


def _tell(message: str, quiet: bool = False) -> None:
    # Not through console.py: rich would add a fifth to the time of a single prediction.
    from asl_edge.process.printable import printable

    typer.secho(printable(message), err=True, fg=None if quiet else typer.colors.YELLOW, dim=quiet or None)
