from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.errors import DataError
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.spelling.word_list import WordList

WORDS = [("hello", 500), ("help", 400), ("held", 200), ("world", 100), ("book", 50), ("boot", 40), ("it's", 900)]


@pytest.mark.parametrize(
    ("signed", "word"),
    [
        ("HELLO", "HELLO"),
        ("HELO", "HELLO"),  # one letter missed
        ("ELLO", "HELLO"),
        ("HELLLO", "HELLO"),  # one too many
        ("XHELLO", "HELLO"),
        ("XORLD", "WORLD"),  # one taken for another
        ("wor", "WORLD"),  # the rest is still to come
        ("BOOT", "BOOT"),
        ("B", "BOOK"),
    ],
)
def test_the_word_that_was_meant_comes_first(signed: str, word: str) -> None:
    suggestions = WordList(WORDS).suggestions(signed)

    assert suggestions[0].word == word
    assert 1 >= suggestions[0].share >= suggestions[-1].share > 0


def test_the_confusion_matrix_makes_words_likely() -> None:
    classes = ("M", "N", "T")
    spec = SpellingSpec(confusion_classes=classes, confusion=((0.5, 0.5, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    words = [("mine", 1.0), ("tine", 1.0)]

    assert [item.word for item in WordList(words, spec).suggestions("NINE")] == ["MINE", "TINE"]


@pytest.mark.parametrize(("signed", "most"), [("", 3), ("123", 3), ("A", 0), ("ABCDEFGHIJKL", 3)])
def test_without_letters_or_fitting_lengths_there_is_nothing_to_suggest(signed: str, most: int) -> None:
    assert WordList(WORDS).suggestions(signed, most) == []


def test_a_list_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# word count\nhello 5\nHello\t3\nnaïve 4\n\nbook\n", encoding="utf-8")

    words = WordList.load(path)

    assert len(words) == 2
    assert words.suggestions("BOK", 1)[0].word == "BOOK"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no word of the letters A to Z"),
        (b"\xff\xfe", "cannot be read as a word list"),
        (b"hello many\n", "line 1: 'many' is not a count"),
        (b"hello -1\n", "line 1"),
        (b"hello nan\n", "line 1"),
    ],
)
def test_lists_that_cannot_be_used_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)

    with pytest.raises(DataError, match=message):
        WordList.load(path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone.txt cannot be read"):
        WordList.load(tmp_path / "gone.txt")
