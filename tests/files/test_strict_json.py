"""JSON of other people: what cannot be computed with, written or walked is refused as a ValueError."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.files.regular_file import open_regular, read_regular
from asl_edge.files.strict_json import parse_json, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_python_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "'a': a number is not finite"),
        ('{"a": {"b": [1, -Infinity]}}', "'a': a number is not finite"),
        ('{"a": 1e400}', "not finite"),
        ("[1.5, 1e400]", "not finite"),
        ('{"a": 1' + "0" * 400 + "}", "too many digits"),
        ("[1" + "0" * 400 + "]", "too many digits"),
        ("[1" + "0" * 5000 + "]", "digits"),
        ('["\\ud800"]', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 40 + "]" * 40, "nested too deeply"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested too deeply"),
        ("", "Expecting value"),
        ("[1] x", "Extra data"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    for given_text in (text, text.encode()):
        with pytest.raises(ValueError, match=reason):
            parse_json(given_text)


@pytest.mark.parametrize("content", [b"\xff", b"\xff\xfe[\x001\x00]\x00", b'"\xed\xa0\x80"'])
def test_other_encodings_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(content)


def test_files_have_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2]")
    assert read_json(path, 6) == [1, 2]
    with pytest.raises(ValueError, match="larger than"):
        read_json(path, 5)
    assert read_regular(path, 6) == b"[1, 2]"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    started = time.perf_counter()
    for path in (pipe, link, Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(OSError, match="not a file but"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    assert time.perf_counter() - started < 5
