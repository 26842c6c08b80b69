"""What `--help` says, for every command."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import typer.main

from asl_edge.cli import COMMANDS, GROUPS, build_app, main
from asl_edge.cli.options import EARLIER_FLAGS

OLD_WORDS = (
    "anew", "answered rightly", "beside", "goes on", "in the box", "looks twice", "mend", "picture", "rightly",
    "second look", "stranger",
)  # fmt: skip
"""Words of earlier versions that have a standard term today."""

WITH_EXAMPLES = ("predict", "adapt", "data capture", "data prepare", "train", "evaluate", "calibrate", "export")

Help = Callable[..., str]


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Help:
    """Return what `asl-edge PATH --help` prints in a terminal of so many columns."""

    def show(path: str, columns: int = 80, option: str = "--help") -> str:
        monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
        with pytest.raises(SystemExit) as done:
            main([*path.split(), option])
        captured = capsys.readouterr()
        assert (done.value.code, captured.err) == (0, "")
        return captured.out

    return show


def command_of(path: str) -> Any:
    """Return the command as Typer builds it."""
    command: Any = typer.main.get_command(build_app(path))
    for word in path.split():
        command = command.commands[word]
    return command


def options_of(path: str) -> list[Any]:
    return [parameter for parameter in command_of(path).params if parameter.param_type_name == "option"]


def flags_of(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


@pytest.mark.parametrize("path", [*COMMANDS, *GROUPS])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_usage_comes_first(help_of: Help, path: str, option: str) -> None:
    assert f"Usage: asl-edge {path}" in help_of(path, option=option).splitlines()[1]


@pytest.mark.parametrize("path", COMMANDS)
def test_summary_is_one_short_sentence(path: str) -> None:
    summary, *_ = command_of(path).help.split("\n\n")
    assert summary.endswith(".")
    assert ". " not in summary
    assert len(summary) <= 76, "one line in a terminal of 80 columns"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_parameter_has_one_short_sentence(path: str) -> None:
    for parameter in command_of(path).params:
        assert parameter.help, f"{parameter.name} has no help"
        assert len(parameter.help) <= 100, f"{parameter.name}: {parameter.help}"
        assert parameter.help.endswith((".", "...")), f"{parameter.name}: {parameter.help}"


@pytest.mark.parametrize("path", COMMANDS)
def test_no_option_appears_twice(path: str) -> None:
    counts = Counter(flag for option in options_of(path) for flag in flags_of(option))
    assert [flag for flag, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_many_options_are_grouped(help_of: Help, path: str) -> None:
    options = [option for option in options_of(path) if "--help" not in option.opts and not option.hidden]
    panels = Counter(option.rich_help_panel for option in options)
    assert panels[None] <= 10, "in the first panel, the ten that people use first"
    if len(options) > 10:
        assert len(panels) > 1
    shown = help_of(path)
    for panel in filter(None, panels):
        assert f"╭─ {panel} ─" in shown


@pytest.mark.parametrize("path", [*COMMANDS, *GROUPS])
def test_no_word_that_has_a_standard_term(help_of: Help, path: str) -> None:
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", help_of(path, columns=250)).split()).casefold()
    assert [word for word in OLD_WORDS if re.search(rf"\b{word}", words)] == []


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("path", ["", *COMMANDS, *GROUPS])
def test_nothing_is_cut_off(help_of: Help, path: str, columns: int) -> None:
    shown = help_of(path, columns)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    if path in COMMANDS:  # brackets, for example, would be taken for markup
        words = " ".join(re.sub("[│╭╮╰╯─]", " ", shown).split())
        command = command_of(path)
        for paragraph in command.help.split("\n\n"):
            assert " ".join(paragraph.split()) in words
        for parameter in command.params:
            assert " ".join(parameter.help.split()) in words
        for flag in (flag for option in options_of(path) for flag in flags_of(option)):
            assert flag in words


@pytest.mark.parametrize("path", COMMANDS)
def test_examples_are_valid_commands(help_of: Help, path: str) -> None:
    examples = (command_of(path).epilog or "").splitlines()
    assert bool(examples) >= (path in WITH_EXAMPLES)
    shown = help_of(path)
    for example in examples:
        assert f"\n   {example}\n" in shown
        program, *words = shlex.split(example.partition(" > ")[0])
        assert program == "asl-edge"
        named = next(name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS)
        command_of(named).make_context(named, words[len(named.split()) :])  # exits with 2 if it cannot be parsed


@pytest.mark.parametrize(
    "flag", ["--overwrite", "--strict", "--threshold", "--zoom", "--workers", "--bgr", "--pixels", "--weights"]
)
def test_an_option_of_several_commands_is_explained_alike(flag: str) -> None:
    """But for --bgr, which is of arrays in some commands and of a model in others."""
    helps = {option.help for path in COMMANDS for option in options_of(path) if flag in option.opts}
    assert len(helps) == (2 if flag == "--bgr" else 1)


def test_train_lists_every_recipe_and_augmentation() -> None:
    from asl_edge.training import recipes
    from asl_edge.training.augmentation import policy

    options = {option.name: option.help for option in options_of("train")}
    text = command_of("train").help
    for name in recipes.names():
        assert re.search(rf"\b{name}\b", options["recipe"])
        assert re.search(rf"\b{name}\b", text)
    for name in policy.names():
        assert re.search(rf"\b{name}\b", options["augmentation"])


def test_list_of_commands_has_one_line_for_each(help_of: Help) -> None:
    listing = {name: help_of(name) for name in ("", "data")}
    for path in COMMANDS:
        first, _, second = path.partition(" ")
        if second and first in COMMANDS:  # below a command, which names it in its own help
            assert f"asl-edge {path}" in help_of(first)
            continue
        name, lines = path.split()[-1], listing[first if second else ""].splitlines()
        (line,) = [line.strip(" │") for line in lines if line.strip(" │").startswith(f"{name} ")]
        summary = command_of(path).help.split("\n\n")[0]
        assert line.removeprefix(name).strip() == summary


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("path", [*COMMANDS])
def test_paragraphs_flow(help_of: Help, path: str, columns: int) -> None:
    shown = help_of(path, columns)
    words, _, _ = shown.partition("╭")
    paragraphs = [paragraph.split("\n") for paragraph in re.sub(r" +\n", "\n", words).split("\n\n")]
    for lines in paragraphs[1:]:
        for line, following in pairwise(line.strip() for line in lines if line.strip()):
            first = following.split()[0]
            assert len(line) + len(first) + 3 > columns, f"{line!r} breaks before {first!r}"
    assert "[default: (" not in shown


ARGUMENTS = {"predict": ["a.jpg"], "evaluate": ["model.onnx", "images"]}


@pytest.mark.parametrize("path", ARGUMENTS)
@pytest.mark.parametrize(("earlier", "today"), [pair for pair in EARLIER_FLAGS.items() if pair[1].endswith("zoom")])
def test_an_earlier_flag_means_the_same_and_is_not_listed(help_of: Help, path: str, earlier: str, today: str) -> None:
    def parsed(*flags: str) -> dict[str, Any]:
        parameters: dict[str, Any] = command_of(path).make_context(path, [*ARGUMENTS[path], *flags]).params
        return parameters

    assert parsed(earlier) == parsed(today)
    assert parsed(earlier)["zoom"] is not today.startswith("--no-")
    assert earlier not in help_of(path)
    assert today in help_of(path)


def test_an_earlier_option_takes_its_value() -> None:
    for words in (["--save-video", "x.mp4"], ["--save-video=x.mp4"]):
        parameters: dict[str, Any] = command_of("predict").make_context("predict", ["a.mp4", *words]).params
        assert [str(path) for path in parameters["save"]] == ["x.mp4"]


def test_an_earlier_flag_of_another_command_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["doctor", "--second-look"])
    assert done.value.code == 2
    assert "No such option" in capsys.readouterr().err
