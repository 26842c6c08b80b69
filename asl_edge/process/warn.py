"""Warnings that point at the line of the caller's code, however deep in this package they arise."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")  # noqa: PTH118, PTH120, PTH100


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning as `warnings.warn` does, for the nearest frame outside this package.

    `warnings.warn` has `skip_file_prefixes` for that from Python 3.12 on.

    Args:
        message: one or more sentences.
        category: class of the warning.
    """
    frame: FrameType = sys._getframe(1)
    while _is_ours(frame) and frame.f_back is not None:
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=str(frame.f_globals.get("__name__", "<unknown>")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _is_ours(frame: FrameType) -> bool:
    return os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE)  # noqa: PTH100 - once per frame: cheap
