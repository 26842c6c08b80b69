"""The command line: one small file a command that parses, makes one library call and prints."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

import typer
from typer.core import TyperCommand

from asl_edge.errors import AslEdgeError

if TYPE_CHECKING:
    from typing import NoReturn, TypeGuard

# name of the command -> (module, function); "data prepare" stands in the group `data`. "runs" is a command of its own,
# so "runs compare" is only built when it is asked for.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("asl_edge.cli.demo", "demo"),
    "data prepare": ("asl_edge.cli.data.prepare", "prepare"),
    "data capture": ("asl_edge.cli.data.capture", "capture"),
    "data synthesize": ("asl_edge.cli.data.synthesize", "synthesize"),
    "data download": ("asl_edge.cli.data.download", "download"),
    "train": ("asl_edge.cli.train", "train"),
    "evaluate": ("asl_edge.cli.evaluate", "evaluate"),
    "export": ("asl_edge.cli.export", "export"),
    "calibrate": ("asl_edge.cli.calibrate", "calibrate"),
    "verify": ("asl_edge.cli.verify", "verify"),
    "predict": ("asl_edge.cli.predict", "predict"),
    "adapt": ("asl_edge.cli.adapt", "adapt"),
    "model-card": ("asl_edge.cli.model_card", "model_card"),
    "runs": ("asl_edge.cli.runs", "runs"),
    "runs compare": ("asl_edge.cli.runs_compare", "compare"),
    "tune": ("asl_edge.cli.tune", "tune"),
    "benchmark": ("asl_edge.cli.benchmark", "benchmark"),
    "doctor": ("asl_edge.cli.doctor", "doctor"),
}
_STOPPED_CODE = 130  # what shells report for a command ended by Ctrl-C
GROUPS = {"data": "Prepare, capture, draw or download images of hands.", "runs": "Look at run folders."}


def build_app(only: str | None = None) -> typer.Typer:
    """Build the application; with `only`, the name of a command or group, without the others (start-up time)."""
    app = typer.Typer(
        name="asl-edge",
        help="Photographs of hands to letters of American Sign Language, on small machines.",
        no_args_is_help=True,
        add_completion=only is None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in GROUPS.items()}
    for path, (module, function) in COMMANDS.items():
        first, _, second = path.partition(" ")
        below_a_command = second and first in COMMANDS
        if only == path or (only in (None, first) and not below_a_command):
            parent, name = (groups[first], second) if second else (app, first)
            parent.command(name, cls=_Command)(getattr(import_module(module), function))
    for name, group in groups.items():
        if group.registered_commands:
            app.add_typer(group, name=name)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `asl-edge` and exit: 0 when all went well, 2 for a person's mistake, 1 for a failure, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Understood before or after the command, since a person adds it at the end of the line that has just failed.
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _shown(warnings.showwarning)
            code = _run(words)
    except AslEdgeError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        if _is_full_disk(error):
            discard(sys.stdout)
            where = f" ({error.filename})" if error.filename else ""
            _fail(f"{error.strerror}{where}: not all was written. Make room, or send the output elsewhere.", 1)
        _fail(
            f"{type(error).__name__}: {error}\nThis is a fault in asl-edge or its set-up. "
            "Run the same command with --debug for the traceback.",
            1,
        )
    sys.exit(code)


def _shown(usual: Callable[..., None]) -> Callable[..., None]:
    """Return a way to show warnings that says those of asl-edge as a command speaks, without a line of source code."""

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if category.__module__.partition(".")[0] == "asl_edge":
            typer.secho(f"Warning: {message}", err=True, fg=typer.colors.YELLOW)
        else:
            usual(message, category, *rest, **named)

    return show


def command() -> None:
    """Run `asl-edge` as the installed command does: `main`, and a quick end where waiting for one answer is all it was.

    Taking NumPy, OpenCV and ONNX Runtime apart again takes Python several times as long as an image. After `predict`
    everything is written and closed, so the process ends without it.
    """
    try:
        main()
    except SystemExit as ended:
        if sys.argv[1:2] == ["predict"] and isinstance(ended.code, int):
            _leave(ended.code)
        raise


def _leave(code: int) -> None:
    """End the process at once, unless something is still to be done."""
    import threading

    if threading.active_count() > 1:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError, AttributeError):  # full, closed or not there: Python has words for it
        return
    os._exit(code)


def discard(stream: TextIO) -> None:
    """Let all that is still written to `stream` go nowhere, so that nothing fails when Python flushes it at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no file of the system's, as in a notebook
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Stopped(BaseException):
    """Ctrl-C within a command, by a name that Typer does not know: it would end with 130 without a word."""


class _Command(TyperCommand):
    """A command whose Ctrl-C is heard of, and whose help flows at any width."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped from error

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # Typer keeps the line ends of all paragraphs but the first.
        self.help = re.sub(r"(?<!\n)\n(?![\n \-*])", " ", inspect.cleandoc(self.help or ""))
        option: Any
        for option in self.params:
            shown = getattr(option, "show_default", None)
            if isinstance(shown, str):  # Typer would put it into brackets: [default: (all)]
                option._get_default_string = lambda shown=shown, **_: shown
        super().format_help(ctx, formatter)


def _run(words: list[str]) -> Any:
    """Run the command and return its exit code.

    Raises:
        AslEdgeError, OSError: whatever the command raises, or what it printed cannot be written.
    """
    first = words[0] if words else None
    known = [path for path in (" ".join(words[:2]), first) if path in COMMANDS or path in GROUPS]
    try:
        build_app(known[0] if known else None)(words, prog_name="asl-edge")
        code: Any = 0  # not reached: Typer always exits
    except SystemExit as ended:
        # Whoever read our lines has had enough (`| head`); Typer and rich make a failure of it.
        code = 0 if isinstance(ended.__context__, BrokenPipeError) else ended.code
    except (KeyboardInterrupt, _Stopped):
        code = _STOPPED_CODE
        if first != "predict":  # which has said what stands
            sys.stderr.write("Stopped. No file was left half-written; run the command again.\n")
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
    return code


def _is_full_disk(error: Exception) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def _fail(message: str, exit_code: int) -> NoReturn:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]Error:[/] {escape(message)}")
    sys.exit(exit_code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from asl_edge import __version__

        typer.echo(f"asl-edge {__version__}")
        raise typer.Exit


def _global_options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback when something fails."),
) -> None:
    pass
