"""Sinks for predictions: a table for people, JSON lines or CSV for programs. Each line is flushed at once.

Text sinks write to an open file; `text_file` opens one that is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, TextIO

from asl_edge.errors import UserError
from asl_edge.imaging.preprocess import Image
from asl_edge.process.printable import json_for_terminals, on_one_line, valid_text
from asl_edge.runtime.streams.prediction import Prediction


class Sink(Protocol):
    """Receives predictions one by one; a context manager."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, prediction: Prediction, frame: Image | None = None) -> None:
        """Receive one prediction and, for a video, its whole frame (uint8, BGR)."""


@contextlib.contextmanager
def text_file(path: Path, option: str) -> Iterator[TextIO]:
    """Open a file for the lines of a sink; it gets its name at the end, whole or not at all.

    What was written until Ctrl-C is kept: that is how a camera ends.

    Args:
        path: the file.
        option: the option that named it, for messages.

    Raises:
        UserError: no file can be written there.
    """
    from asl_edge.files import atomic
    from asl_edge.files.writable import refuse_unwritable_file

    refuse_unwritable_file(path, option)
    interrupt = None
    with atomic.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        try:
            yield file
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def refuse_to_replace(path: Path, sources: Iterable[str], option: str) -> None:
    """Refuse to overwrite one of `sources`, under any name or link, since it is read while this is written.

    Args:
        path: the file to be written.
        sources: paths, or anything else that is no path.
        option: the option that named the file, for the message.

    Raises:
        UserError: the file is one of them.
    """
    for source in sources:
        with contextlib.suppress(OSError, ValueError):  # does not exist, or is not a path
            if os.path.samefile(path, source):  # noqa: PTH121
                raise UserError(
                    f"{path} is the same file as the source {source}, which would be replaced. "
                    f"Name another file with {option}."
                )


class TextSink(ABC):
    """Base of the sinks that write lines to an open text file, which stays open."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __enter__(self) -> TextSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.flush()

    def write(self, prediction: Prediction, frame: Image | None = None) -> None:
        """Write one line and flush it."""
        self._file.write(self._line(prediction) + "\n")
        self._file.flush()

    @abstractmethod
    def _line(self, prediction: Prediction) -> str:
        """Return the line of one prediction, without its end."""


class TableSink(TextSink):
    """Aligned columns, with a heading that names them.

    The name of the image stands last, since its length is not known before. The first prediction
    decides how many classes are listed.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._others: int | None = None
        """Classes listed next to the answer; None before the first line."""

    def _line(self, prediction: Prediction) -> str:
        heading_due = self._others is None
        if self._others is None:
            self._others = len(prediction.top) - 1
        width = 14 * self._others
        # If the answer is not the best class, that class comes first among the candidates.
        candidates = prediction.top[1:] if prediction.accepted else prediction.top[: self._others]
        others = "".join(f"{f'{label} {share:.0%}':<14}" for label, share in candidates)
        name = on_one_line(prediction.source)
        if prediction.frame is not None:
            name += f" frame {prediction.frame}"
        line = f"{prediction.answer:<8}  {prediction.confidence:>10.1%}  {others:<{width}}{prediction.ms:8.1f}  {name}"
        if not heading_due:
            return line
        following = f"{'next' if width else '':<{width}}"
        return f"{'letter':<8}  {'confidence':>10}  {following}{'ms':>8}  image\n{line}"


class JsonLinesSink(TextSink):
    """One JSON object per line: source, label, confidence and the rest of a prediction; `frame` for videos.

    `crop_box` (left, top and side, see `Prediction.crop_box`) is present for images with a zoom pass; so is
    `region`, its deprecated name.
    """

    def _line(self, prediction: Prediction) -> str:
        # Escaped where the file could not hold the characters themselves, as on Windows' older consoles.
        encoding = (getattr(self._file, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "")
        return json_for_terminals(json.dumps(prediction.to_dict(), ensure_ascii=encoding != "utf8"))


class CsvSink(TextSink):
    """Comma-separated values (RFC 4180) with a header.

    `top` holds `label=confidence` pairs with spaces between; `crop_box` holds left, top and side of the zoom pass in
    the same way, and is empty if there was none. A name that a spreadsheet would take for a formula begins with `./`.
    On a terminal control characters in names are escaped; a file or another program gets the names as they are, but for
    bytes that are not UTF-8, which only JSON can hold.
    """

    COLUMNS = ("source", "frame", "label", "confidence", "accepted", "top", "ms", "crop_box")

    def __init__(self, file: TextIO) -> None:
        from asl_edge.files.csv_writer import CsvWriter  # which other predictions need not wait for

        super().__init__(file)
        self._name = on_one_line if file.isatty() else valid_text
        self._rows = io.StringIO()
        self._writer = CsvWriter(self._rows)
        self._writer.write_row(self.COLUMNS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.write(self._taken())  # the header, if there was no prediction to write it with
        super().__exit__(kind, error, trace)

    def _line(self, prediction: Prediction) -> str:
        top = " ".join(f"{label}={share:.6f}" for label, share in prediction.top)
        number = "" if prediction.frame is None else prediction.frame
        accepted = str(prediction.accepted).lower()
        confidence, ms = f"{prediction.confidence:.6f}", f"{prediction.ms:.3f}"
        crop_box = " ".join(f"{share:.4f}" for share in prediction.crop_box or ())
        self._writer.write_row(
            (
                self._name(prediction.source),
                number,
                prediction.label,
                confidence,
                accepted,
                top,
                ms,
                crop_box,
            )
        )
        return self._taken().removesuffix("\n")

    def _taken(self) -> str:
        """Return what is not in the file yet, including the header before the first row."""
        rows = self._rows.getvalue()
        self._rows.seek(0)
        self._rows.truncate()
        return rows
