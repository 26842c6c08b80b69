"""Opening prepared arrays, ours and the tutorial's, whole and damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asl_edge.data.arrays import PreparedArrays
from asl_edge.data.prepare.prepare import PrepareConfig, prepare
from asl_edge.errors import DataError


@pytest.fixture
def prepared(tmp_path, write_images):
    out = tmp_path / "prepared"
    prepare(PrepareConfig((write_images(tmp_path / "in"),), out, size=32))
    return out


def write_tutorial(folder, columns=3):
    """What the tutorial's script leaves when there are too few images for its test list."""
    folder.mkdir()
    images = [np.full((8, 8, 3), (number, 0, 255), np.uint8) for number in range(6)]
    np.save(folder / "train_set.npy", images)
    np.save(folder / "train_classes.npy", np.eye(columns)[[0, 1, 2, 0, 1, 2]])
    np.save(folder / "test_set.npy", [])
    np.save(folder / "test_classes.npy", np.zeros((0, 0)))
    return folder


def test_opens_mapped(prepared):
    arrays = PreparedArrays.open(prepared, check=True)
    assert (arrays.classes, arrays.input_size, arrays.fit, arrays.bgr) == (("A", "B", "C"), 32, "crop", False)
    for name in ("train", "validation", "test"):
        split = arrays.split(name)
        assert isinstance(split.images, np.memmap)
        assert split.images.shape == (len(split), 32, 32, 3)
        assert split.one_hot.dtype == np.float32
        assert (split.one_hot.argmax(1) == split.labels).all()
    assert arrays.rgb("train", [2, 0]).shape == (2, 32, 32, 3)
    assert arrays.rgb("train", []).shape == (0, 32, 32, 3)


def test_the_tutorials_arrays(tmp_path):
    folder = write_tutorial(tmp_path / "tutorial")
    with pytest.warns(UserWarning, match="assumed to be A,B,C"):
        arrays = PreparedArrays.open(folder, bgr=True)
    assert (arrays.classes, arrays.fit, arrays.manifest) == (("A", "B", "C"), "stretch", None)
    assert arrays.split("train").images[1, 0, 0].tolist() == [1, 0, 255]
    assert arrays.rgb("train", [1])[0, 0, 0].tolist() == [255, 0, 1]
    with pytest.raises(DataError, match=r"no test images.*train \(6\)"):
        arrays.split("test")
    with pytest.raises(DataError, match="Unknown split"):
        arrays.split("dev")
    assert PreparedArrays.open(folder, classes=["X", "Y", "Z"]).classes == ("X", "Y", "Z")
    with pytest.raises(DataError, match="Received 2 classes"):
        PreparedArrays.open(folder, classes=["X", "Y"])


def test_manifest_rules(prepared):
    with pytest.raises(DataError, match="have the classes A,B,C"):
        PreparedArrays.open(prepared, classes=["C", "B", "A"])
    with pytest.raises(DataError, match="RGB"):
        PreparedArrays.open(prepared, bgr=True)


def test_changes_are_found(prepared):
    path = prepared / "test_set.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    PreparedArrays.open(prepared)
    with pytest.raises(DataError, match=r"test_set\.npy is damaged or was changed"):
        PreparedArrays.open(prepared, check=True)


def cut(folder):
    path = folder / "train_set.npy"
    path.write_bytes(path.read_bytes()[:-5])


def break_header(folder):
    (folder / "train_set.npy").write_bytes(b"nonsense")


def drop_classes(folder):
    (folder / "train_classes.npy").unlink()


def shorten_classes(folder):
    np.save(folder / "train_classes.npy", np.eye(3, dtype=np.float32))


def widen_classes(folder):
    rows = len(np.load(folder / "train_classes.npy"))
    np.save(folder / "train_classes.npy", np.eye(5, dtype=np.float32)[np.zeros(rows, int)])


def blur_classes(folder):
    np.save(folder / "train_classes.npy", np.load(folder / "train_classes.npy") / 255)


def make_floats(folder):
    np.save(folder / "train_set.npy", np.load(folder / "train_set.npy").astype(np.float32))


def make_oblong(folder):
    np.save(folder / "train_set.npy", np.load(folder / "train_set.npy")[:, :5])


def make_smaller(folder):
    np.save(folder / "test_set.npy", np.load(folder / "test_set.npy")[:, :5, :5])


def break_manifest(folder):
    (folder / "manifest.json").write_text("{")


