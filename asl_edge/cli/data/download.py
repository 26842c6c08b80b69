"""`asl-edge data download`: Kaggle's set of hands."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer


def download(
    to: Path = typer.Option(..., "--to", help="Folder to make.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Download Kaggle's asl-alphabet (87,000 images of 29 classes, 1.1 GB) through kagglehub."""
    from asl_edge.cli.output import console
    from asl_edge.data.download import DATASET
    from asl_edge.data.download import download as run

    folder = run(to)
    if as_json:
        console.print_json({"dataset": DATASET, "folder": str(folder)})
    else:
        console.out.print(f"Kaggle's {DATASET} lies in {folder}.", markup=False)
    arrays = to.resolve().name + "-arrays"
    console.print_next(shlex.join(["asl-edge", "data", "prepare", str(folder), "--out", arrays]))
