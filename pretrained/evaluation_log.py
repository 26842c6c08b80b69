"""The log of every evaluation on a development set or on a source that was left out of training.

    python -m pretrained.evaluation_log

renders log.md from log.jsonl. Whoever evaluates on these images again adds a line, so that everybody can count how
often choices were made by them. A line is a JSON object: an evaluation with `date`, `name`, `model`, `data` and
`figures`, or a remark with `date` and `note`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from asl_edge.files import atomic
from asl_edge.metrics import wilson_interval
from benchmarks.harness.report import argument_parser, markdown_table, page

FOLDER = Path(__file__).resolve().parent
LOG = FOLDER / "log.jsonl"
COLUMNS = {
    "kaggle, held out": "kaggle, held-out frames",
    "phone, held out": "phone, held-out frames",
    "left out": "source left out",
    "dev-wall": "dev-wall",
    "dev-rooms, clean": "dev-rooms, clean",
    "dev-rooms, augmented": "dev-rooms, augmented",
    "dev-webcam, mean over people": "dev-webcam, mean over 11 people",
    "dev-webcam, worst person": "dev-webcam, worst person",
    "dev-frames": "dev-frames",
}
"""What is evaluated on -> title of its column."""


@dataclass(frozen=True)
class Figure:
    """The accuracy on one set of images."""

    accuracy: float
    low: float | None = None
    """95% interval (Wilson); None where it was not recorded."""
    high: float | None = None
    images: int | None = None
    mirrored: float | None = None
    """Accuracy on the same images flipped left to right."""

    @classmethod
    def counted(cls, correct: int, images: int, mirrored: float | None = None) -> Figure:
        """Return the accuracy of `correct` of `images`, with its interval."""
        return cls(correct / images, *wilson_interval(correct, images), images, mirrored)

    def rounded(self) -> Figure:
        """Return the figure with three decimals, as the log keeps it."""
        low, high, mirrored = (
            None if value is None else round(value, 3) for value in (self.low, self.high, self.mirrored)
        )
        return replace(self, accuracy=round(self.accuracy, 3), low=low, high=high, mirrored=mirrored)

    def describe(self) -> str:
        """Return the figure as a cell, such as `86.1% (83.0%-88.7%, n=560); mirrored 85.5%`."""
        text = f"{self.accuracy:.1%}"
        if self.low is not None and self.high is not None:
            text += f" ({self.low:.1%}-{self.high:.1%}, n={self.images})"
        return text if self.mirrored is None else f"{text}; mirrored {self.mirrored:.1%}"

    def to_dict(self) -> dict[str, float | int]:
        """Return the values that are known, as JSON can hold them."""
        values = {"accuracy": self.accuracy, "low": self.low, "high": self.high}
        values |= {"images": self.images, "mirrored": self.mirrored}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Entry:
    """One line of the log."""

    date: str
    """Day and minute in UTC, `2026-11-22 11:50`; empty for a remark on several days."""
    name: str = ""
    """Of the run; empty for a remark."""
    model: str = ""
    """What was evaluated: network, recipe, start, settings."""
    data: str = ""
    """What it was trained on."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """By key of `COLUMNS`."""
    note: str = ""
    """A remark on evaluations that are not lines of their own."""

    def to_json(self) -> str:
        """Return the entry as a line of JSON."""
        if self.note:
            return json.dumps({"date": self.date, "note": self.note}, ensure_ascii=False)
        values: dict[str, Any] = {"date": self.date, "name": self.name, "model": self.model}
        values |= {"data": self.data} if self.data else {}
        values["figures"] = {name: figure.to_dict() for name, figure in self.figures.items()}
        return json.dumps(values, ensure_ascii=False)


def now() -> str:
    """Return the present as the log writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")


def read_log(path: Path = LOG) -> list[Entry]:
    """Return all entries; none where there is no log yet.

    Raises:
        ValueError: a line is not an entry; the message names it.
    """
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], 1):
        try:
            values = json.loads(line)
            figures = {name: Figure(**figure) for name, figure in values.pop("figures", {}).items()}
            if unknown := set(figures) - set(COLUMNS):
                raise ValueError(f"unknown set of images: {', '.join(sorted(unknown))}")
            entries.append(Entry(**values, figures=figures))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    return entries


def append(path: Path, entry: Entry) -> None:
    """Add an entry to a log, in one step, and render the page next to it."""
    entries = [*read_log(path), entry]
    atomic.write_text(path, "".join(f"{each.to_json()}\n" for each in entries))
    atomic.write_text(path.with_suffix(".md"), markdown(entries))


def latest(entries: Iterable[Entry], name: str) -> Entry | None:
    """Return the last evaluation of that name, or None."""
    return next((entry for entry in reversed(list(entries)) if entry.name == name), None)


def markdown(entries: Iterable[Entry]) -> str:
    """Return the log as a page."""
    entries = list(entries)
    notes: list[str] = []
    for entry in entries:
        if entry.note:
            notes += [f"{entry.date}: {entry.note}" if entry.date else entry.note, ""]
    rows = [
        [
            entry.date,
            f"`{entry.name}`",
            "; ".join(filter(None, (entry.model, entry.data))),
            *(entry.figures[name].describe() if name in entry.figures else "" for name in COLUMNS),
        ]
        for entry in entries
        if not entry.note
    ]
    return page(
        "# Every evaluation on a development set or on a source that was left out of training",
        "",
        "Rendered from log.jsonl by `python -m pretrained.evaluation_log`. Accuracy of `best.keras` with 95% interval "
        "(Wilson; over people by bootstrap) and number of images. Held-out frames: frames of the training sources that "
        "the block split keeps for the test.",
        "",
        *notes,
        *markdown_table(["date", "name", "what", *COLUMNS.values()], rows, "lll" + "r" * len(COLUMNS)),
    )


def main() -> None:
    """Render the page."""
    argument_parser(__doc__).parse_args()
    atomic.write_text(LOG.with_suffix(".md"), markdown(read_log()))
    print(LOG.with_suffix(".md"))


if __name__ == "__main__":
    main()
