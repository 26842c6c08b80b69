"""Text of other people on terminals and in spreadsheets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.process.printable import (
    json_for_terminals,
    on_one_line,
    printable,
    spreadsheet_cell,
    spreadsheet_text,
    valid_text,
)

ANYTHING = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Übung ✋.jpg", "Übung ✋.jpg"),
        ("\x1b[2J\x1b]0;x\x07", r"\x1b[2J\x1b]0;x\x07"),
        ("a\rb", r"a\rb"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("h\udce4nde", r"h\xe4nde"),
        ("\ud800", r"\ud800"),
        ("one\n\ttwo", "one\n\ttwo"),
    ],
)
def test_what_controls_a_terminal_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert on_one_line(text) == shown.replace("\n", r"\n").replace("\t", r"\t")


@given(ANYTHING)
def test_the_result_can_be_written_and_has_no_control_characters(text: str) -> None:
    for shown in (printable(text), on_one_line(text)):
        shown.encode()
        assert not {"\x1b", "\r", "\x9b", "\x07", "\x00", "\u202e"} & set(shown)
    assert "\n" not in on_one_line(text)


@given(ANYTHING)
def test_json_keeps_its_meaning(text: str) -> None:
    written = json_for_terminals(json.dumps({"name": text}, ensure_ascii=False, indent=1))
    assert json.loads(written) == {"name": text}
    assert "\x9b" not in written


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=HYPERLINK(1)", "./=HYPERLINK(1)"),
        ("@eaDir/x.jpg", "./@eaDir/x.jpg"),
        ("-x.jpg", "./-x.jpg"),
        ("+1+1", "./+1+1"),
        ("-1.5e-05", "-1.5e-05"),
        ("=", "="),
        ("hand.jpg", "hand.jpg"),
        (-3, -3),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(cell: object, written: object) -> None:
    assert spreadsheet_cell(cell) == written


@given(ANYTHING | st.text("./=+-@0a", max_size=8))
def test_a_cell_is_read_as_it_was(text: str) -> None:
    cell = spreadsheet_cell(text)
    assert spreadsheet_text(cell) == text
    assert len(cell) < 2 or cell[0] not in "=@\t\r"


def test_names_taken_in_an_ascii_locale_are_shown_as_they_are() -> None:
    name = "hände\n.jpg".encode().decode("ascii", "surrogateescape")
    assert on_one_line(name) == "hände\\n.jpg"
    assert json.loads(json_for_terminals(json.dumps(name, ensure_ascii=False))) == "hände\n.jpg"
    assert on_one_line("\udcff.jpg") == "\\xff.jpg"


def test_names_that_are_not_valid_text_can_be_written() -> None:
    assert valid_text("A/\udcff.jpg") == "A/\\xff.jpg"
    assert valid_text("Ä.jpg") == "Ä.jpg"
