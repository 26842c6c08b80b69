"""Every script can be imported and explains itself; every committed page is the rendering of its values."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.harness import render
from benchmarks.harness.report import REPOSITORY, RESULTS

SCRIPTS = [
    path.relative_to(REPOSITORY).with_suffix("")
    for folder in ("benchmarks", "pretrained")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if path.name != "__init__.py"
]


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.parts[0] == "benchmarks"], ids=str)
def test_the_script_is_imported_and_names_its_command(script: Path) -> None:
    module = import_module(".".join(script.parts))
    assert module.__doc__
    if hasattr(module, "main"):
        assert f"python -m {'.'.join(script.parts)}" in module.__doc__


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_no_script_touches_the_import_path(script: Path) -> None:
    assert "sys.path" not in (REPOSITORY / script).with_suffix(".py").read_text()


@pytest.mark.parametrize("name", list(render.results()))
def test_the_committed_page_is_the_rendering_of_its_values(name: str) -> None:
    assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == render.render(name)


def test_a_page_is_rendered_again_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(render, "RESULTS", tmp_path)
    (tmp_path / "speed").mkdir()
    monkeypatch.setattr(sys, "argv", ["render", "speed/export"])
    render.main()
    assert (tmp_path / "speed" / "export.md").read_text() == (RESULTS / "speed" / "export.md").read_text()


def test_a_script_runs_from_the_root_of_the_repository() -> None:
    command = [sys.executable, "-m", "benchmarks.speed.session_opening", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "python -m benchmarks.speed.session_opening MODEL" in done.stdout
