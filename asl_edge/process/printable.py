"""Text from files and other people, made harmless for terminals: what would control one is shown as an escape."""

from __future__ import annotations

import re
from typing import Any

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters but tab and line feed, other line ends, marks that turn the direction of writing, and Python's
surrogates for bytes that are not UTF-8."""

_CONTROL = re.compile(f"[{_CONTROLS}]")
_FORMULA = re.compile(r"(\./)*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20].+", re.DOTALL)
"""What spreadsheets compute; some take the wide signs of East Asian keyboards for the same."""

_NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?")
_NOT_ON_ONE_LINE = re.compile(rf"[\t\n{_CONTROLS}]")


def printable(text: str) -> str:
    """Return `text` with what would control a terminal as `\\xNN` or `\\uNNNN`; tabs and line feeds stay."""
    return text if text.isprintable() else _CONTROL.sub(_escaped, _decoded(text))


def on_one_line(text: str) -> str:
    """Return `text` as `printable` does, with `\\t` and `\\n` in place of tabs and line feeds as well."""
    return text if text.isprintable() else _NOT_ON_ONE_LINE.sub(_escaped, _decoded(text))


def valid_text(name: str) -> str:
    """Return the name of a file as text that every encoding of Unicode holds: bytes that are not UTF-8 as `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def json_for_terminals(text: str) -> str:
    """Return JSON with the characters that would control a terminal escaped; its meaning is the same.

    `json.dumps` itself escapes those below a space only.
    """
    return text if text.isprintable() else _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", _decoded(text))


def first_line(error: BaseException, longest: int = 200) -> str:
    """Return the first line of an exception's message, at most `longest` characters of it; its type where it has none.

    Libraries put whole graphs and configurations into their messages.
    """
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= longest else f"{line[:longest]}..."


def spreadsheet_cell(value: Any) -> Any:
    """Return a value for a CSV file; a text that spreadsheets would compute as a formula begins with `./`.

    Such texts are names of files and folders, which mean the same with it. `spreadsheet_text` takes it away again.
    """
    if isinstance(value, str) and _FORMULA.fullmatch(value) and not _NUMBER.fullmatch(value):
        return f"./{value}"
    return value


def spreadsheet_text(cell: str) -> str:
    """Return the text of which `spreadsheet_cell` made a cell."""
    return cell[2:] if cell.startswith("./") and _FORMULA.fullmatch(cell) else cell


def _decoded(text: str) -> str:
    """Return a file name that Python took in an ASCII locale as what it is in UTF-8, if it is."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else match[0].encode("unicode_escape").decode()
