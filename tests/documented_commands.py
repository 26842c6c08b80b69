"""The `asl-edge` commands that a page of Markdown names, and what is wrong with them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import typer

from asl_edge.cli import COMMANDS, build_app

_FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_COMMAND = re.compile(r"(?:^|(?<=[\s/(]))asl-edge((?:[ \t]+[^\s|;&)#][^\s|;&)]*)+)")
_OPTION = re.compile(r"--[a-z][a-z-]*")
_OF_ALL = {"--help", "--version", "--debug", "--install-completion", "--show-completion"}
_GROUPS = {name.split()[0] for name in COMMANDS if " " in name} - set(COMMANDS)


@cache
def click_command(command: str) -> Any:
    """Return the Click command of one of `COMMANDS`; Typer carries its own copy of Click, so that its type is Any."""
    built: Any = typer.main.get_command(build_app(command))
    for word in command.split():
        built = built.commands[word]
    return built


@cache
def options_of(command: str) -> frozenset[str]:
    """Return the options of a command that `--help` shows; those that are hidden for one release are not there."""
    options = [each for each in click_command(command).params if each.param_type_name == "option" and not each.hidden]
    return frozenset(name for option in options for name in (*option.opts, *option.secondary_opts))


def commands_in(text: str) -> list[list[str]]:
    """Return the words after `asl-edge` of every command in code, fenced or inline; prose is not code."""
    fenced = _FENCED.findall(text)
    inline = _INLINE.findall(_FENCED.sub("", text))
    lines = [line for block in fenced for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return [
        found.split()
        for line in [*lines, *(" ".join(one.split()) for one in inline)]
        for found in _COMMAND.findall(line)
    ]


def faults(text: str) -> list[str]:
    """Return one sentence for every command or option in `text` that does not exist."""
    found = []
    for words in commands_in(text):
        if words[0].startswith("-") or not words[0].strip("."):
            named, rest, options = "asl-edge", words, frozenset(_OF_ALL)
        else:
            named = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
            if named not in COMMANDS:
                if not (named in _GROUPS and len(words) == 1):
                    found.append(f"there is no command `asl-edge {' '.join(words[:2])}`")
                continue
            rest, options = words[len(named.split()) :], options_of(named) | _OF_ALL
        for option in [match for word in rest for match in _OPTION.findall(word) if word.startswith("-")]:
            if option not in options:
                found.append(f"`{'' if named == 'asl-edge' else 'asl-edge '}{named}` has no option {option}")
    return found
