"""Run folders without a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`write_run`."""
    return write_run


@pytest.fixture(scope="session")
def mini_run(mini_model: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of `mini_model` with 300 test images; do not change it."""
    return write_run(tmp_path_factory.mktemp("runs") / "mini", mini_model)


def write_run(path: Path, model: object, *, images: int = 300, **config: object) -> Path:
    """Write what a run folder needs to be exported: best.keras, config.json and a test sample.

    The images are coloured noise, a tenth of their labels differ from what the model answers.
    """
    import json

    import numpy as np

    size, classes = model.input_shape[1], model.output_shape[-1]  # type: ignore[attr-defined]
    (path / "samples").mkdir(parents=True)
    rng = np.random.default_rng(1)
    colours = rng.uniform(0, 255, (images, 1, 1, 3))
    noise = rng.normal(0, 30, (images, size, size, 3))
    samples = np.clip(colours + noise, 0, 255).astype(np.uint8)
    labels = model.predict(samples, verbose=0).argmax(axis=1)  # type: ignore[attr-defined]
    labels[::10] = (labels[::10] + 1) % classes
    model.save(path / "best.keras")  # type: ignore[attr-defined]
    np.save(path / "samples/test_images.npy", samples)
    np.save(path / "samples/test_classes.npy", np.eye(classes, dtype=np.float32)[labels])
    names = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:classes])
    defaults = {
        "asl_edge_version": "0.1.0",
        "network": "mini",
        "recipe": "tutorial",
        "classes": names,
        "input_size": size,
        "fit": "crop",
        "colour": "RGB",
        "seed": 0,
        "data": {"sources": ["noise"], "split": "blocks"},
    }
    (path / "config.json").write_text(json.dumps(defaults | config), encoding="utf-8")
    return path
