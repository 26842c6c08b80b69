"""Log records for users of the library: the logger `asl_edge` of Python's `logging`, silent unless it is configured.

    logging.basicConfig(level=logging.INFO)  # or a handler for logging.getLogger("asl_edge")

`logging` is not imported here, since its import takes a tenth of the time of a single prediction: whoever wants
records has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

NAME = "asl_edge"

_DEBUG, _INFO = 10, 20  # logging.DEBUG and logging.INFO


def debug(message: str, *values: object) -> None:
    """Log a detail; `values` fill the message's `%` fields if the record is wanted."""
    _log(_DEBUG, message, values)


def info(message: str, *values: object) -> None:
    """Log a decision or a result; `values` fill the message's `%` fields if the record is wanted."""
    _log(_INFO, message, values)


def _log(level: int, message: str, values: tuple[object, ...]) -> None:
    logging: Any = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "getLogger"):  # not imported, or another thread is just importing it
        return
    logger = logging.getLogger(NAME)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # as libraries should: what to do with records is the application's
    logger.log(level, message, *values, stacklevel=3)
