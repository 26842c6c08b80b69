"""`asl-edge data download`."""

from __future__ import annotations

import json
import sys
import types

import pytest

from asl_edge.cli import main


def run(*words):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main(["data", "download", *map(str, words)])
    return stopped.value.code


@pytest.fixture
def kagglehub(monkeypatch):
    module = types.ModuleType("kagglehub")
    module.dataset_download = lambda handle, *, output_dir: output_dir
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_ends_with_the_prepare_command(kagglehub, tmp_path, capsys):
    assert run("--to", tmp_path / "my hands") == 0
    assert f"asl-edge data prepare '{tmp_path}/my hands' --out 'my hands-arrays'" in capsys.readouterr().err


def test_json(kagglehub, tmp_path, capsys):
    assert run("--to", tmp_path / "to", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "dataset": "grassknoted/asl-alphabet",
        "folder": str(tmp_path / "to"),
    }


def test_without_the_package(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert run("--to", tmp_path / "to") == 2
    assert "pip install 'asl-edge[download]'" in capsys.readouterr().err
