"""Real images for the comparison: from the run, from arrays, from a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import DataError, RunError
from asl_edge.export.parity_images import MOST_IMAGES, parity_images
from asl_edge.export.source.open_source import Described, Source, open_source

ABC = ("A", "B", "C")


@pytest.fixture(scope="module")
def run_source(mini_run: Path) -> Source:
    return open_source(mini_run)


@pytest.fixture(scope="module")
def bare_source(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    path = tmp_path_factory.mktemp("bare") / "bare.keras"
    shutil.copy(mini_run / "best.keras", path)
    return open_source(path, Described(classes=ABC, fit="stretch", colour="BGR"))


def write_arrays(folder: Path, split: str = "test", count: int = 30, size: int = 32) -> Any:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.sort(rng.integers(0, 3, count))
    np.save(folder / f"{split}_set.npy", images)
    np.save(folder / f"{split}_classes.npy", np.eye(3, dtype=np.float32)[labels])
    return images, labels


def test_the_runs_own_test_sample(run_source: Source, mini_run: Path) -> None:
    images = parity_images(run_source)
    np.testing.assert_array_equal(images.images, np.load(mini_run / "samples/test_images.npy"))
    assert len(images.labels) == 300  # at least 256 if there are as many
    assert images.described == "test sample of mini"


def test_without_any_real_image_there_is_no_export(bare_source: Source) -> None:
    with pytest.raises(DataError, match=r"verified on real images.*--data"):
        parity_images(bare_source)


def test_arrays_of_the_tutorials_script_are_bgr(bare_source: Source, run_source: Source, tmp_path: Path) -> None:
    stored, labels = write_arrays(tmp_path)
    as_bgr, as_rgb = parity_images(bare_source, tmp_path), parity_images(run_source, tmp_path)
    np.testing.assert_array_equal(as_bgr.images, stored)  # the input of the model is BGR as well
    np.testing.assert_array_equal(as_rgb.images, stored[..., ::-1])
    np.testing.assert_array_equal(as_bgr.labels, labels)
    assert any("BGR" in note for note in as_bgr.notes)


def test_validation_images_serve_where_there_is_no_test_split(run_source: Source, tmp_path: Path) -> None:
    write_arrays(tmp_path, "validation")
    assert parity_images(run_source, tmp_path).described.startswith("validation images")


def test_training_images_do_not_serve(run_source: Source, tmp_path: Path) -> None:
    write_arrays(tmp_path, "train")
    with pytest.raises(DataError, match="neither test nor validation"):
        parity_images(run_source, tmp_path)


def test_of_many_rows_an_even_sample_is_used(run_source: Source, tmp_path: Path) -> None:
    stored, labels = write_arrays(tmp_path, count=1200)
    images = parity_images(run_source, tmp_path)
    assert len(images.labels) == MOST_IMAGES
    np.testing.assert_array_equal(images.images[-1], stored[-1, ..., ::-1])
    np.testing.assert_allclose(np.bincount(images.labels) / MOST_IMAGES, np.bincount(labels) / 1200, atol=0.01)


def test_images_of_another_size_are_refused(run_source: Source, tmp_path: Path) -> None:
    write_arrays(tmp_path, size=16)
    with pytest.raises(DataError, match="are 16x16, the model takes 32x32"):
        parity_images(run_source, tmp_path)


def test_a_folder_of_labelled_images(run_source: Source, bare_source: Source, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for name in "ABC":
        (tmp_path / name).mkdir()
        for index in range(4):
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{name}{index}.png"), image)
    (tmp_path / "A" / "broken.jpg").write_bytes(b"not an image")
    images = parity_images(run_source, tmp_path)
    assert np.bincount(images.labels).tolist() == [4, 4, 4]
    assert any("broken.jpg" in note for note in images.notes)
    first = cv2.imread(str(tmp_path / "A" / "A0.png"))
    assert (images.images == first[..., ::-1]).all(axis=(1, 2, 3)).any()
    assert (parity_images(bare_source, tmp_path).images == first).all(axis=(1, 2, 3)).any()


def test_paths_without_images(run_source: Source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder of images"):
        parity_images(run_source, tmp_path / "missing")


def test_a_run_whose_sample_is_lost_names_the_way_out(mini_model: Any, make_run: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", mini_model, images=3)
    (run / "samples/test_images.npy").unlink()
    with pytest.raises(RunError, match="--data"):
        parity_images(open_source(run))
