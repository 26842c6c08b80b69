"""Write what the documentation shows of the program itself, by running it.

    python docs/generate.py

writes docs/cli.md, docs/images/prediction.png and live.png, and the output below every
`<!-- output of: COMMAND -->` in README.md and docs/*.md. `; after: COMMAND` names commands that run before it; all
those of a page run in one empty folder.

The pages are committed, so that reading the documentation needs no build; tests/test_docs.py checks them.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from asl_edge.cli import COMMANDS, build_app
from asl_edge.files import atomic

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
CLI_PAGE = DOCS / "cli.md"
PREDICTION_IMAGE = DOCS / "images" / "prediction.png"
LIVE_IMAGE = DOCS / "images" / "live.png"

_SHOWN = (("Y", 4), ("L", 10), ("E", 11))
"""Letters and seeds of the synthetic hands in the image: recognised, recognised after a zoom pass, and not sure."""
_SIDE = 320
_SPELLED = (("A", 1), ("S", 3), ("L", 10))
"""Letters and seeds of the synthetic hands that are spelled in the image of `asl-edge live`."""
_HOLD = 15
"""Frames of each."""

_HEAD = """\
# Command-line reference

Made from the program by `python docs/generate.py`; `--help` after a command prints the same. Exit codes: 0 success, 1
failure, 2 a mistake that the message says how to fix, 130 interrupted by Ctrl-C. `--debug`, anywhere on the line, shows
the traceback of an error.
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
    if command.epilog:
        yield f"```bash\n{command.epilog}\n```"


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


def live_image() -> Any:
    """Return frames of the video that `asl-edge live --save` writes of three synthetic hands: uint8 (H, 3 * W, 3), BGR.

    The last frame of each hold is shown.
    """
    import numpy as np

    import asl_edge
    from asl_edge.data.synthetic.drawing import draw_hand
    from asl_edge.imaging.preprocess import opencv
    from asl_edge.runtime.live_loop import spell_frames
    from asl_edge.runtime.spelling.speller import Speller
    from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
    from asl_edge.runtime.streams import overlay
    from asl_edge.runtime.streams.live.frame import Frame

    wide = _SIDE * 4 // 3
    side = (wide - _SIDE) // 2
    hands = [draw_hand(letter, np.random.default_rng(seed), _SIDE)[..., ::-1] for letter, seed in _SPELLED]
    rooms = [opencv().copyMakeBorder(hand, 0, 0, side, side, opencv().BORDER_REFLECT) for hand in hands]
    frames = [
        Frame(room, (number * _HOLD + at) / 30, number * _HOLD + at)
        for number, room in enumerate(rooms)
        for at in range(_HOLD)
    ]
    shown: list[Any] = []

    class Lasts:
        """Keeps the last frame of every hold, as a saved video shows it."""

        def write(self, step: Any) -> None:
            if step.prediction.frame % _HOLD == _HOLD - 1:
                canvas = overlay.draw(step.image, step.prediction)
                overlay.spelled(canvas, step.text)
                shown.append(canvas)

        def finish(self, text: str, events: Any) -> None:
            """Do nothing."""

    with asl_edge.Predictor(top_k=1000) as predictor:
        spell_frames(
            frames, predictor, Speller(SpellingSpec.of_model(predictor.spec), predictor.spec.classes), [Lasts()]
        )
    return np.hstack(shown)


_OUTPUT = re.compile(r"(<!-- output of: (.*?)(?:; after: (.*?))? -->\n```\w*\n)(.*?)(```)", re.DOTALL)


def pages_with_output() -> list[Path]:
    """Return the pages that show what a command prints."""
    pages = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
    return [page for page in pages if _OUTPUT.search(page.read_text(encoding="utf-8"))]


def with_output(text: str) -> str:
    """Return the text of a page with the output of its commands as they print it now."""
    with tempfile.TemporaryDirectory() as folder:

        def run_again(found: re.Match[str]) -> str:
            for command in [*(found[3].split(" && ") if found[3] else []), found[2]]:
                output = _run(command, Path(folder))
            return found[1] + output + found[5]

        return _OUTPUT.sub(run_again, text)


def _run(command: str, folder: Path) -> str:
    """Run an `asl-edge` command in a folder and return its standard output, without spaces at the ends of lines."""
    program, *words = shlex.split(command)
    if program != "asl-edge":
        raise ValueError(f"Only asl-edge commands can be shown. Received: {command}")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "110"}
    done = subprocess.run(
        [sys.executable, "-m", "asl_edge", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def main() -> None:
    """Write everything."""
    from asl_edge.imaging.preprocess import opencv

    atomic.write_text(CLI_PAGE, cli_page())
    atomic.write_bytes(PREDICTION_IMAGE, opencv().imencode(".png", prediction_image())[1].tobytes())
    atomic.write_bytes(LIVE_IMAGE, opencv().imencode(".png", live_image())[1].tobytes())
    for page in pages_with_output():
        atomic.write_text(page, with_output(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
