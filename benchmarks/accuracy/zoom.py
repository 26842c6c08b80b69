"""What a second look gains for a network that a person trained: the model in the box, fine-tuned to strangers' hands.

    python benchmarks/zoom.py DATA

Every other image of `dev-wall` trains (`asl-edge train --from-pretrained`); the hands of the others are cut out and
put before grey and before rooms as `hand_size.py` does it, and read at one look and at two. Training fits the second
look to its own images and decides whether to keep it. Writes results/second-look.md and .json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from adaptation import fine_tuned, part
from hand_size import corners, cut_out, measure, table
from machine import describe_machine, machine_line

from asl_edge.export.export import export_run
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        part(options.data / "dev-wall", folder, "turns", 10)
        seconds = fine_tuned(None, folder)["seconds"]
        own = export_run(folder / "run", folder / "own.onnx").model_path
        decided = json.loads((folder / "run" / "results.json").read_text()).get("zoom")
        hands, rooms = cut_out(folder / "test"), corners(options.data / "dev-rooms")
        rows = {name: at_both(model, hands, rooms) for name, model in (("box", pretrained_model()), ("own", own))}
    machine = describe_machine()
    values = {"rows": rows, "decided": decided, "seconds": seconds, "machine": machine}
    (RESULTS / "second-look.json").write_text(json.dumps(values, indent=1) + "\n")
    lines = [
        "# A second look for a network that a person trained", "",
        f"{len(hands)} hands of `dev-wall`, none of them in training, cut out and put before grey and before the "
        "corners of `dev-rooms`. 95% intervals (Wilson), as if images were independent.", "",
        "## The model in the box, fine-tuned to the other half of `dev-wall`", "",
        *table(rows["own"]), "",
        f"Training took {seconds:.0f} s. It decided by {said(decided)}", "",
        "## The model in the box, as it is", "", *table(rows["box"]), "", machine_line(machine), "",
    ]  # fmt: skip
    (RESULTS / "second-look.md").write_text("\n".join(lines))
    print("\n".join(lines))


def at_both(model: Path, hands: Any, rooms: Any) -> list[dict[str, Any]]:
    """Return the rows of one look and, where the model takes one, of two."""
    rows = []
    for zoom in (False, True):
        with Predictor(model, provider="cpu", batch_size=32, zoom=zoom) as predictor:
            if not zoom or predictor.zoom is not None:
                rows += measure(predictor, hands, rooms)
    return sorted(rows, key=lambda row: (-row["span"], row["before"], row["looks"]))


def said(decided: dict[str, Any] | None) -> str:
    """Return what the training found, in a sentence's end."""
    if decided is None:
        return "nothing: it has too few images."
    one, two, count = (decided[name] for name in ("small_at_one", "small_at_two", "images"))
    kept = "kept it" if decided["kept"] else "did not keep it"
    return f"validation images made smaller, {one} of {count} read rightly at one look and {two} at two, and {kept}."


if __name__ == "__main__":
    main()
