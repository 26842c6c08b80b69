"""Files that `--save` names: what is written into each, by its suffix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asl_edge.cli.options import SAVE
from asl_edge.errors import UserError

_CONTENT = {".jsonl": "JSON lines", ".csv": "CSV", ".txt": "the text"}


def kinds_of_files(paths: Sequence[Path], text: Sequence[str]) -> list[str]:
    """Return what to write into each file: `video`, or one of the suffixes in `text`.

    Args:
        paths: the files.
        text: suffixes of text files that the command can write.

    Raises:
        UserError: a suffix says neither, or a file is named twice.
    """
    from asl_edge.runtime.streams.video_sinks import CONTAINERS

    kinds = []
    for path in paths:
        suffix = path.suffix.lower()
        if suffix not in text and suffix not in CONTAINERS:
            known = ", ".join(f"{name} for {_CONTENT[name]}" for name in text)
            raise UserError(
                f"{SAVE} {path}: the suffix chooses what is written: .mp4 or .avi for a video, {known}. "
                "Name such a file."
            )
        kinds.append(suffix if suffix in text else "video")
    twice = next((path for place, path in enumerate(paths) if path in paths[:place]), None)
    if twice is not None:
        raise UserError(f"{SAVE} names {twice} twice. Name each file once.")
    return kinds
