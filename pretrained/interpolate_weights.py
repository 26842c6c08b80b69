"""Average the weights of a run and of the run that it started from.

    python benchmarks/average_runs.py BEFORE AFTER ARRAYS --out RUN [--share 0.75] [--images 2048]

BEFORE and AFTER are run folders, of which the best epoch counts, or checkpoints in them (RUN/checkpoints/*.keras);
BEFORE may be `box`, the model in the box, as a training `--from-pretrained` begins with it.
The weights are `share` of AFTER's and the rest of BEFORE's (Wortsman et al., "Robust fine-tuning of zero-shot models",
2022). Batch normalisation gets the mean and variance of what it sees in the averaged network, layer by layer, over
training images of ARRAYS without augmentation. The second look is fitted as at the end of a training. RUN is AFTER's
folder with those weights; its config.json says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

_BATCH = 256


def main() -> None:
    """Average and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.75)
    parser.add_argument("--images", type=int, default=2048)
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error("--share is between 0 and 1")
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training.zoom_fitting import fit_zoom, write_zoom

    arrays = PreparedArrays.open(options.arrays)
    before = box(arrays) if str(options.before) == "box" else load(options.before)
    after = load(options.after)
    folder = options.after if options.after.is_dir() else options.after.parent.parent
    pairs = zip(before.get_weights(), after.get_weights(), strict=True)
    after.set_weights([(1 - options.share) * one + options.share * other for one, other in pairs])
    count = len(arrays.split("train").labels)
    rows = np.sort(np.random.default_rng(0).choice(count, min(options.images, count), replace=False))
    measure_batches(after, arrays.rgb("train", rows))
    shutil.copytree(
        folder,
        options.out,
        ignore=shutil.ignore_patterns("checkpoints", "evaluation", ".lock", "model.*", "results.json"),
    )
    after.save(options.out / "best.keras")
    config = json.loads((options.out / "config.json").read_text())
    config["averaged"] = {
        "before": "box" if str(options.before) == "box" else named(options.before),
        "after": named(options.after),
        "share_of_after": options.share,
        "images_for_batch_normalisation": len(rows),
    }
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (options.out / "zoom.json").unlink(missing_ok=True)  # of the network before
    found = fit_zoom(after, arrays, config["seed"])
    write_zoom(options.out, found)
    print("no second look" if found is None else found.describe())


def box(arrays: Any) -> Any:
    """Return the network of the model in the box, its batch normalisation stated by some training images."""
    from asl_edge.training import networks
    from asl_edge.training.pretrained.load import transfer_weights
    from asl_edge.training.pretrained.source import open_pretrained

    source = open_pretrained("box")
    network = networks.build(source.network, len(arrays.classes), arrays.input_size)
    transfer_weights(network, source, arrays)
    return network


def load(path: Path) -> Any:
    """Return the network of a run's best epoch, or of a checkpoint."""
    from asl_edge.training.runs.folder import RunFolder

    run = RunFolder.open(path if path.is_dir() else path.parent.parent)
    if path.is_dir():
        return run.load_model()
    import keras

    return keras.models.load_model(path, compile=False)


def named(path: Path) -> str:
    """Return the name of a run, with that of its checkpoint if one was meant."""
    return path.name if path.is_dir() else f"{path.parent.parent.name}/{path.stem}"


def measure_batches(network: Any, images: np.ndarray) -> None:
    """Give each batch normalisation the statistics of what it sees, the first one first."""
    import keras

    for layer in network.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        seen = keras.Model(network.inputs, layer.input)
        total: Any = 0.0
        square: Any = 0.0
        count = 0
        for start in range(0, len(images), _BATCH):
            values = np.asarray(seen(images[start : start + _BATCH], training=False), np.float64)
            values = values.reshape(-1, values.shape[-1])
            total, square, count = total + values.sum(axis=0), square + (values**2).sum(axis=0), count + len(values)
        mean = total / count
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(square / count - mean**2, 0.0))


if __name__ == "__main__":
    main()
