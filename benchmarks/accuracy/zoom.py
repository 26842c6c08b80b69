"""What the zoom pass gains for a user's own network: the pretrained model, fine-tuned to unseen signers.

    python -m benchmarks.accuracy.zoom DATA

Every other image of `dev-wall` trains (`asl-edge train --from-pretrained`); the hands of the others are cut out and
pasted onto grey and onto rooms as `hand_size.py` does it, and classified with and without the zoom pass. Training fits
the zoom pass to its own images and decides whether to keep it. Writes results/accuracy/zoom.{json,md}.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from asl_edge.export.export import export_run
from asl_edge.runtime.pretrained import pretrained_model
from benchmarks.accuracy.adaptation import divide, fine_tuned
from benchmarks.accuracy.hand_size import corners, cut_out, table, with_and_without_zoom
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, page, write_result


def main() -> None:
    """Train, measure, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        divide(options.data / "dev-wall", folder, "alternate", 10)
        seconds = fine_tuned(None, folder)["seconds"]
        own = export_run(folder / "run", folder / "own.onnx").model_path
        decision = json.loads((folder / "run" / "results.json").read_text()).get("zoom")
        hands, rooms = cut_out(folder / "test"), corners(options.data / "dev-rooms")
        rows = {
            name: with_and_without_zoom(model, hands, rooms)
            for name, model in (("pretrained", pretrained_model()), ("own", own))
        }
    values = {"rows": rows, "decision": decision, "seconds": seconds, "machine": describe_machine()}
    write_result("accuracy/zoom", values, markdown(values))


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    own, shipped = values["rows"]["own"], values["rows"]["pretrained"]
    return page(
        "# The zoom pass of a user's own network",
        "",
        f"{own[0]['images']} hands of `dev-wall`, none of them in training, cut out and pasted onto grey and onto the "
        "corners of `dev-rooms`. Two passes: with the zoom pass. 95% intervals (Wilson), as if independent.",
        "",
        "## The pretrained model, fine-tuned to the other half of `dev-wall`",
        "",
        *table(own),
        "",
        f"Training took {values['seconds']:.0f} s. {describe_decision(values['decision'])}",
        "",
        "## The pretrained model as shipped",
        "",
        *table(shipped),
        "",
        machine_line(values["machine"]),
    )


def describe_decision(decision: dict[str, Any] | None) -> str:
    """Return what the training found, as a sentence."""
    if decision is None:
        return "It had too few images to decide about the zoom pass."
    one, two, count = (decision[name] for name in ("small_without_zoom", "small_with_zoom", "images"))
    kept = "kept it" if decision["kept"] else "did not keep it"
    return (
        f"Of {count} validation images made smaller it classified {one} correctly without the zoom pass and {two} with "
        f"it, and {kept}."
    )


if __name__ == "__main__":
    main()
