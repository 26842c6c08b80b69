"""The first stages of the chain at toy scale, on real images: two trainings and the weights between them.

All stages: `python -m pretrained.reproduce --data DATA --work WORK --toy`, some minutes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pretrained.chain import LOG_FILE, TOY, Chain, Stage
from pretrained.dataset import SOURCES
from pretrained.evaluation_log import read_log
from pretrained.reproduce import DONE, Runner

pytest.importorskip("keras")

CLASSES = TOY.classes or ()


@pytest.fixture
def data(real_data: Path, tmp_path: Path) -> Path:
    """Eight images per class and source, some minutes of video apart where there are many."""
    folder = tmp_path / "data"
    for source in SOURCES.values():
        for label in CLASSES:
            images = sorted((real_data / source / label).glob("*.jp*g"))
            for path in images[:: max(1, len(images) // 8)][:8]:
                target = folder / source / label / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    return folder


def test_two_trainings_are_interpolated_and_an_interrupted_chain_continues(data: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    stages = Chain(data, work, TOY).stages()[:5]
    assert [stage.name for stage in stages] == ["01-arrays", "01-wide", "02-arrays", "02-wider", "02-mean"]

    def stop() -> None:
        raise KeyboardInterrupt

    second = stages[3]
    stopped = [*stages[:3], Stage(second.name, second.about, stop, second.inputs, second.outputs), stages[4]]
    with pytest.raises(KeyboardInterrupt):
        Runner(stopped, work).run()
    assert [path.name for path in work.glob("0*")] == ["01-wide"]
    before = (work / "01-wide" / "best.keras").read_bytes()
    runner = Runner(stages, work)
    assert runner.run() == ["02-wider", "02-mean"]
    assert [runner.state(stage) for stage in stages] == [DONE] * 5
    assert (work / "01-wide" / "best.keras").read_bytes() == before, "a finished stage is not run again"

    from asl_edge.training.runs.folder import RunFolder

    weights = [RunFolder.open(work / name).load_model().get_weights() for name in ("01-wide", "02-wider", "02-mean")]
    config = json.loads((work / "02-mean" / "config.json").read_text())
    assert config["interpolated"]["share_of_after"] == 0.75
    assert np.allclose(weights[2][0], 0.25 * weights[0][0] + 0.75 * weights[1][0], atol=1e-6)
    assert json.loads((work / "02-wider" / "config.json").read_text())["start_from"] == str(work / "01-wide")
    entries = read_log(work / LOG_FILE)
    assert [entry.name for entry in entries] == ["01-wide", "02-wider"]
    assert set(entries[0].figures) == {"kaggle, held out", "phone, held out"}
