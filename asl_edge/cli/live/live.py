"""`asl-edge live`: from a camera, a stream or a video to text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asl_edge.cli.options import Model, Provider, Strict, Threads, Threshold, Zoom, model_options
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.runtime.spelling.speller import Speller
    from asl_edge.runtime.streams.live.frame import Frame
    from asl_edge.runtime.streams.live.newest_frame import LiveSource
    from asl_edge.runtime.streams.live.readers import LiveOptions
    from asl_edge.runtime.streams.live.sinks import LiveWindow
    from asl_edge.runtime.streams.live.step import LiveSink

_SOURCE, _OUTPUT = "Source", "Output"


def live(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]",
            help="A camera's number, csi://N, gst:PIPELINE, picamera2, an address, a video, or images.",
        ),
    ] = "0",
    model: Model = None,
    adapted: Annotated[
        Path | None, typer.Option("--adapted", metavar="FILE", help="The signer's file from `asl-edge adapt`.")
    ] = None,
    spelling: Annotated[
        Path | None,
        typer.Option("--spelling", metavar="FILE", help="A spelling spec.", show_default="the model's"),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="WxH", help="Size of frames.", rich_help_panel=_SOURCE)
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps",
            metavar="N",
            min=1,
            max=240,
            help="Frames per second of a camera, or of images.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    rotate: Annotated[
        int, typer.Option("--rotate", metavar="DEGREES", help="0, 90, 180 or 270, clockwise.", rich_help_panel=_SOURCE)
    ] = 0,
    roi: Annotated[
        str,
        typer.Option(
            "--roi",
            metavar="BOX",
            help="x,y,w,h in pixels, center, or auto: the model finds the hand.",
            rich_help_panel=_SOURCE,
        ),
    ] = "center",
    left_hand: Annotated[
        bool, typer.Option("--left-hand", help="Mirror frames before they are classified.", rich_help_panel=_SOURCE)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per event.", rich_help_panel=_OUTPUT)
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.", rich_help_panel=_OUTPUT)] = False,
    as_text: Annotated[
        bool, typer.Option("--text", help="Print the final text only.", rich_help_panel=_OUTPUT)
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Show a window.", rich_help_panel=_OUTPUT)] = False,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Show the window as a mirror.", rich_help_panel=_OUTPUT)
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write a video with letters and text.", rich_help_panel=_OUTPUT),
    ] = None,
    threshold: Threshold = None,
    zoom: Zoom = True,
    provider: Provider = "auto",
    strict: Strict = False,
    threads: Threads = None,
) -> None:
    """Read fingerspelling from a camera, a stream or a video.

    It reads fingerspelling, letter by letter; it does not translate sign language. Of a camera or a stream the newest
    frame is used, and one that is lost is opened again; of a video every frame, as fast as it can be read. Keys, in the
    terminal or the window: Backspace or u takes back a letter, c clears, y copies, s speaks, q quits.

    Examples:
        asl-edge live
        asl-edge live 0 --show --mirror
        asl-edge live clip.mp4 --text
        asl-edge live http://camera.local/stream --json
    """
    from asl_edge.runtime.live_loop import View, spell_frames
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.spelling.speller import Speller
    from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
    from asl_edge.runtime.streams.live.frame import ROTATIONS, Region
    from asl_edge.runtime.streams.live.readers import LiveOptions
    from asl_edge.spec import MOST_CLASSES

    if as_json + as_csv + as_text > 1:
        raise UserError("--json, --csv and --text exclude each other. Choose one.")
    if rotate not in ROTATIONS:
        raise UserError(f"--rotate must be 0, 90, 180 or 270. Received: {rotate}")
    view = View(Region.parse(roi), left_hand)
    asked = LiveOptions(_size(size), fps, rotate)
    options = model_options(provider=provider, strict=strict, threads=threads, zoom=zoom)
    with ExitStack() as stack:
        sinks: list[LiveSink] = [_text_sink(as_json, as_csv, as_text)]
        window = _window(stack, mirror != left_hand) if show else None
        if window is not None:
            sinks.append(window)
        if save is not None:
            sinks.append(_video(stack, save, source, fps))
        predictor = stack.enter_context(
            Predictor(model, options, batch_size=1, threshold=threshold, top_k=MOST_CLASSES, adaptation=adapted)
        )
        spec = SpellingSpec.of_model(predictor.spec) if spelling is None else SpellingSpec.load(spelling)
        speller = Speller(spec, predictor.spec.classes)
        frames, opened = _frames(stack, source, asked)
        keys = _keys(stack, speller, window)
        try:
            spell_frames(frames, predictor, speller, sinks, view=view, keys=keys)
        except BrokenPipeError:
            from asl_edge.cli import discard

            discard(sys.stdout)  # the reader has closed the pipe (`| head`)
            return
    if opened is not None and not (as_json or as_csv or as_text):
        again = f", connected again {opened.reconnects} times" if opened.reconnects else ""
        typer.secho(f"{opened.dropped} frames dropped{again}", err=True, dim=True)


def _frames(stack: ExitStack, source: str, asked: LiveOptions) -> tuple[Iterable[Frame], LiveSource | None]:
    """Return the frames of a source, and the source itself where it is a live one."""
    from asl_edge.runtime.live_loop import recorded_frames
    from asl_edge.runtime.streams.live.newest_frame import LiveSource
    from asl_edge.runtime.streams.live.readers import is_live_only

    # Any number is a camera's, so that a wrong one is told as such.
    if not (is_live_only(source) or (source.isascii() and source.isdigit() and not Path(source).exists())):
        return recorded_frames(source, asked), None
    opened = stack.enter_context(LiveSource(source, asked))
    return opened, opened


def _text_sink(as_json: bool, as_csv: bool, as_text: bool) -> LiveSink:
    from asl_edge.runtime.streams.live.sinks import FinalText, LiveCsv, LiveJsonLines, TerminalLine

    if as_json:
        return LiveJsonLines(sys.stdout)
    if as_csv:
        return LiveCsv(sys.stdout)
    return FinalText(sys.stdout) if as_text else TerminalLine(sys.stdout)


def _window(stack: ExitStack, mirror: bool) -> LiveWindow:
    from contextlib import closing

    from asl_edge.runtime.streams.live.sinks import LiveWindow
    from asl_edge.runtime.streams.video_sinks import Window

    return LiveWindow(stack.enter_context(closing(Window("asl-edge live (q to quit)"))), mirror=mirror)


def _video(stack: ExitStack, path: Path, source: str, fps: float | None) -> LiveSink:
    from asl_edge.runtime.streams.live.sinks import LiveVideo
    from asl_edge.runtime.streams.video_sinks import VideoFileSink

    file = stack.enter_context(VideoFileSink(path, frames_per_second=fps))
    file.refuse_to_replace([source])
    return LiveVideo(file)


def _keys(stack: ExitStack, speller: Speller, window: LiveWindow | None) -> Callable[[], bool]:
    """Return what acts on keys, and says whether to quit."""
    from asl_edge.cli.live.keys import HELP, TerminalKeys, act

    terminal = stack.enter_context(TerminalKeys())
    if sys.stdin.isatty() and sys.stderr.isatty():
        typer.secho(HELP, err=True, dim=True)

    def pressed() -> bool:
        keys = terminal.keys() + ([] if window is None else window.keys())
        return bool(sum(act(key, speller) for key in keys))  # each of them acts

    return pressed


def _size(text: str | None) -> tuple[int, int] | None:
    """Return the width and height of `WxH`."""
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isascii() and height.isascii() and width.isdigit() and height.isdigit()):
        raise UserError(f"--size must be WIDTHxHEIGHT, such as 640x480. Received: {text!a:.80}")
    if not (16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
        raise UserError(f"--size must be between 16x16 and 8192x8192. Received: {text!a:.80}")
    return int(width), int(height)
