from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.arrays import FILES
from asl_edge.errors import DataError
from asl_edge.evaluation.labelled_data import LabelledData, Wanted, open_labelled_data
from asl_edge.imaging.preprocess import opencv

ABC = Wanted(("A", "B", "C"), 32, "crop")


def write_image(path: Path, red: int = 200, height: int = 48, width: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((height, width, 3), (0, 0, red), np.uint8)  # BGR
    opencv().imwrite(str(path), image)


def add_manifest(arrays: Path, **changes: object) -> None:
    files = {name: {"sha256": "0" * 64} for pair in FILES.values() for name in pair}
    manifest = {"classes": ["A", "B", "C"], "fit": "crop", "files": files} | changes
    (arrays / "manifest.json").write_text(json.dumps(manifest))


def labels_of(data: LabelledData, size: int = 4) -> list[int]:
    return [int(label) for batch in data.batches(size) for label in batch.labels]


class TestArrays:
    def test_every_row_comes_once_in_order(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays)
        data = open_labelled_data(colour_arrays, ABC)
        batches = list(data.batches(4))
        assert [len(batch.labels) for batch in batches] == [4, 4, 4, 3]
        np.testing.assert_array_equal(
            np.concatenate([batch.images for batch in batches]), np.load(colour_arrays / "test_set.npy")
        )
        assert labels_of(data) == [0, 1, 2] * 5
        assert batches[1].sources[0] == "test[4]"
        assert data.split == "test"
        assert not data.warnings

    def test_classes_are_matched_by_name(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays, classes=["C", "A", "B"])
        assert labels_of(open_labelled_data(colour_arrays, ABC)) == [2, 0, 1] * 5

    def test_unknown_classes_are_counted_and_left_out(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays)
        data = open_labelled_data(colour_arrays, Wanted(("A", "space", "C"), 32, "crop"))
        assert data.left_out == {"B": 5}
        assert len(data) == 10
        assert labels_of(data) == [0, 2] * 5

    def test_no_class_is_known(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays)
        with pytest.raises(DataError, match=r"knows none of the classes.*A,B,C.*X,Y"):
            open_labelled_data(colour_arrays, Wanted(("X", "Y"), 32, "crop"))

    def test_sources_are_the_images_that_the_rows_were_made_of(self, tmp_path: Path) -> None:
        from asl_edge.cli import main

        for label in "AB":
            for number in range(12):
                write_image(tmp_path / "hands" / label / f"{label}{number}.png", red=100 + 9 * number + ord(label))
        arguments = ["data", "prepare", str(tmp_path / "hands"), "--out", str(tmp_path / "arrays"), "--size", "32"]
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
        from_arrays = next(open_labelled_data(tmp_path / "arrays", ABC).batches(100))
        from_folder = next(open_labelled_data(tmp_path / "hands", ABC).batches(100))
        assert len(from_arrays.sources) >= 2
        for source, image, label in zip(from_arrays.sources, from_arrays.images, from_arrays.labels, strict=True):
            row = from_folder.sources.index(source)
            np.testing.assert_array_equal(image, from_folder.images[row])
            assert label == from_folder.labels[row]

    def test_bgr_is_turned(self, colour_arrays: Path) -> None:
        data = open_labelled_data(colour_arrays, ABC, bgr=True)
        (batch,) = data.batches(100)
        np.testing.assert_array_equal(batch.images, np.load(colour_arrays / "test_set.npy")[..., ::-1])

    def test_without_a_manifest_the_models_classes_are_taken_and_said(self, colour_arrays: Path) -> None:
        data = open_labelled_data(colour_arrays, Wanted(("X", "Y", "Z"), 32, "stretch"))
        assert len(data) == 15
        assert any("model's classes X,Y,Z" in note for note in data.warnings)
        assert any("assumed to be RGB" in note for note in data.warnings)

    def test_without_a_manifest_the_classes_can_be_named(self, colour_arrays: Path) -> None:
        data = open_labelled_data(colour_arrays, ABC, classes=("B", "A", "del"), bgr=True)
        assert data.left_out == {"del": 5}
        assert labels_of(data) == [1, 0] * 5

    def test_another_size_names_the_remedy(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays)
        with pytest.raises(DataError, match=r"32x32.*64x64.*--size 64"):
            open_labelled_data(colour_arrays, Wanted(("A", "B"), 64, "crop"))

    def test_another_fit_is_a_warning(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays, fit="stretch")
        (note,) = open_labelled_data(colour_arrays, ABC).warnings
        assert "stretch" in note
        assert "--fit crop" in note
        assert not open_labelled_data(colour_arrays, ABC._replace(fit_known=False)).warnings

    def test_split_that_is_absent(self, colour_arrays: Path) -> None:
        add_manifest(colour_arrays)
        (colour_arrays / "test_set.npy").unlink()
        with pytest.raises(DataError, match="no test images"):
            open_labelled_data(colour_arrays, ABC)

    def test_split_that_is_unknown(self, colour_arrays: Path) -> None:
        with pytest.raises(DataError, match="Unknown split 'exam'"):
            open_labelled_data(colour_arrays, ABC, split="exam")


class TestFolder:
    def test_images_are_made_as_the_model_wants_them(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a" / "A1.png")
        write_image(tmp_path / "c" / "C2.png", red=90)
        data = open_labelled_data(tmp_path, Wanted(("C", "B", "A"), 20, "pad"))
        (batch,) = data.batches(8)
        assert batch.images.shape == (2, 20, 20, 3)
        assert batch.labels.tolist() == [2, 0]
        assert batch.images[0, 10, 10].tolist() == [200, 0, 0]
        assert batch.images[0, 10, 0].tolist() == [0, 0, 0]  # padded left and right
        assert [Path(source).name for source in batch.sources] == ["A1.png", "C2.png"]
        assert data.split is None

    def test_flat_names_and_zips(self, tmp_path: Path) -> None:
        write_image(tmp_path / "flat" / "A_1.png")
        write_image(tmp_path / "flat" / "B_1.png")
        with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
            for path in sorted((tmp_path / "flat").iterdir()):
                archive.write(path, path.name)
        for name in ("flat", "flat.zip"):
            data = open_labelled_data(tmp_path / name, ABC)
            assert labels_of(data) == [0, 1]
            data.close()

    def test_damaged_images_are_listed_in_any_batch(self, tmp_path: Path) -> None:
        for number in range(9):
            write_image(tmp_path / "A" / f"A{number}.png")
        (tmp_path / "A" / "A3.png").write_bytes(b"no image")
        for number in (6, 7):
            (tmp_path / "A" / f"A{number}.png").write_bytes((tmp_path / "A" / "A1.png").read_bytes()[:-20])
        data = open_labelled_data(tmp_path, ABC)
        assert [len(batch.labels) for batch in data.batches(2)] == [2, 1, 2, 1]  # the batch of 6 and 7 is not there
        assert [Path(path).name for path, _ in data.skipped] == ["A3.png", "A6.png", "A7.png"]
        assert "truncated" in data.skipped[1][1]
        assert len(data) == 9

    def test_unknown_classes_are_counted_and_left_out(self, tmp_path: Path) -> None:
        for label in ("A", "space", "Z"):
            write_image(tmp_path / label / "1.png")
        data = open_labelled_data(tmp_path, ABC)
        assert data.left_out == {"Z": 1, "space": 1}
        assert labels_of(data) == [0]

    def test_no_class_is_known(self, tmp_path: Path) -> None:
        write_image(tmp_path / "Z" / "1.png")
        with pytest.raises(DataError, match=r"knows none of the classes.*\(Z\).*A,B,C"):
            open_labelled_data(tmp_path, ABC)

    def test_fit_that_is_not_known_is_said(self, tmp_path: Path) -> None:
        write_image(tmp_path / "A" / "1.png")
        assert any(
            "--fit crop" in note for note in open_labelled_data(tmp_path, ABC._replace(fit_known=False)).warnings
        )

    @pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
    def test_what_holds_no_images(self, tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
        make(tmp_path / "data")
        with pytest.raises(DataError):
            open_labelled_data(tmp_path / "data", ABC)

    def test_bgr_belongs_to_arrays(self, tmp_path: Path) -> None:
        write_image(tmp_path / "A" / "1.png")
        with pytest.raises(DataError, match="--bgr is for prepared arrays"):
            open_labelled_data(tmp_path, ABC, bgr=True)

    def test_stopping_early_leaves_no_thread(self, tmp_path: Path) -> None:
        import threading

        for number in range(40):
            write_image(tmp_path / "A" / f"A{number}.png")
        before = threading.active_count()
        for _ in open_labelled_data(tmp_path, ABC).batches(8):
            break
        assert threading.active_count() == before
