"""The command line: one small file a command that parses, makes one library call and prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from asl_edge.errors import AslEdgeError

# name of the command -> (module, function); "data prepare" stands in the group `data`. "runs" is a command of its own,
# so "runs compare" is only built when it is asked for.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("asl_edge.cli.demo", "demo"),
    "data prepare": ("asl_edge.cli.data_prepare", "prepare"),
    "data synthesize": ("asl_edge.cli.data_synthesize", "synthesize"),
    "data download": ("asl_edge.cli.data_download", "download"),
    "train": ("asl_edge.cli.train", "train"),
    "evaluate": ("asl_edge.cli.evaluate", "evaluate"),
    "export": ("asl_edge.cli.export", "export"),
    "verify": ("asl_edge.cli.verify", "verify"),
    "predict": ("asl_edge.cli.predict", "predict"),
    "runs": ("asl_edge.cli.runs", "runs"),
    "runs compare": ("asl_edge.cli.runs_compare", "compare"),
    "benchmark": ("asl_edge.cli.benchmark", "benchmark"),
    "doctor": ("asl_edge.cli.doctor", "doctor"),
}
_STOPPED = 130  # what shells report for a command ended by Ctrl-C
GROUPS = {"data": "Prepare, draw or download pictures of hands.", "runs": "Look at run folders."}


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
            parent.command(name)(getattr(import_module(module), function))
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
    first = words[0] if words else None
    known = [path for path in (" ".join(words[:2]), first) if path in COMMANDS or path in GROUPS]
    try:
        build_app(known[0] if known else None)(words, prog_name="asl-edge")
    except AslEdgeError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except SystemExit as ended:
        # Typer makes 130 of Ctrl-C without a word; `train` and `predict` have said what stands.
        if ended.code == _STOPPED and first not in ("train", "predict"):
            sys.stderr.write("Stopped. No file was left half-written; run the command again.\n")
        raise
    except Exception as error:
        if debug:
            raise
        _fail(
            f"{type(error).__name__}: {error}\nThis is a fault in asl-edge or its set-up. "
            "Run the same command with --debug for the traceback.",
            1,
        )


def _fail(message: str, exit_code: int) -> None:
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
