"""`asl-edge data download`: Kaggle's data set of hands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from asl_edge.cli.options import AsJson


def download(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Folder to make.")],
    as_json: AsJson = False,
) -> None:
    """Download Kaggle's asl-alphabet data set (1.1 GB).

    It holds 87,000 images of 29 classes. Needs the extra `download`.
    """
    from asl_edge.cli.output import console
    from asl_edge.data.download import DATASET
    from asl_edge.data.download import download as run

    folder = run(to)
    if as_json:
        console.print_json({"dataset": DATASET, "folder": str(folder)})
    else:
        console.out.print(f"Kaggle's {DATASET} is in {folder}.", markup=False)
    arrays = to.resolve().name + "-arrays"
    console.print_next(shlex.join(["asl-edge", "data", "prepare", str(folder), "--out", arrays]))
