"""The word for the pretrained model, and what goes before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asl_edge.errors import ModelError
from asl_edge.runtime import pretrained
from asl_edge.runtime.pretrained import is_pretrained, pretrained_model, resolve


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("word", [None, "pretrained", "box"])
def test_no_model_and_both_words_mean_the_pretrained_one(word: str | None) -> None:
    assert resolve(word) == pretrained_model()


@pytest.mark.parametrize("word", ["pretrained", "box"])
def test_a_file_or_a_run_of_that_name_goes_first(here: Path, word: str) -> None:
    (here / word).touch()
    assert not is_pretrained(word)
    assert resolve(word) == word
    (here / word).unlink()
    (here / word).mkdir()
    (here / word / "best.keras").touch()
    assert resolve(word) == word


def test_another_folder_of_that_name_does_not(here: Path) -> None:
    """As in a clone of this repository, whose folder `pretrained` makes the model."""
    (here / "pretrained").mkdir()
    assert resolve("pretrained") == pretrained_model()
    assert resolve(os.path.join(".", "pretrained")) == os.path.join(".", "pretrained")  # noqa: PTH118


def test_an_installation_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "_FOLDER", tmp_path)
    with pytest.raises(ModelError, match="is missing from this installation"):
        resolve(None)
