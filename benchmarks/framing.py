"""Fit how large a hand is in the picture from a network's features, for the second look (`asl_edge.runtime.framing`).

    python benchmarks/framing.py RUN DATA ARRAYS [--pictures 6000] [--margin 1.3] [--limit 0.75] [--share 0.5]

RUN is a run of a network whose features are a mean over its last maps; DATA and ARRAYS are as `composites.py` takes
them. Hands cut out of training pictures, and drawn ones, are put before other backgrounds so that their size is known;
a ridge regression gives the logarithm of it from the roots of the features. Every fifth picture tests it. Writes
RUN/framing.json, which `asl-edge export` takes into the model.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import composites
import numpy as np
from sklearn.linear_model import RidgeCV

from asl_edge import atomic
from asl_edge.preprocess import to_square
from asl_edge.runtime.framing import Framing
from asl_edge.runtime.predictor import Predictor

SPANS = (0.25, 1.2)
A_CLASS = 14


def main() -> None:
    """Draw, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--margin", type=float, default=1.3)
    parser.add_argument("--limit", type=float, default=0.75)
    parser.add_argument("--share", type=float, default=0.5)
    options = parser.parse_args()
    pictures, spans = examples(options.data, options.arrays, options.pictures)
    features = features_of(options.run, pictures)
    logs, test = np.log(spans), np.arange(len(spans)) % 5 == 0
    ridge = RidgeCV(np.logspace(-2, 4, 13)).fit(features[~test], logs[~test])
    off = float(np.std(ridge.predict(features[test]) - logs[test]))
    print(f"span known to a factor of {np.exp(off):.2f} (one deviation; a guess: {np.exp(logs[test].std()):.2f})")
    weights = tuple(round(float(value), 5) for value in ridge.coef_)
    framing = Framing(weights, round(float(ridge.intercept_), 5), options.margin, options.limit, options.share)
    said = framing.to_dict() | {"deviation_of_log": round(off, 4), "fitted_on": f"{int((~test).sum())} composites"}
    atomic.write_text(options.run / "framing.json", json.dumps(said) + "\n")


def examples(data: Path, arrays: Path, count: int) -> tuple[composites.Picture, np.ndarray]:
    """Return uint8 (N, S, S, 3) pictures and the share of the side that the hand in each spans, (N,)."""
    found = composites.training_pictures(arrays)
    chosen = random.Random(1)
    some = {
        key: pictures if key[1] == "nothing" else chosen.sample(pictures, min(len(pictures), A_CLASS))
        for key, pictures in found.items()
    }
    hands = composites.readable([*composites.real_hands(data, some), *composites.drawn_hands(25, 5)])
    places = composites.backgrounds(found, hands, 1)
    rng = np.random.default_rng(1)
    spans = np.exp(rng.uniform(*np.log(SPANS), count))
    pictures = [
        composites.put(hands[int(rng.integers(len(hands)))][2], composites.background(rng, places), rng, (span, span))
        for span in spans
    ]
    return np.stack(pictures), spans


def features_of(run: Path, pictures: composites.Picture) -> np.ndarray:
    """Return the roots of a run's features, (N, F)."""
    from asl_edge.export.exporter import export_run

    with tempfile.TemporaryDirectory() as work:
        exported = Path(work) / "model.onnx"
        export_run(run, exported, precision="fp32")
        with Predictor(exported, provider="cpu", batch_size=32, framing=False) as predictor:
            size = predictor.spec.input_size
            parts = [
                predictor.probabilities_and_features(
                    np.stack([to_square(picture, size) for picture in pictures[at : at + 32]])
                )[1]
                for at in range(0, len(pictures), 32)
            ]
    return np.sqrt(np.maximum(np.concatenate(parts), 0))


if __name__ == "__main__":
    main()
