"""The command line: one small file per command, which parses, makes one library call and prints."""

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
from typing import TYPE_CHECKING, Annotated, Any, TextIO, get_type_hints

import typer
from typer.core import TyperCommand

from asl_edge.cli.options import EARLIER_FLAGS, HAND_MODEL, SAVE, with_files_saved, with_hand_model_named
from asl_edge.errors import AslEdgeError

if TYPE_CHECKING:
    from typing import NoReturn, TypeGuard

# Command -> (module, function); "data prepare" is in the group `data`. "runs" is itself a command, so "runs compare" is
# only built when it is asked for.
COMMANDS: dict[str, tuple[str, str]] = {
    "predict": ("asl_edge.cli.predict", "predict"),
    "live": ("asl_edge.cli.live.live", "live"),
    "serve": ("asl_edge.cli.serve", "serve"),
    "demo": ("asl_edge.cli.demo", "demo"),
    "doctor": ("asl_edge.cli.doctor", "doctor"),
    "data prepare": ("asl_edge.cli.data.prepare", "prepare"),
    "data capture": ("asl_edge.cli.data.capture", "capture"),
    "data synthesize": ("asl_edge.cli.data.synthesize", "synthesize"),
    "data download": ("asl_edge.cli.data.download", "download"),
    "data hand-model": ("asl_edge.cli.data.hand_model", "hand_model"),
    "train": ("asl_edge.cli.train", "train"),
    "evaluate": ("asl_edge.cli.evaluate", "evaluate"),
    "calibrate": ("asl_edge.cli.calibrate", "calibrate"),
    "export": ("asl_edge.cli.export", "export"),
    "runs": ("asl_edge.cli.runs", "runs"),
    "runs compare": ("asl_edge.cli.runs_compare", "compare"),
    "adapt": ("asl_edge.cli.adapt", "adapt"),
    "verify": ("asl_edge.cli.verification.verify", "verify"),
    "sign": ("asl_edge.cli.verification.sign", "sign"),
    "benchmark": ("asl_edge.cli.benchmark", "benchmark"),
    "tune": ("asl_edge.cli.tune", "tune"),
    "model-card": ("asl_edge.cli.model_card", "model_card"),
}
GROUPS = {
    "data": "Prepare, capture, synthesize or download images of hands; fetch the hand model.",
    "runs": "List and compare run folders.",
}
_PANELS = {  # of `asl-edge --help`
    "Get started": ("predict", "live", "demo", "doctor"),
    "Make a model": ("data", "train", "evaluate", "calibrate", "export", "runs"),
    "Use a model": ("serve", "adapt", "verify", "sign", "benchmark", "tune", "model-card"),
}
_LONGEST = 500  # characters of a library's own message
_SCREEN_LINES, _SCREEN_CHARACTERS = 20, 1600
_STOPPED_CODE = 130  # what shells report for a command ended by Ctrl-C


def build_app(only: str | None = None) -> typer.Typer:
    """Build the application; with `only`, the name of a command or group, without the others (start-up time)."""
    app = typer.Typer(
        name="asl-edge",
        help="Recognise the American Sign Language alphabet in images of hands, on small machines.",
        no_args_is_help=True,
        add_completion=only is None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    panels = {name: panel for panel, names in _PANELS.items() for name in names}
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in GROUPS.items()}
    for path, (module, function) in COMMANDS.items():
        first, _, second = path.partition(" ")
        below_a_command = second and first in COMMANDS
        if only == path or (only in (None, first) and not below_a_command):
            parent, name, panel = (groups[first], second, None) if second else (app, first, panels[first])
            parent.command(name, cls=_Command, rich_help_panel=panel)(
                _resolved(getattr(import_module(module), function))
            )
    for name, group in groups.items():
        if group.registered_commands:
            app.add_typer(group, name=name, rich_help_panel=panels[name])
    return app


