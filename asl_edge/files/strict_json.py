"""JSON from files that other people may have written: finite numbers, text that can be written, bounded depth."""

from __future__ import annotations

import json
import math
import os
from typing import Any

from asl_edge.files.regular_file import read_regular

_DEEPEST = 32
_MOST_BITS = 1000
"""Longer whole numbers have no meaning here, and overflow where they become floating-point numbers."""
_LARGEST = 64 * 2**20


def read_json(path: str | os.PathLike[str], largest: int = _LARGEST) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        largest: most bytes that it may have.

    Raises:
        OSError: it is missing, not a regular file, or cannot be read.
        ValueError: it is larger, or as for `parse_json`.
    """
    return parse_json(read_regular(path, largest))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON in UTF-8, is nested too deeply, or holds a number that is not finite or too long, or
            half a character (a lone surrogate).
    """
    try:
        value = json.loads(text if isinstance(text, str) else text.decode())
        _check(value if type(value) is dict else [value], 0 if type(value) is dict else -1)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _check(values: dict[str, Any] | list[Any], depth: int) -> None:
    """Raise ValueError where something in a dictionary or list must not be there."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    named = isinstance(values, dict)
    if named and not (keys := "".join(values)).isascii():
        _check_characters(keys)
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        kind = type(value)
        try:
            if kind is float:
                if not -math.inf < value < math.inf:  # which NaN is not either
                    raise ValueError("a number is not finite")
            elif kind is str:
                if not value.isascii():
                    _check_characters(value)
            elif kind is dict or kind is list:
                _check(value, depth + 1)
            elif kind is int and value.bit_length() > _MOST_BITS:
                raise ValueError("a number has too many digits")
        except ValueError as error:
            raise error if depth or not named else ValueError(f"{key!a:.40}: {error}") from None


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character") from None
