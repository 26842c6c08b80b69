"""Downloading Kaggle's set: every way in which it fails, and the call that is made.

kagglehub itself is stood in for by a module with its exceptions' names, since no test may depend on a network.
"""

from __future__ import annotations

import sys
import types

import pytest

from asl_edge.data.download import DATASET, download
from asl_edge.errors import DataError, MissingPackageError


@pytest.fixture
def kagglehub(monkeypatch):
    """A kagglehub whose `dataset_download` is set by the test."""
    module = types.ModuleType("kagglehub")
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


def named(name, base=Exception, **fields):
    error = type(name, (base,), {})("some\nlong\ntext")
    for field, value in fields.items():
        setattr(error, field, value)
    return error


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


def test_without_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'asl-edge\[download\]'"):
        download(tmp_path / "to")


def test_downloads_where_it_was_told(kagglehub, tmp_path):
    calls = []

    def dataset_download(handle, *, output_dir):
        calls.append((handle, output_dir))
        return output_dir

    kagglehub.dataset_download = dataset_download
    assert download(tmp_path / "to") == tmp_path / "to"
    assert calls == [(DATASET, str(tmp_path / "to"))]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (named("KaggleApiHTTPError", response=types.SimpleNamespace(status_code=403)), "requires credentials"),
        (named("UnauthenticatedError"), "requires credentials"),
        (named("ConnectionError", OSError), "cannot be reached"),
        (named("ConnectTimeout", type("Timeout", (OSError,), {})), "cannot be reached"),
        (named("BackendError"), "download failed: some"),
        (OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_failures_are_one_sentence_with_the_way_out(kagglehub, tmp_path, error, message):
    kagglehub.dataset_download = failing(error)
    with pytest.raises(DataError, match=message) as raised:
        download(tmp_path / "to")
    assert "yourself" in str(raised.value)


def test_a_cause_below_tells_too(kagglehub, tmp_path):
    error = RuntimeError("odd")
    error.__cause__ = named("gaierror", OSError)
    kagglehub.dataset_download = failing(error)
    with pytest.raises(DataError, match="cannot be reached"):
        download(tmp_path / "to")


def test_ctrl_c_stays_ctrl_c(kagglehub, tmp_path):
    kagglehub.dataset_download = failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        download(tmp_path / "to")


def test_what_stands_there_is_not_mixed_with_the_download(kagglehub, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    for to in (tmp_path, tmp_path / "letter.txt"):
        with pytest.raises(DataError, match="Choose another --to"):
            download(to)