def empty_manifest(folder):
    (folder / "manifest.json").write_text(json.dumps({"classes": [], "files": {}, "fit": "crop"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "damaged or not an array file"),
        (break_header, "damaged or not an array file"),
        (drop_classes, "missing"),
        (shorten_classes, "do not belong together"),
        (widen_classes, "5 columns, but there are 3"),
        (blur_classes, "single 1 and zeros"),
        (make_floats, "must be a uint8 array"),
        (make_oblong, "square"),
        (make_smaller, "5 pixels"),
        (break_manifest, r"manifest\.json is damaged"),
        (empty_manifest, r"manifest\.json is damaged"),
    ],
)
def test_damage_is_named(prepared, damage, message):
    damage(prepared)
    with pytest.raises(DataError, match=message):
        PreparedArrays.open(prepared)


def change(**entries):
    def write(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entries))

    return write


def change_file(name, entry):
    def write(folder):
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        del manifest["files"][name]
        manifest["files"] |= {} if entry is None else {name: entry}
        path.write_text(json.dumps(manifest))

    return write


def make_folder_of_manifest(folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


def write_manifest(text):
    return lambda folder: (folder / "manifest.json").write_text(text)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        (change(fit="foo"), "fit is 'foo', not crop, stretch or pad"),
        (change(fit=["crop"]), "fit is"),
        (change(classes=["A", "A", "B"]), "class A is named twice"),
        (change(classes=["A", "B", "hello"]), "'hello' is not a class"),
        (change(classes=["A", "B", 3]), "3 is not a class"),
        (change(classes="ABC"), "classes is not a list of names"),
        (change(files={}), "files lacks train_set.npy"),
        (change(files=[]), "files is not an object"),
        (change_file("test_classes.npy", None), "files lacks test_classes.npy"),
        (change_file("train_set.npy", {}), "train_set.npy lacks a SHA-256 of 64 hexadecimal digits"),
        (change_file("train_set.npy", "x"), "train_set.npy lacks a SHA-256"),
        (change_file("validation_set.npy", {"sha256": "12ab"}), "validation_set.npy lacks a SHA-256"),
        (change_file("train_set.npy", {"sha256": "g" * 64}), "train_set.npy lacks a SHA-256"),
        (change(options=[]), "options is not an object"),
        (change(sources={}), "sources is not a list"),
        (write_manifest("[]"), "it is not an object"),
        (write_manifest("[" * 100_000), "nested"),
        (make_folder_of_manifest, ""),
    ],
)
def test_a_tampered_manifest_is_refused(prepared, tamper, reason, check):
    tamper(prepared)
    with pytest.raises(
        DataError, match=r"manifest\.json (is damaged|cannot be read) .*Prepare the arrays again"
    ) as raised:
        PreparedArrays.open(prepared, check=check)
    assert reason in str(raised.value)


def test_fewer_classes_in_the_manifest_than_columns(prepared):
    change(classes=["A", "B"])(prepared)
    with pytest.raises(DataError, match=r"3 columns, but there are 2 classes"):
        PreparedArrays.open(prepared)


def test_what_a_stopped_prepare_left_is_not_taken_for_the_tutorials_arrays(prepared):
    """Where a folder cannot be renamed, files move in one by one, the manifest last."""
    (prepared / "manifest.json").unlink()
    (prepared / ".asl-edge.partial-0123").mkdir()
    with pytest.raises(DataError, match="incomplete"):
        PreparedArrays.open(prepared)


def test_a_folder_in_place_of_a_file_is_found_by_the_check(prepared):
    for name in ("test_set.npy", "test_classes.npy"):
        (prepared / name).unlink()
        (prepared / name).mkdir()
    with pytest.raises(DataError, match=r"test_\w+\.npy cannot be read"):
        PreparedArrays.open(prepared, check=True)


def test_missing_file_is_found_by_the_check(prepared):
    for name in ("test_set.npy", "test_classes.npy"):
        (prepared / name).unlink()
    PreparedArrays.open(prepared)
    with pytest.raises(DataError, match="is missing"):
        PreparedArrays.open(prepared, check=True)


def test_no_arrays(tmp_path):
    with pytest.raises(DataError, match="No folder"):
        PreparedArrays.open(tmp_path / "none")
    with pytest.raises(DataError, match="holds no prepared arrays"):
        PreparedArrays.open(tmp_path)
