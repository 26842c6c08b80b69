"""JSON from files that other people may have written: finite numbers, text that can be written, bounded depth."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

from asl_edge.files.regular_file import read_regular

_DEEPEST = 32
_MOST_DIGITS = 100
"""Longer whole numbers have no meaning here, and overflow where they become floating-point numbers."""
_LONG_NUMBER = re.compile(rf"\d{{{_MOST_DIGITS + 1}}}")
_LARGEST = 64 * 2**20
_NUMBERS = frozenset((int, float))


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
        ValueError: it is not JSON in UTF-8, is nested too deeply, or holds a number that is not finite or has too many
            digits, or half a character (a lone surrogate).
    """
    text = text if isinstance(text, str) else text.decode()
    try:
        value = json.loads(text, parse_int=_whole_number if _LONG_NUMBER.search(text) else None)
        _check(value, 0)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if not value.isascii():
            _check_characters(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
    elif isinstance(value, (dict, list)):
        if depth >= _DEEPEST:
            raise ValueError("it is nested too deeply")
        if isinstance(value, dict):
            for key, inner in value.items():
                _check(key, depth)
                try:
                    _check(inner, depth + 1)
                except ValueError as error:
                    raise error if depth else ValueError(f"{key!a:.40}: {error}") from None
        elif _NUMBERS.issuperset(map(type, value)):
            if not math.isfinite(sum(value)):  # a sum is not finite where one of the numbers is not
                raise ValueError("a number is not finite")
        else:
            for inner in value:
                _check(inner, depth + 1)


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(digits)


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character") from None
