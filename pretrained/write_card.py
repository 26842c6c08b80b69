"""Write docs/model-card.md into the model in the box, when the card alone has changed.

    python benchmarks/write_card.py

`asl-edge export RUN` embeds the card of a run; this is for when the run is no longer at hand. Nothing else of the file
changes but where its weights begin, which stays at multiples of 64 bytes.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from asl_edge.export.graph.weight_alignment import aligned
from asl_edge.files import atomic
from asl_edge.runtime.pretrained import pretrained_model
from asl_edge.spec import CARD_KEY


def main() -> None:
    """Write."""
    model = onnx.load(pretrained_model())
    card = (Path(__file__).resolve().parents[1] / "docs" / "model-card.md").read_text(encoding="utf-8")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, metadata | {CARD_KEY: card})
    atomic.write_bytes(pretrained_model(), aligned(model.SerializeToString()))


if __name__ == "__main__":
    main()
