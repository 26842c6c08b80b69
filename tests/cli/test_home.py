"""The tilde in `--out=~/x`, which shells leave as it is."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest
import typer

from asl_edge.cli import COMMANDS, build_app

PATH_TYPES = ("path", "file", "directory")


def command_of(name: str) -> Any:
    """Return the Click command that `asl-edge NAME` runs."""
    found: Any = typer.main.get_command(build_app(name))
    for word in name.split():
        found = found.commands[word]
    return found


def parsed(command: str, *words: str) -> dict[str, Any]:
    """Return the values of a command's options, without what checks them."""
    return dict(command_of(command).make_context(command, list(words), resilient_parsing=True).params)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_names_a_path_expands_it(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("USERPROFILE", "/home/ann")
    import_module(COMMANDS[command][0])
    paths = [
        option
        for option in command_of(command).params
        if option.param_type_name == "option" and (option.type.name in PATH_TYPES or option.metavar == "SOURCE")
    ]
    for option in paths:
        value = parsed(command, f"{option.opts[0]}=~/x y/z")[option.name]
        values = value if isinstance(value, (list, tuple)) else [value]
        assert [str(one) for one in values] == ["/home/ann/x y/z"], option.opts


def test_other_values_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert parsed("train", "--recipe=~/x")["recipe"] == "~/x"
    assert parsed("train", "--out", "~/x")["out"] == "~/x", "quoted by somebody who means it"
    assert parsed("train", "--out=x/~")["out"] == "x/~"


def test_without_a_home_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it does where nobody knows the user
    assert parsed("train", "--out=~/x")["out"] == "~/x"
