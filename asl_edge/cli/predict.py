"""`asl-edge predict`: letters for images, folders, lists, videos and cameras."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import CLASSIFICATION, HARDWARE, Model, Provider, Strict, Threads, Threshold, Zoom
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.streams.sinks import Sink, TextSink


_VIDEO = "Video"


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Images, folders, patterns, videos, a camera's number, or - for a list on standard input.",
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
    show: Annotated[
        bool, typer.Option("--show", help="Show video in a window, with the guide box.", rich_help_panel=_VIDEO)
    ] = False,
    save_video: Annotated[
        Path | None,
        typer.Option(
            "--save-video", metavar="FILE", help="Write video with guide box and letter.", rich_help_panel=_VIDEO
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

    Of video frames, the centre square is classified. Exit code 0 if every image was classified, 1 if some could not be
    read (they are named on standard error, and the others are classified), 2 if none could or the command is wrong.

    Examples:
        asl-edge predict hand.jpg
        asl-edge predict photos/ "more/*.png" --json
        asl-edge predict 0 --show
        asl-edge predict clip.mp4 --model model.onnx --save-video out.mp4
    """
    from asl_edge.cli import discard

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads would start for nothing
    from asl_edge.runtime.engine.providers import parse_options
    from asl_edge.runtime.predict import predict_sources
    from asl_edge.runtime.streams.sinks import on_one_line

    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other. Choose one.")
    with ExitStack() as stack:
        options = parse_options(provider_option or [])
        if explain_placement:
            from asl_edge.runtime.diagnostics.node_placement import in_words, placement

            _tell(in_words(placement(model, provider=provider, threads=threads, provider_options=options)), quiet=True)
        sinks = _video_sinks(stack, sources, show, save_video)
        predictor = _open(
            model, adapted, sources, provider, strict, options, threads, batch_size, show, threshold, top_k, zoom
        )
        stack.enter_context(predictor)
        sinks.append(stack.enter_context(_text_sink(as_json, as_csv, predictor.top_k)))
        try:
            tally = predict_sources(
                predictor,
                sources,
                sinks,
                on_skip=lambda source, reason: _tell(f"Skipped {on_one_line(source)}: {reason}"),
            )
        except BrokenPipeError:
            discard(sys.stdout)  # whoever read our lines has had enough (`| head`)
            return
    if not (as_json or as_csv) and tally.answered + len(tally.skipped) > 1:
        unsure = f", {tally.not_sure} not sure" if tally.not_sure else ""
        skipped = f", {len(tally.skipped)} skipped" if tally.skipped else ""
        used = predictor.providers_used[0]
        at_once = f", {predictor.workers} batches side by side" if predictor.workers > 1 else ""
        _tell(f"{tally.answered} answered{unsure}{skipped}; {tally.mean_ms:.1f} ms each on {used}{at_once}", quiet=True)
    if tally.skipped:
        raise typer.Exit(1 if tally.answered else 2)


def _open(
    model: Path | None,
    adapted: Path | None,
    sources: list[str],
    provider: str,
    strict: bool,
    provider_options: dict[str, str],
    threads: int | None,
    batch_size: int | None,
    show: bool,
    threshold: float | None,
    top_k: int,
    zoom: bool,
) -> Predictor:
    """Open the predictor, and say what it warns of."""
    import threading
    import warnings

    from asl_edge.imaging.preprocess import opencv
    from asl_edge.runtime.engine import providers
    from asl_edge.runtime.engine.providers import EngineBuildNotice, ProviderWarning
    from asl_edge.runtime.predict import batch_size_for, expected, workers_for
    from asl_edge.runtime.predictor import Predictor

    size = batch_size or batch_size_for(sources, shown=show)
    providers.onnxruntime()
    # Most of opening a model is ONNX Runtime's own, during which Python is free to import what reads images. Where
    # that cannot be imported, the first image says so.
    threading.Thread(target=_quietly, args=(opencv,)).start()
    with warnings.catch_warnings():
        for category in (ProviderWarning, EngineBuildNotice):
            warnings.simplefilter("always", category)
        return Predictor(
            model,
            provider=provider,
            strict=strict,
            provider_options=provider_options,
            threads=threads,
            batch_size=size,
            workers=workers_for(sources, size, threads),
            threshold=threshold,
            top_k=top_k,
            expected=expected(sources),
            adaptation=adapted,
            zoom=zoom,
        )


def _quietly(function: Callable[[], object]) -> None:
    from asl_edge.errors import AslEdgeError

    with contextlib.suppress(AslEdgeError):
        function()


def _text_sink(as_json: bool, as_csv: bool, top_k: int) -> TextSink:
    """Return the sink on standard output."""
    from asl_edge.runtime.streams.sinks import CsvSink, JsonLinesSink, TableSink

    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # names of files need not be text
    if as_json:
        return JsonLinesSink(sys.stdout)
    return CsvSink(sys.stdout) if as_csv else TableSink(sys.stdout, top_k)


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
