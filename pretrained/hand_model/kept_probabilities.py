"""What a model predicts for a set of images, kept in a file: the mixture may be chosen and evaluated more than once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image
from asl_edge.metrics import Floats
from asl_edge.runtime.pretrained import pretrained_model
from pretrained.landmarks.dev_evaluation import classify


def kept_probabilities(model: Path | None, name: str, read: Callable[[], list[Image]], work: Path) -> Floats:
    """Return the probabilities of a set of images, float32 (N, classes), as a device predicts, zoom pass included.

    Args:
        model: an exported file, None for the pretrained model.
        name: of the set, in the file's name; so is the beginning of the model's SHA-256.
        read: returns the images, if they are needed.
        work: folder of the files.
    """
    digest = hashlib.sha256((model or pretrained_model()).read_bytes()).hexdigest()[:12]
    path = work / f"probabilities-{digest}-{name}.npy"
    if not path.is_file():
        values = classify(model, read())
        with atomic.replacing(path) as temporary:
            np.save(temporary, values)
    return np.asarray(np.load(path), np.float32)
