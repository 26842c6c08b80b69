"""`asl-edge model-card`: the model card that an exported model carries."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from asl_edge.cli.options import AsJson, ModelArgument


def model_card(model: ModelArgument = None, as_json: AsJson = False) -> None:
    """Print a model's card: training data, accuracy, limits.

    The card says what the model was trained on, how accurate it is for whom, and when it is "not sure". With --json,
    the whole spec of the model is printed.
    """
    import json

    from asl_edge.cli.output.console import out, print_json
    from asl_edge.process.printable import printable
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
        card_text: str | None = bundle.read("MODEL_CARD.md").decode("utf-8", errors="replace")
    else:
        spec = read_spec(path)
        card_text = read_metadata(path).get(CARD_KEY)
    if as_json:
        print_json({"model": str(path), "spec": json.loads(spec.to_json()), "card": card_text})
        return
    text = printable(card(spec, path.name, card_text))
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        out.print(Markdown(text))
    else:
        typer.echo(text)
