"""What the released file is made of: the temperature's file, the sets of images, the card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pretrained.release import THRESHOLD_SETS, copy_evaluation_sets, read_temperature

pytest.importorskip("onnx")


def test_the_temperature_is_read_from_the_file_of_the_experiment(tmp_path: Path) -> None:
    path = tmp_path / "temperature.json"
    path.write_text(json.dumps({"temperature": 0.7424438874682453, "rows": []}))
    assert read_temperature(path) == 0.7424438874682453


@pytest.mark.parametrize("content", ["{}", '{"temperature": "0.7"}', '{"temperature": -1.0}', '{"temperature": NaN}'])
def test_a_file_without_a_temperature_says_what_writes_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "temperature.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="leave_one_source_out"):
        read_temperature(path)


def test_the_committed_experiment_holds_the_temperature_of_the_model_trained_on_labels_alone() -> None:
    from asl_edge.runtime.onnx_file.metadata import read_spec
    from pretrained.experiments.leave_one_source_out import RESULTS
    from pretrained.landmarks.stages import APPEARANCE_MODEL

    shipped = read_spec(APPEARANCE_MODEL).temperature
    assert read_temperature(RESULTS / "leave-one-source-out.json") == pytest.approx(shipped, abs=1e-12)


def test_each_set_of_images_gets_a_folder_and_held_out_frames_come_from_the_manifest(tmp_path: Path) -> None:
    data, arrays = tmp_path / "data", tmp_path / "arrays"
    names = ["dev-wall/A/1.jpg", "dev-rooms/A/1.jpg", "dev-rooms/A/aug_1.jpg", "kaggle/asl_alphabet_train/B/B7.jpg"]
    for name in [*names, "kaggle/asl_alphabet_train/B/B8.jpg", "phone/C/3.jpg", "studio/C/3.jpg"]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    arrays.mkdir()
    sources = ["/elsewhere/kaggle/asl_alphabet_train", "/elsewhere/phone", "/elsewhere/studio"]
    manifest = {
        "sources": [{"path": path} for path in sources],
        "folders": [[0, "B"], [1, "C"], [2, "C"]],
        "rows": {"test": {"folder": [0, 1, 2], "name": ["B7.jpg", "3.jpg", "3.jpg"]}},
    }
    (arrays / "manifest.json").write_text(json.dumps(manifest))
    sets = copy_evaluation_sets(data, arrays, tmp_path / "sets")
    files = {name: sorted(str(path.relative_to(sets[name])) for path in sets[name].rglob("*.jpg")) for name in sets}
    assert files == {
        "kaggle-held-out": ["B/B7.jpg"],
        "phone-held-out": ["C/3.jpg"],
        "dev-wall": ["A/1.jpg"],
        "dev-rooms-clean": ["A/1.jpg"],
        "dev-rooms-augmented": ["A/aug_1.jpg"],
    }
    assert set(THRESHOLD_SETS) < set(sets)


def test_a_card_is_embedded_and_nothing_else_changes(tmp_path: Path) -> None:
    import numpy as np

    from asl_edge.runtime.onnx_file.metadata import read_spec
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.pretrained import pretrained_model
    from pretrained.release import embed_card

    model, card = tmp_path / "model.onnx", tmp_path / "card.md"
    shutil.copy(pretrained_model(), model)
    card.write_text("# Another card, é\n")
    embed_card(model, card)
    assert "# Another card, é".encode() in model.read_bytes()
    assert read_spec(model) == read_spec(pretrained_model())
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    with Predictor(model, provider="cpu") as one, Predictor(pretrained_model(), provider="cpu") as other:
        assert np.array_equal(one.probabilities(image), other.probabilities(image))
