"""Training from a network that finds landmarks leaves what finds them as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import landmark_network as spots
import numpy as np

from asl_edge.data.arrays import PreparedArrays
from asl_edge.training import recipes
from asl_edge.training.loop.train import train
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of
from asl_edge.training.runs.folder import RunFolder


def test_the_decoder_stays_as_it_is(make_run: Any, shared_colour_arrays: Path, tmp_path: Path) -> None:
    start = make_run(tmp_path / "start", spots.taught(), images=8, network=spots.register())
    arrays = PreparedArrays.open(shared_colour_arrays, classes=["A", "B", "C"])
    config = recipes.get(
        "tutorial", network=spots.NAME, start_from=str(start), epochs=1, batch_size=16, learning_rate=0.05,
        precision="float32", augmentation="none", zoom=False,
    )  # fmt: skip
    train(config, arrays, tmp_path / "run")
    before, after = (RunFolder.open(path).load_model() for path in (start, tmp_path / "run"))

    assert landmarks_of(after) is not None
    for layer in after.layers:
        values = zip(before.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True)
        same = all(np.array_equal(one, other) for one, other in values)
        if layer.name.startswith(("decode_", "hand_")):
            assert same, layer.name
        elif layer.name.startswith(("conv", "geometry_dense")):
            assert not same, layer.name
