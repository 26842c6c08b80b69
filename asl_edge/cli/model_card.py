"""`asl-edge model-card`: what an exported model says of itself."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def model_card(
    model: Path = typer.Argument(
        None, metavar="MODEL", help="An exported .onnx file.", show_default="the model in the box"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the whole spec as JSON."),
) -> None:
    """Print a model's card: what it was trained on, how well it reads whom, when it says "not sure", its limits."""
    import json

    from asl_edge.cli.output.console import out, print_json
    from asl_edge.runtime.bundle.detection import is_bundle
    from asl_edge.runtime.bundle.reader import Bundle
    from asl_edge.runtime.model_card import card
    from asl_edge.runtime.model_loading import find_model
    from asl_edge.runtime.onnx_file.metadata import read_metadata, read_spec
    from asl_edge.runtime.pretrained import resolve
    from asl_edge.spec import CARD_KEY

    path = Path(resolve(model))
    if is_bundle(path):
        bundle = Bundle(path)
        spec = find_model(path).spec
        written: str | None = bundle.read("MODEL_CARD.md").decode("utf-8", errors="replace")
    else:
        spec = read_spec(path)
        written = read_metadata(path).get(CARD_KEY)
    if as_json:
        print_json({"model": str(path), "spec": json.loads(spec.to_json()), "card": written})
        return
    text = card(spec, path.name, written)
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        out.print(Markdown(text))
    else:
        typer.echo(text)
