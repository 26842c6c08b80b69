"""The command `asl-edge`, also `python -m asl_edge`: Ctrl-C ends it without a traceback, from the first import on."""

from __future__ import annotations

import sys

_STOPPED_CODE = 130  # what shells report for a command ended by Ctrl-C


def command() -> None:
    """Import the command line and run it, as `asl_edge.cli.command` does."""
    try:
        from asl_edge.cli import command as run  # which takes most of the time until a command begins

        run()
    except KeyboardInterrupt:
        sys.exit(_STOPPED_CODE)


if __name__ == "__main__":
    command()
