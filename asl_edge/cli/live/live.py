"""`asl-edge live`: from a camera, a stream or a video to text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from asl_edge.cli.options import SAVE, HandModel, Model, Provider, Strict, Threads, Threshold, Zoom, model_options
from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.runtime.spelling.speller import Speller
    from asl_edge.runtime.spelling.word_list import WordHelp
    from asl_edge.runtime.streams.live.frame import Frame
    from asl_edge.runtime.streams.live.newest_frame import LiveSource
    from asl_edge.runtime.streams.live.readers import LiveOptions
    from asl_edge.runtime.streams.live.sinks import LiveWindow
    from asl_edge.runtime.streams.live.step import LiveSink

_SOURCE, _OUTPUT = "Source", "Output"
_LIVE_RATE = 30.0
"""Frames per second of a video saved from a camera."""


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
    words: Annotated[
        Path | None,
        typer.Option("--words", metavar="FILE", help="Suggest words of this list: a word and its count per line."),
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
            help="auto: the model finds the hand; center; or x,y,w,h in pixels.",
            rich_help_panel=_SOURCE,
        ),
    ] = "auto",
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
        list[Path] | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Write a video with letters (.mp4, .avi), events (.jsonl, .csv) or the text (.txt). Repeatable.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    threshold: Threshold = None,
    zoom: Zoom = True,
    hand_model: HandModel = None,
    provider: Provider = "auto",
    strict: Strict = False,
    threads: Threads = None,
) -> None:
    """Read fingerspelling from a camera, a stream or a video.

    It reads fingerspelling, letter by letter; it does not translate sign language. Of a camera or a stream the newest
    frame is used, and one that is lost is opened again; of a video every frame, as fast as it can be read. Keys, in the
    terminal or the window: Backspace or u takes back a letter, c clears, y copies, s speaks, q quits; with --words, Tab
    takes the first suggestion.

    Examples:
        asl-edge live
        asl-edge live 0 --show --mirror
        asl-edge live clip.mp4 --text --save annotated.mp4
        asl-edge live http://camera.local/stream --json
    """
    from asl_edge.runtime.live_loop import View, spell_frames
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.spelling.speller import Speller
    from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
    from asl_edge.runtime.spelling.word_list import WordHelp, WordList
    from asl_edge.runtime.streams.live.frame import ROTATIONS, Region
    from asl_edge.runtime.streams.live.readers import LiveOptions
    from asl_edge.spec import MOST_CLASSES

    if as_json + as_csv + as_text > 1:
        raise UserError("--json, --csv and --text exclude each other. Choose one.")
    if rotate not in ROTATIONS:
        raise UserError(f"--rotate must be 0, 90, 180 or 270. Received: {rotate}")
    view = View(Region.parse(roi), left_hand)
    asked = LiveOptions(_size(size), fps, rotate)
    chosen = model_options(provider=provider, strict=strict, threads=threads, zoom=zoom, hand_model=hand_model)
    with ExitStack() as stack:
        sinks: list[LiveSink] = [_text_sink(as_json, as_csv, as_text)]
        window = _window(stack, mirror != left_hand) if show else None
        if window is not None:
            sinks.append(window)
        live_only = _is_live(source)
        # Between the frames of a camera, threads that spin would take more of the processor than the model does.
        options = replace(chosen, wait_actively=not live_only)
        sinks += _saved(stack, save or [], source, (fps or _LIVE_RATE) if live_only else fps)
        predictor = stack.enter_context(
            Predictor(model, options, batch_size=1, threshold=threshold, top_k=MOST_CLASSES, adaptation=adapted)
        )
        spec = SpellingSpec.of_model(predictor.spec) if spelling is None else SpellingSpec.load(spelling)
        speller = Speller(spec, predictor.spec.classes)
        help_with = None if words is None else WordHelp(WordList.load(words, spec), speller)
        frames, opened = _frames(stack, source, asked)
        keys = _keys(stack, speller, sinks, help_with, opened)
        try:
            spell_frames(frames, predictor, speller, sinks, view=view, keys=keys, words=help_with)
        except BrokenPipeError:
            from asl_edge.cli import discard

            discard(sys.stdout)  # the reader has closed the pipe (`| head`)
            return
    if opened is not None and not (as_json or as_csv or as_text):
        again = f", connected again {opened.reconnects} times" if opened.reconnects else ""
        typer.secho(f"{opened.dropped} frames dropped{again}", err=True, dim=True)


def _frames(stack: ExitStack, source: str, asked: LiveOptions) -> tuple[Iterable[Frame | None], LiveSource | None]:
    """Return the frames of a source, and the source itself where it is a live one."""
    from asl_edge.runtime.live_loop import recorded_frames
    from asl_edge.runtime.streams.live.newest_frame import LiveSource

    if not _is_live(source):
        return recorded_frames(source, asked), None
    opened = stack.enter_context(LiveSource(source, asked))
    return opened.ticks(), opened


def _is_live(source: str) -> bool:
    from asl_edge.runtime.streams.live.readers import is_live_only

    # Any number is a camera's, so that a wrong one is told as such.
    return is_live_only(source) or (source.isascii() and source.isdigit() and not Path(source).exists())


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


def _saved(stack: ExitStack, paths: list[Path], source: str, rate: float | None) -> Iterator[LiveSink]:
    """Yield the sinks of the files that were asked for, opened."""
    from asl_edge.cli.output.saved_files import kinds_of_files
    from asl_edge.runtime.streams.live.sinks import FinalText, LiveCsv, LiveJsonLines, LiveVideo
    from asl_edge.runtime.streams.sinks import refuse_to_replace, text_file
    from asl_edge.runtime.streams.sources import given_files
    from asl_edge.runtime.streams.video_sinks import VideoFileSink

    text: dict[str, Callable[[TextIO], LiveSink]] = {".jsonl": LiveJsonLines, ".csv": LiveCsv, ".txt": FinalText}
    for path, kind in zip(paths, kinds_of_files(paths, list(text)), strict=True):
        refuse_to_replace(path, given_files([source]), SAVE)
        if kind == "video":
            yield LiveVideo(stack.enter_context(VideoFileSink(path, frames_per_second=rate)), rate)
        else:
            yield text[kind](stack.enter_context(text_file(path, SAVE)))


def _keys(
    stack: ExitStack,
    speller: Speller,
    sinks: Sequence[LiveSink],
    words: WordHelp | None,
    opened: LiveSource | None,
) -> Callable[[], bool]:
    """Return what acts on keys of the terminal and of windows, tells when the source is lost, and says when to quit."""
    from asl_edge.cli.live.keys import HELP, HELP_WITH_WORDS, TerminalKeys, act, quits
    from asl_edge.runtime.streams.live.sinks import LiveWindow, TerminalLine

    terminal = stack.enter_context(TerminalKeys())
    line = next((sink for sink in sinks if isinstance(sink, TerminalLine)), None)
    windows = [sink for sink in sinks if isinstance(sink, LiveWindow)]
    if sys.stdin.isatty() and sys.stderr.isatty():
        typer.secho(HELP if words is None else HELP_WITH_WORDS, err=True, dim=True)

    def say(message: str) -> None:
        if line is not None:
            line.note(message)
        else:
            typer.secho(message, err=True, dim=True)

    lost = False

    def pressed() -> bool:
        nonlocal lost
        if opened is not None and opened.lost != lost:
            lost = not lost
            say("Nothing comes from the source; trying to open it again ..." if lost else "It is back.")
        keys = terminal.keys() + [key for window in windows for key in window.keys()]  # noqa: SIM118
        for key in keys:
            message = act(key, speller, words)
            if message is not None:
                say(message)
        return any(map(quits, keys))

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
