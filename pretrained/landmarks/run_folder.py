"""Make a run folder from a landmark-supervised training, to be exported and released.

    python -m pretrained.landmarks.run_folder WEIGHTS ARRAYS --out RUN [--appearance]

WEIGHTS is the `average.weights.h5` of a training, or a file that `network.weights_file` made of it. RUN is one of
`alexnet-edge-8-landmarks`, which classifies by appearance and points and finds the hand by its landmarks. With
`--appearance` it is one of the plain `alexnet-edge-8`: its body and appearance head learnt from the landmarks and do
without the decoder. ARRAYS are prepared arrays, on whose images the zoom pass is fitted or tried. RUN can be exported
(`pretrained.landmarks.release_candidate`), and a plain one interpolated with the pretrained model
(`pretrained.interpolate_weights pretrained RUN ARRAYS --share 0.75 --out OTHER`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from asl_edge.data.arrays import PreparedArrays
from asl_edge.errors import DataError
from asl_edge.files import atomic
from asl_edge.labels import CLASSES
from benchmarks.harness.report import argument_parser
from pretrained.train_stage import RECIPE


def write_run(weights: Path, arrays: Path, out: Path, *, appearance: bool = False) -> None:
    """Write the run folder; one that exists is replaced.

    Args:
        weights: averaged weights of a landmark-supervised training.
        arrays: prepared arrays with all classes.
        out: the run folder to write.
        appearance: whether the network is the plain `alexnet-edge-8`.

    Raises:
        DataError: the arrays lack classes.
    """
    from asl_edge.training import recipes
    from asl_edge.training.loop.train import train
    from asl_edge.training.zoom_fitting import fit_zoom, write_zoom
    from pretrained.landmarks.network.architecture import appearance_only, build, fused_only
    from pretrained.landmarks.network.weights_file import read_weights

    prepared = PreparedArrays.open(arrays)
    if tuple(prepared.classes) != CLASSES:
        raise DataError(f"{arrays} lacks classes: it has {', '.join(prepared.classes)}.")
    network = build(input_size=prepared.input_size)
    read_weights(network, weights)
    plain = appearance_only(network) if appearance else fused_only(network)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    # A run of one step has everything that belongs to a run folder; its weights are replaced.
    config = recipes.get(RECIPE, network=plain.name, epochs=1, steps_per_epoch=1, zoom=False)
    train(config, prepared, partial)
    plain.save(partial / "best.keras")
    shutil.rmtree(partial / "checkpoints", ignore_errors=True)
    stored = json.loads((partial / "config.json").read_text())
    settings = weights.parent / "settings.json"  # beside those of a run, not beside a file to continue from
    known = json.loads(settings.read_text()) if settings.is_file() else {}
    stored["landmark_supervised"] = {"weights": f"{weights.parent.name}/{weights.name}", "settings": known}
    atomic.write_json(partial / "config.json", stored)
    zoom = fit_zoom(plain, prepared, stored["seed"])
    write_zoom(partial, zoom)
    print("no zoom pass" if zoom is None else zoom.describe(), flush=True)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def main() -> None:
    """Write a run folder."""
    parser = argument_parser(__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--appearance", action="store_true", help="the plain alexnet-edge-8")
    options = parser.parse_args()
    write_run(options.weights, options.arrays, options.out, appearance=options.appearance)


if __name__ == "__main__":
    main()
