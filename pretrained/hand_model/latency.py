"""Measure what the hand model adds to the time of an image, on an idle machine.

    python -m pretrained.hand_model.latency HANDS IMAGE... [--model FILE.onnx] [--rounds 20]

Every image is decoded before, and classified alone and with the hand model in turns, one at a time; what is printed is
the median of each, the median over images of the ratio of both, and how many images a hand was found in.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from asl_edge.imaging.preprocess import decode, read_file
from asl_edge.runtime.machine import processor_name
from asl_edge.runtime.predictor import Predictor
from benchmarks.harness.report import argument_parser

_WARM_UP = 2


def main() -> None:
    """Measure and print."""
    parser = argument_parser(__doc__)
    parser.add_argument("hand_model", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, help="an exported file; the pretrained model without it")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    images = [decode(read_file(path)) for path in options.images]
    milliseconds = np.zeros((2, options.rounds, len(images)))
    with (
        Predictor(options.model, provider="cpu", threads=options.threads, batch_size=1) as alone,
        Predictor(
            options.model, provider="cpu", threads=options.threads, batch_size=1, hand_model=options.hand_model
        ) as both,
    ):
        for number in range(-_WARM_UP, options.rounds):
            for column, image in enumerate(images):
                for row, predictor in enumerate((alone, both)):
                    started = time.perf_counter()
                    predictor([image])
                    milliseconds[row, max(number, 0), column] = (time.perf_counter() - started) * 1000
        assert both.hand_model is not None
        found = sum(np.isfinite(both.hand_model.points_in(image[None])).all() for image in images)
    one, other = np.median(milliseconds, axis=1)
    print(
        f"{processor_name()}, {len(images)} images, hands found in {found}: alone {np.median(one):.1f} ms, with the "
        f"hand model {np.median(other):.1f} ms, ratio {np.median(other / one):.2f}"
    )


if __name__ == "__main__":
    main()