def _resolved(function: Callable[..., None]) -> Callable[..., None]:
    """Evaluate the annotations of a command's function once; Typer would evaluate their text twice."""
    function.__annotations__ = get_type_hints(function, include_extras=True)
    return function


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `asl-edge` and exit: 0 for success, 1 for a failure, 2 for a usage error, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Accepted before and after the command: people add it to the end of the line that has just failed.
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    _choose_encoding()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _shown(warnings.showwarning)
            code = _run(words)
    except AslEdgeError as error:
        if debug:
            raise
        _fail(_on_one_screen(str(error)), error.exit_code)
    except Exception as error:
        if debug:
            raise
        if _is_full_disk(error):
            discard(sys.stdout)
        _fail(_explained(error), 1)
    sys.exit(code)


def _choose_encoding() -> None:
    """Write UTF-8 where the locale is ASCII, and file names as they are, even those that are not valid text."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if not hasattr(stream, "reconfigure"):  # replaced by a test or a notebook, or missing
            continue
        if (stream.encoding or "").replace("-", "").lower() in ("ascii", "usascii", "ansi_x3.41968"):
            stream.reconfigure(encoding="utf-8", errors=errors)
        elif stream is sys.stdout:
            stream.reconfigure(errors="backslashreplace")


def _explained(error: Exception) -> str:
    """Return what to print for an exception that no command has explained.

    Only what the machine, its disks and its packages cannot have caused is called a bug.
    """
    from asl_edge.process.printable import first_line
    from asl_edge.process.shared_libraries import remedy_for

    reason = first_line(error, _LONGEST)
    again = "Run the same command with --debug to see the traceback."
    if _is_full_disk(error):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}: the output is incomplete. Free some space, or write to another disk."
    if isinstance(error, MemoryError):
        return f"Memory ran out ({reason}). Close other programs, or choose less at once. {again}"
    if isinstance(error, OSError) and error.errno is not None:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or type(error).__name__}{where}. The system refused it. {again}"
    if isinstance(error, ImportError):
        remedy = remedy_for(str(error)) or "Install asl-edge again, in an environment of its own."
        return f"A package cannot be imported ({reason}). {remedy} {again}"
    return f"{type(error).__name__}: {reason}\nThis is a bug in asl-edge or a broken installation. {again}"


def _on_one_screen(message: str) -> str:
    """Return a message that is no longer than a screen; libraries put whole graphs and configurations into theirs."""
    lines = message.splitlines()
    if len(lines) <= _SCREEN_LINES and len(message) <= _SCREEN_CHARACTERS:
        return message
    kept = "\n".join(lines[:_SCREEN_LINES])[:_SCREEN_CHARACTERS]
    return f"{kept}...\nThe message is longer; --debug shows all of it."


def _shown(usual: Callable[..., None]) -> Callable[..., None]:
    """Return a `warnings.showwarning` that prints asl-edge's own warnings without their line of source code."""

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if category.__module__.partition(".")[0] == "asl_edge":
            from asl_edge.process.printable import printable

            typer.secho(f"Warning: {printable(str(message))}", err=True, fg=typer.colors.YELLOW)
        else:
            usual(message, category, *rest, **named)

    return show


def command() -> None:
    """Run `asl-edge` as the installed command does: `main`, and after `predict` a quick exit.

    Python needs several times as long to unload NumPy, OpenCV and ONNX Runtime as to classify an image. After
    `predict` everything is written and closed, so the process ends without unloading them.
    """
    if sys.flags.optimize > 1 and _asks_for_help(sys.argv[1:]):
        _restart_with_docstrings()
    try:
        main()
    except SystemExit as ended:
        if sys.argv[1:2] == ["predict"] and isinstance(ended.code, int):
            _leave(ended.code)
        raise


def _asks_for_help(words: list[str]) -> bool:
    return not words or words in (["data"], ["runs"]) or "--help" in words or "-h" in words


def _restart_with_docstrings() -> NoReturn:
    """Run the same command in a Python that keeps docstrings, which are the help: PYTHONOPTIMIZE=2 removes them."""
    import subprocess

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"}
    sys.exit(subprocess.call([sys.executable, "-m", "asl_edge", *sys.argv[1:]], env=environment))


