"""Warnings name the line of the caller's code, not one of this package."""

from __future__ import annotations

import runpy
import textwrap
import warnings
from pathlib import Path

import pytest

from asl_edge.process import warn as module
from asl_edge.process.warn import warn


def test_the_first_frame_outside_the_package_is_named() -> None:
    with pytest.warns(UserWarning, match="of a test") as caught:
        warn("of a test", UserWarning)
    assert caught[0].filename == __file__
    assert "of a test" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]


def test_frames_of_the_package_are_skipped_however_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of three modules, each calling the next; the last one warns."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").touch()
    (tmp_path / "inner" / "c.py").write_text(
        "from asl_edge.process.warn import warn\ndef c(): warn('deep', UserWarning)\n"
    )
    (tmp_path / "inner" / "b.py").write_text("from inner.c import c\ndef b(): c()\n")
    (tmp_path / "inner" / "a.py").write_text("from inner.b import b\ndef a(): b()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "_PACKAGE", f"{tmp_path / 'inner'}/")
    from inner.a import a  # type: ignore[import-not-found]

    with pytest.warns(UserWarning, match="deep") as caught:
        a()
    assert caught[0].filename == __file__


def test_code_in_a_folder_whose_name_begins_like_the_packages_is_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asl_edge_of_mine.py").write_text(
        textwrap.dedent("""
            from asl_edge.process.warn import warn
            warn("mine", UserWarning)
        """)
    )
    monkeypatch.setattr(module, "_PACKAGE", f"{tmp_path / 'asl_edge'}/")
    with pytest.warns(UserWarning, match="mine") as caught:
        runpy.run_path(str(tmp_path / "asl_edge_of_mine.py"))
    assert caught[0].filename == str(tmp_path / "asl_edge_of_mine.py")
    assert caught[0].lineno == 3


def test_it_is_shown_once_per_line_as_python_does() -> None:
    """The registry is that of the calling module, so the default filter counts by its lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn("again and again", UserWarning)
    assert len(caught) == 1
