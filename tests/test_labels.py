"""The alphabet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.errors import DataError
from asl_edge.labels import CLASSES, MOTION_LETTERS, STATIC_LETTERS, canonical, in_alphabet_order, parse_classes


def test_the_alphabet():
    assert len(CLASSES) == 29
    assert CLASSES[:3] == ("A", "B", "C")
    assert CLASSES[25:] == ("Z", "del", "nothing", "space")
    assert len(STATIC_LETTERS) == 24
    assert set(STATIC_LETTERS) | MOTION_LETTERS | {"del", "nothing", "space"} == set(CLASSES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a", "A"), (" B ", "B"), ("SPACE", "space"), ("Del", "del"), ("delete", "del"), ("ab", None), ("", None)],
)
def test_canonical(name, expected):
    assert canonical(name) == expected


@given(st.text())
def test_canonical_gives_a_class_or_none(name):
    assert canonical(name) in (*CLASSES, None)


@given(st.lists(st.sampled_from(CLASSES)))
def test_alphabet_order(names):
    assert in_alphabet_order(names) == [name for name in CLASSES if name in names]


def test_parse_classes_keeps_the_order():
    assert parse_classes("c, A,,space") == ["C", "A", "space"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("A,Ä", "Unknown class 'Ä'"), ("A,b,B", "B is named twice"), (" ,", "No class"), ("", "No class")],
)
def test_parse_classes_errors(text, message):
    with pytest.raises(DataError, match=message):
        parse_classes(text)