def _leave(code: int) -> None:
    """End the process at once, unless another thread is still running or output cannot be flushed."""
    import threading

    if threading.active_count() > 1:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError, AttributeError):  # full, closed or missing: Python reports it as it exits
        return
    os._exit(code)


def discard(stream: TextIO) -> None:
    """Send the rest of `stream` to the null device, so that nothing fails when Python flushes it on exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it has no file descriptor, as in a notebook
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Stopped(BaseException):
    """Ctrl-C within a command, as a type that Typer does not know: Typer would exit with 130 and print nothing."""


class _Command(TyperCommand):
    """A command that reports Ctrl-C, accepts earlier flags, and shows help of any width with examples at its end.

    The examples are the lines under `Examples:` in the docstring of the command's function.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        text, _, examples = inspect.cleandoc(self.help or "").partition("\n\nExamples:\n")
        # Typer keeps the line ends of all paragraphs but the first.
        self.help = re.sub(r"(?<!\n)\n(?![\n \-*])", " ", text)
        self.epilog = inspect.cleandoc(examples) or None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Stopped from error

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        flags = {flag for option in self.params for flag in (*option.opts, *option.secondary_opts)}
        earlier = {old: new for old, new in EARLIER_FLAGS.items() if new in flags}
        paths = {flag for option in self.params if _takes_path(option) for flag in option.opts}
        args = [_home_expanded(_renamed(word, earlier), paths) for word in args]
        args = with_files_saved(args) if SAVE in flags else args
        return super().parse_args(ctx, with_hand_model_named(args) if HAND_MODEL in flags else args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        option: Any
        for option in self.params:
            shown = getattr(option, "show_default", None)
            if isinstance(shown, str):  # Typer would put it into brackets: [default: (all)]
                option._get_default_string = lambda shown=shown, **_: shown
            elif option.default is None:  # releases of Typer before 0.16 list it: [default: None]
                option.show_default = False
        examples, self.epilog = self.epilog, None  # releases of Typer differ in where they break its lines
        super().format_help(ctx, formatter)
        self.epilog = examples
        if examples:
            typer.secho(" Examples:", bold=True)
            typer.echo("".join(f"   {line}\n" for line in examples.splitlines()))


def _renamed(word: str, earlier: dict[str, str]) -> str:
    """Return a word of a command with today's name of its flag, also in `--flag=value`."""
    flag, equals, value = word.partition("=")
    return f"{earlier.get(flag, flag)}{equals}{value}"


def _takes_path(option: Any) -> bool:
    """Whether an option names a file or folder; that of a source may also be a name."""
    return option.type.name in ("path", "file", "directory") or option.metavar == "SOURCE"


def _home_expanded(word: str, path_flags: set[str]) -> str:
    """Expand the tilde in `--out=~/x`, as shells do in `--out ~/x`; without a home it stays, as there."""
    flag, equals, value = word.partition("=")
    if equals and flag in path_flags and value.startswith("~"):
        return f"{flag}={os.path.expanduser(value)}"  # noqa: PTH111 - Path.expanduser raises without a home
    return word


def _run(words: list[str]) -> Any:
    """Run the command and return its exit code.

    Raises:
        AslEdgeError: raised by the command.
        OSError: raised by the command, or its output cannot be written.
    """
    first = words[0] if words else None
    known = [path for path in (" ".join(words[:2]), first) if path in COMMANDS or path in GROUPS]
    try:
        build_app(known[0] if known else None)(words, prog_name="asl-edge")
        code: Any = 0  # not reached: Typer always exits
    except SystemExit as ended:
        # The reader has closed the pipe (`| head`); Typer and rich treat that as a failure.
        code = 0 if isinstance(ended.__context__, BrokenPipeError) else ended.code
    except (KeyboardInterrupt, _Stopped):
        code = _STOPPED_CODE
        if first != "predict":  # every line that it has printed is complete
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

    from asl_edge.process.printable import printable

    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]Error:[/] {escape(printable(message))}")
    sys.exit(exit_code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from asl_edge import __version__

        typer.echo(f"asl-edge {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback when a command fails.")] = False,
) -> None:
    pass
