"""Sinks for fingerspelling: a line that rewrites itself, the final text, JSON lines, CSV, a video file, a window."""

from __future__ import annotations

import io
import json
import shutil
from typing import TextIO

from asl_edge.imaging.preprocess import Image
from asl_edge.process.printable import json_for_terminals
from asl_edge.runtime.spelling.event import Event
from asl_edge.runtime.streams import overlay
from asl_edge.runtime.streams.live.step import Step, event_values
from asl_edge.runtime.streams.video_sinks import VideoFileSink, Window

_FRAMES_PER_SECOND = 30.0
_CLEAR_LINE = "\r\x1b[K"


class TerminalLine:
    """Rewrites one line of a terminal with the text and the sign that is held; elsewhere writes the final text only."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._rewrites = file.isatty()
        self._last = ""

    def write(self, step: Step) -> None:
        """Rewrite the line, if it has changed."""
        if not self._rewrites:
            return
        line = f"> {step.text}"
        if step.pending is not None:
            line += f" [{step.pending.label} {step.pending.progress:.0%}]"
        elif not step.prediction.accepted:
            line += " [not sure]"
        if step.suggestions:
            line += "   Tab: " + ", ".join(step.suggestions)
        width = shutil.get_terminal_size().columns - 1
        line = line if len(line) <= width else "..." + line[3 - width :]  # a longer one would not be rewritten
        if line != self._last:
            self._file.write(_CLEAR_LINE + line)
            self._file.flush()
            self._last = line

    def note(self, message: str) -> None:
        """Write a message in place of the line, which comes again below it."""
        self._file.write((_CLEAR_LINE if self._rewrites else "") + message + "\n")
        self._file.flush()
        self._last = ""

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Leave the text on the line."""
        self._file.write((_CLEAR_LINE if self._rewrites else "") + text + "\n")
        self._file.flush()


class FinalText:
    """Writes the text once, at the end, on one line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, step: Step) -> None:
        """Do nothing."""

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Write it."""
        self._file.write(text + "\n")
        self._file.flush()


class LiveJsonLines:
    """One JSON object per event: `frame`, `letter`, `space`, `delete`, and at last `end` with the text."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, step: Step) -> None:
        """Write the frame and its events."""
        for values in step.to_dicts():
            self._line(values)
        self._file.flush()

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Write the last events and the text."""
        for event in events:
            self._line(event_values(event, text))
        self._line({"event": "end", "text": text})
        self._file.flush()

    def _line(self, values: dict[str, object]) -> None:
        self._file.write(json_for_terminals(json.dumps(values)) + "\n")


class LiveCsv:
    """A row per committed event, with a header."""

    COLUMNS = ("event", "letter", "time", "started", "probability", "text")

    def __init__(self, file: TextIO) -> None:
        from asl_edge.files.csv_writer import CsvWriter

        self._file = file
        self._rows = io.StringIO()
        self._writer = CsvWriter(self._rows)
        self._writer.write_row(self.COLUMNS)

    def write(self, step: Step) -> None:
        """Write the frame's events."""
        self._write(step.events, step.text)

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Write the last events."""
        self._write(events, text)

    def _write(self, events: tuple[Event, ...], text: str) -> None:
        for event in events:
            values = event_values(event, text)
            self._writer.write_row([values[name] for name in self.COLUMNS])
        self._file.write(self._rows.getvalue())
        self._file.flush()
        self._rows.seek(0)
        self._rows.truncate()


class LiveVideo:
    """Writes frames with letter and text into a video file, which keeps the pace of their times.

    Frames of a camera come unevenly, and those that are dropped leave gaps: a frame is shown until the next one is due.

    Args:
        file: an open file.
        frames_per_second: of the file; None for the pace of the first two frames, as of a recording.
    """

    def __init__(self, file: VideoFileSink, frames_per_second: float | None = None) -> None:
        self._file = file
        self._rate = frames_per_second
        self._held: Step | None = None
        self._written = 0

    def write(self, step: Step) -> None:
        """Add the frame before this one, up to the time of this one."""
        before, self._held = self._held, step
        if before is None:
            return
        if self._rate is None:
            apart = step.time - before.time
            self._rate = min(max(1 / apart, 1.0), 240.0) if apart > 0 else _FRAMES_PER_SECOND
        if self._written == 0:
            self._file.follow(self._rate)
        self._add(before, round(step.time * self._rate))

    def _add(self, step: Step, until: int) -> None:
        times = until - self._written
        if times > 0:
            self._file.write(step.prediction, step.image, step.text, times)
            self._written = until

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Add the last frame, with the final text; the file is completed when it is closed."""
        if self._held is not None:
            self._add(self._held._replace(text=text), self._written + 1)


class LiveWindow:
    """Shows frames with guide box, letter and text, and receives keys.

    Args:
        window: where.
        mirror: show frames as in a mirror.
    """

    def __init__(self, window: Window, *, mirror: bool = False) -> None:
        self._window = window
        self._mirror = mirror
        self._keys: list[str] = []

    def write(self, step: Step) -> None:
        """Show the frame."""
        shown: Image = overlay.draw(step.image, step.prediction, mirror=self._mirror)
        overlay.spelled(shown, step.text)
        key = self._window.show(shown)
        if self._window.closed:
            self._keys.append("q")
        elif key is not None:
            self._keys.append(chr(key))

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Do nothing."""

    def keys(self) -> list[str]:
        """Return the keys that were pressed since the last call; `q` where the window was closed."""
        keys, self._keys = self._keys, []
        return keys
