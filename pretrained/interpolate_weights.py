"""Interpolate between the weights of a run and of the model that it started from.

    python -m pretrained.interpolate_weights BEFORE AFTER ARRAYS --out RUN [--share 0.75] [--epoch best|last]
        [--images 2048]

BEFORE and AFTER are run folders, `.keras` files in them (RUN/checkpoints/*.keras) or, for BEFORE, an exported `.onnx`
file or `pretrained`, as training starts from it. The weights are `share` of AFTER's and the rest of BEFORE's
(Wortsman et al., "Robust fine-tuning of zero-shot models", 2022); a share of 1 leaves AFTER's weights as they are.
Batch normalisation gets the mean and variance of its inputs in the new network, layer by layer, over training images of
ARRAYS without augmentation. The zoom pass is fitted as at the end of a training. RUN is AFTER's folder with those
weights; its config.json says so.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asl_edge.data.arrays import PreparedArrays
from asl_edge.files import atomic
from benchmarks.harness.report import argument_parser

Epoch = Literal["best", "last"]

_BATCH = 256
_CHECKPOINT = re.compile(r"weights\.(\d+)-.+\.keras")


def interpolate(
    before: str, after: Path, arrays: Path, out: Path, *, share: float = 0.75, epoch: Epoch = "best", images: int = 2048
) -> None:
    """Write a run folder whose weights lie between those of two models.

    Args:
        before: a run folder, a `.keras` or an `.onnx` file, or `pretrained`.
        after: a run folder or a `.keras` file in one.
        arrays: prepared arrays, whose training images give the statistics of batch normalisation.
        out: the run folder to write; replaced where it exists.
        share: of the weights of `after`.
        epoch: which epoch of the run folder `after` is meant: the best by its validation, or the last.
        images: how many training images.

    Raises:
        ModelError, RunError: a model is missing or damaged.
    """
    from asl_edge.training.zoom_fitting import fit_zoom, write_zoom

    prepared = PreparedArrays.open(arrays)
    after_file = last_checkpoint(after) if epoch == "last" and after.is_dir() else after
    network = load_network(str(after_file), prepared)
    pairs = zip(load_network(before, prepared).get_weights(), network.get_weights(), strict=True)
    network.set_weights([(1 - share) * one + share * other for one, other in pairs])
    count = len(prepared.split("train").labels)
    rows = np.sort(np.random.default_rng(0).choice(count, min(images, count), replace=False))
    estimate_batch_statistics(network, prepared.rgb("train", rows))
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    left_out = shutil.ignore_patterns("checkpoints", "evaluation", ".lock", "model.*", "results.json", "zoom.json")
    shutil.copytree(after if after.is_dir() else after.parent.parent, partial, ignore=left_out)
    network.save(partial / "best.keras")
    config = json.loads((partial / "config.json").read_text())
    config["interpolated"] = {
        "before": Path(before).name,
        "after": described(after_file),
        "share_of_after": share,
        "images_for_batch_normalisation": len(rows),
    }
    atomic.write_json(partial / "config.json", config)
    zoom = fit_zoom(network, prepared, config["seed"])
    write_zoom(partial, zoom)
    print("no zoom pass" if zoom is None else zoom.describe())
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def load_network(model: str, arrays: PreparedArrays) -> Any:
    """Return the network of a run's best epoch, of a `.keras` file, of an exported file or of the pretrained model.

    An exported file holds no statistics of batch normalisation; they are estimated from some training images.
    """
    from asl_edge.runtime.pretrained import names_pretrained
    from asl_edge.training import networks
    from asl_edge.training.pretrained.load import transfer_weights
    from asl_edge.training.pretrained.source import open_pretrained
    from asl_edge.training.runs.folder import RunFolder

    path = Path(model)
    if names_pretrained(model) or path.suffix == ".onnx":
        source = open_pretrained(model)
        network = networks.build(source.network, len(arrays.classes), arrays.input_size)
        transfer_weights(network, source, arrays)
        return network
    run = RunFolder.open(path if path.is_dir() else path.parent.parent)  # makes the layers known to Keras
    if path.is_dir():
        return run.load_model()
    import keras

    return keras.models.load_model(path, compile=False)


def last_checkpoint(run: Path) -> Path:
    """Return the checkpoint of a run's last epoch.

    Raises:
        FileNotFoundError: there is none.
    """
    checkpoints = {
        int(match[1]): path
        for path in (run / "checkpoints").glob("*.keras")
        if (match := _CHECKPOINT.fullmatch(path.name))
    }
    if not checkpoints:
        raise FileNotFoundError(f"{run} has no checkpoints. Train it again.")
    return checkpoints[max(checkpoints)]


def described(path: Path) -> str:
    """Return the name of a run, with that of its checkpoint if one is meant."""
    return path.name if path.is_dir() else f"{path.parent.parent.name}/{path.stem}"


def estimate_batch_statistics(network: Any, images: npt.NDArray[np.uint8]) -> None:
    """Give each batch normalisation, in order, the mean and variance of its inputs.

    Args:
        network: changed in place.
        images: uint8 (N, S, S, 3), RGB.
    """
    import keras

    for layer in network.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        inputs = keras.Model(network.inputs, layer.input)
        total: Any = 0.0
        square: Any = 0.0
        count = 0
        for start in range(0, len(images), _BATCH):
            values = np.asarray(inputs([images[start : start + _BATCH]], training=False), np.float64)
            values = values.reshape(-1, values.shape[-1])
            total, square, count = total + values.sum(axis=0), square + (values**2).sum(axis=0), count + len(values)
        mean = total / count
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(square / count - mean**2, 0.0))


def main() -> None:
    """Interpolate and write."""
    parser = argument_parser(__doc__)
    parser.add_argument("before")
    parser.add_argument("after", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.75)
    parser.add_argument("--epoch", choices=("best", "last"), default="best", help="of the run folder AFTER")
    parser.add_argument("--images", type=int, default=2048)
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error("--share must be between 0 and 1")
    interpolate(
        options.before, options.after, options.arrays, options.out,
        share=options.share, epoch=options.epoch, images=options.images,
    )  # fmt: skip


if __name__ == "__main__":
    main()
