"""Write the pages and images of the documentation that are made from the program itself.

    python docs/generate.py            writes docs/cli.md and docs/images/prediction.png
    python docs/generate.py --check    writes nothing; exit code 1 where a page is not what would be written

The pages are committed, so that reading the documentation needs no build; tests/test_docs.py checks them.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from asl_edge.cli import COMMANDS, build_app
from asl_edge.files import atomic

DOCS = Path(__file__).resolve().parent
CLI_PAGE = DOCS / "cli.md"
PREDICTION_IMAGE = DOCS / "images" / "prediction.png"

_SHOWN = (("Y", 4), ("L", 1), ("I", 3))
"""Letters and seeds of the synthetic hands in the image: recognised, recognised after a zoom pass, and not sure."""
_SIDE = 320

_HEAD = """\
# Command-line reference

Made from the program by `python docs/generate.py`; `asl-edge COMMAND --help` prints the same. Exit codes: 0 success,
1 failure, 2 a mistake that the message says how to fix, 130 interrupted by Ctrl-C. `--debug`, anywhere on the line,
shows the traceback of an error.
"""


def cli_page() -> str:
    """Return the Markdown of the command-line reference."""
    parts = [_HEAD, "| command | does |\n|---|---|"]
    commands = {name: _click_command(name) for name in COMMANDS}
    for name, command in commands.items():
        anchor = f"asl-edge-{name.replace(' ', '-')}"
        parts[-1] += f"\n| [`asl-edge {name}`](#{anchor}) | {_cell(_paragraphs(command.help)[0])} |"
    for name, command in commands.items():
        parts += _section(name, command)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _click_command(name: str) -> Any:
    """Return a command as Typer builds it; Typer carries its own copy of Click, so that its type is Any."""
    built: Any = typer.main.get_command(build_app(name))
    for word in name.split():
        built = built.commands[word]
    return built


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    usage = " ".join([f"asl-edge {name}", "[OPTIONS]", *(_metavar(argument) for argument in arguments)])
    yield f"## asl-edge {name}"
    yield f"```text\n{usage}\n```"
    yield "\n\n".join(_paragraphs(command.help))
    if arguments:
        rows = "".join(f"\n| `{_metavar(one).strip('[]')}` | {_cell(_help(one))} |" for one in arguments)
        yield f"| argument | is |\n|---|---|{rows}"
    panels: dict[str, list[Any]] = {}
    for option in options:
        panels.setdefault(getattr(option, "rich_help_panel", None) or "Options", []).append(option)
    for panel, members in panels.items():
        rows = "".join(f"\n| {_names(one)} | {_cell(_help(one))} | {_cell(_default(one))} |" for one in members)
        yield f"| {panel} | does | default |\n|---|---|---|{rows}"


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n")]


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return str(name if argument.required or name.startswith("[") else f"[{name}]")


def _names(option: Any) -> str:
    on = ", ".join(sorted(option.opts, key=len, reverse=True))
    off = ", ".join(option.secondary_opts)
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    return f"`{on}{value}`" + (f", `{off}`" if off else "")


def _help(parameter: Any) -> str:
    return " ".join((parameter.help or "").split()) + (" **Required.**" if parameter.required else "")


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return str(option.show_default)
    value = option.default
    if callable(value) or value is None or value is False or value in ((), [], ""):
        return ""
    if option.is_flag:
        return "on" if value else ""
    return f"`{', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def prediction_image() -> Any:
    """Return what `asl-edge predict --show` draws on three synthetic hands: uint8 (side, 3 * side, 3), BGR."""
    import numpy as np

    import asl_edge
    from asl_edge.data.synthetic.drawing import draw_hand
    from asl_edge.runtime.streams import overlay

    hands = [draw_hand(letter, np.random.default_rng(seed), _SIDE) for letter, seed in _SHOWN]
    with asl_edge.Predictor() as predictor:
        predictions = predictor(hands)
    shown = [overlay.draw(hand[..., ::-1], prediction) for hand, prediction in zip(hands, predictions, strict=True)]
    return np.hstack(shown)


def main(words: list[str]) -> int:
    """Write, or with `--check` compare; return the exit code."""
    page = cli_page()
    if "--check" in words:
        return int(CLI_PAGE.read_text(encoding="utf-8") != page)
    from asl_edge.imaging.preprocess import opencv

    atomic.write_text(CLI_PAGE, page)
    atomic.write_bytes(PREDICTION_IMAGE, opencv().imencode(".png", prediction_image())[1].tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
