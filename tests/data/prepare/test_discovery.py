"""Finding images: layouts, nesting, zips, names, what is left out and said so."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.data.prepare.discovery import (
    find,
    frame_number,
    natural_key,
    select_sources,
    session_of,
)
from asl_edge.data.prepare.layouts import flat_label
from asl_edge.errors import DataError, ImageError
from asl_edge.labels import CLASSES


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def zipped(folder: Path, to: Path) -> Path:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return to


def found(*paths: Path, **options):
    with find(list(paths), **options) as catalogue:
        return [(CLASSES[catalogue.label_of[n]], catalogue.path_of(n)) for n in range(len(catalogue))], catalogue


@pytest.mark.parametrize("around", ["", "asl_alphabet_train/", "asl_alphabet_train/asl_alphabet_train/"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_class_folders_at_any_depth_in_folders_and_zips(tmp_path, around, as_zip):
    source = touch(tmp_path / "in", *(f"{around}{name}" for name in ("B/x.jpg", "a/x10.jpg", "a/x9.jpg", "SPACE/1")))
    if as_zip:
        source = zipped(source, tmp_path / "in.zip")
    images, catalogue = found(source)
    assert images == [
        ("A", f"{around}a/x9.jpg"),
        ("A", f"{around}a/x10.jpg"),
        ("B", f"{around}B/x.jpg"),
        ("space", f"{around}SPACE/1"),
    ]
    assert [item.name for item in catalogue.sources] == [source.name]
    assert not catalogue.ignored


def test_too_deep_is_not_found(tmp_path):
    with pytest.raises(DataError, match="No images of known classes"):
        find([touch(tmp_path, "1/2/3/A/x.jpg")])


def test_flat_files_as_in_the_tutorial(tmp_path):
    touch(tmp_path, "A_34.jpg", "A_5.jpg", "b1.png", "nothing_2.jpg", "C_test.jpg", "notes.txt", "sub/x.jpg")
    images, catalogue = found(tmp_path)
    assert images == [
        ("A", "A_5.jpg"),
        ("A", "A_34.jpg"),
        ("B", "b1.png"),
        ("C", "C_test.jpg"),
        ("nothing", "nothing_2.jpg"),
    ]
    assert sorted(reason for _, reason in catalogue.ignored) == [
        "1 files without a class",
        "a folder next to flat files",
    ]


def test_kaggles_zip_uses_the_folders_and_names_the_flat_test_images(tmp_path):
    folder = touch(
        tmp_path / "in",
        "asl_alphabet_train/asl_alphabet_train/A/A1.jpg",
        "asl_alphabet_test/asl_alphabet_test/A_test.jpg",
        "__MACOSX/asl_alphabet_train/A/._A1.jpg",
    )
    images, catalogue = found(zipped(folder, tmp_path / "archive.zip"))
    assert images == [("A", "asl_alphabet_train/asl_alphabet_train/A/A1.jpg")]
    assert [reason for _, reason in catalogue.ignored] == [
        "1 flat files next to class folders; used only when given as a source of their own"
    ]


def test_nothing_is_left_out_in_silence(tmp_path):
    touch(tmp_path, "A/1.jpg", "A/ann/2.jpg", "A/ann/deep/3.jpg", "hello/4.jpg", "loose.jpg")
    (tmp_path / "B").mkdir()
    images, catalogue = found(tmp_path)
    assert [path for _, path in images] == ["A/1.jpg", "A/ann/2.jpg"]
    assert {(Path(path).name, reason) for path, reason in catalogue.ignored} == {
        ("deep", "too deep inside a class folder"),
        ("hello", "not the name of a class"),
        ("B", "an empty class folder"),
        (tmp_path.name, "1 loose files next to class folders"),
    }


def test_what_systems_leave_behind_is_no_image(tmp_path):
    images, catalogue = found(touch(tmp_path, "A/1.jpg", "A/Thumbs.db", "A/.DS_Store", "A/._1.jpg", ".git/A/1.jpg"))
    assert [path for _, path in images] == ["A/1.jpg"]
    assert not catalogue.ignored


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_broken_links_are_skipped_and_listed(tmp_path):
    touch(tmp_path, "A/1.jpg")
    os.mkfifo(tmp_path / "A/pipe.jpg")
    (tmp_path / "A/link.jpg").symlink_to("nowhere")
    images, catalogue = found(tmp_path)
    assert len(images) == 1
    assert [Path(path).name for path, _ in catalogue.skipped] == ["link.jpg", "pipe.jpg"]


def test_links_that_lead_in_circles_are_skipped_and_listed(tmp_path):
    touch(tmp_path, "A/1.jpg", "B/1.jpg")
    (tmp_path / "A/loopy").symlink_to("loopy")
    (tmp_path / "C").symlink_to("C")
    images, catalogue = found(tmp_path)
    assert [path for _, path in images] == ["A/1.jpg", "B/1.jpg"]
    assert [Path(path).name for path, _ in catalogue.skipped] == ["loopy"]
    assert [(Path(path).name, reason) for path, reason in catalogue.ignored] == [("C", "neither a file nor a folder")]


def test_links_beside_flat_files_are_listed(tmp_path):
    touch(tmp_path, "A_1.jpg")
    (tmp_path / "B_1.jpg").symlink_to("nowhere")
    _, catalogue = found(tmp_path)
    assert [Path(path).name for path, _ in catalogue.skipped] == ["B_1.jpg"]


def test_a_source_that_leads_in_circles(tmp_path):
    (tmp_path / "loopy").symlink_to("loopy")
    with pytest.raises(DataError, match="No such file or folder"):
        find([tmp_path / "loopy"])
    _, catalogue = found(touch(tmp_path / "in", "A/1.jpg"))
    with pytest.raises(DataError, match="no such source"):
        select_sources(catalogue.sources, [str(tmp_path / "loopy")], "--mirror")


def test_a_source_that_may_not_be_looked_at(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        find([tmp_path])


@pytest.mark.parametrize(
    "names",
    [("./A/x.jpg", "./B/y.jpg"), ("top\\A\\x.jpg", "top\\B\\y.jpg"), ("top\\A\\", "top\\A\\x.jpg", "top\\B\\y.jpg")],
)
def test_zips_that_write_their_paths_otherwise(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("\\") else name.encode())
    with find([tmp_path / "in.zip"]) as catalogue:
        assert [catalogue.path_of(number)[-7:] for number in range(len(catalogue))] == ["A/x.jpg", "B/y.jpg"]
        assert [catalogue.read(number) for number in range(2)] == [name.encode() for name in names[-2:]]
        assert not catalogue.ignored


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("A/x.jpg", "./A/x.jpg"), ("./A/x.jpg", "A/x.jpg"), ("A/x.jpg", "A/x.jpg")])
def test_of_members_that_unpack_to_one_file_the_last_counts(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for content, name in enumerate((*names, "B/y.jpg")):
            archive.writestr(name, str(content))
    with find([tmp_path / "in.zip"]) as catalogue:
        assert [catalogue.read(number) for number in range(len(catalogue))] == [b"1", b"2"]


def test_a_name_with_thousands_of_digits_is_a_name(tmp_path):
    long = f"A/A{'7' * 5000}.jpg"
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in (long, "A/A8.jpg"):
            archive.writestr(name, b"x")
    images, _ = found(tmp_path / "in.zip")
    assert [path for _, path in images] == ["A/A8.jpg", long]
    assert frame_number(long) == -1


def test_all_classes_are_counted_as_held(tmp_path):
    _, catalogue = found(touch(tmp_path, "A/1.jpg", "B/1.jpg", "space/1.jpg"), classes=["A", "Q"])
    assert catalogue.held == {"A", "B", "space"}


def test_several_layouts_below_one_folder_are_sources_of_their_own(tmp_path):
    touch(tmp_path / "all", "ann/A/1.jpg", "bob/images/A/1.jpg")
    _, catalogue = found(tmp_path / "all")
    assert [source.name for source in catalogue.sources] == ["ann", "images"]


def test_sources_of_one_name_are_told_apart(tmp_path):
    first, second = touch(tmp_path / "ann/in", "A/1.jpg"), touch(tmp_path / "bob/in", "A/1.jpg")
    _, catalogue = found(first, second)
    assert [source.name for source in catalogue.sources] == ["ann/in", "bob/in"]
    assert select_sources(catalogue.sources, ["bob/in"], "--mirror") == {1}
    assert select_sources(catalogue.sources, [f"{first}/"], "--mirror") == {0}
    with pytest.raises(DataError, match=r"--mirror carl: no such source.*ann/in, bob/in"):
        select_sources(catalogue.sources, ["carl"], "--mirror")


def test_only_chosen_classes(tmp_path):
    images, _ = found(touch(tmp_path, "A/1.jpg", "B/1.jpg"), classes=["B"])
    assert images == [("B", "B/1.jpg")]


def test_missing_and_wrong_paths(tmp_path):
    with pytest.raises(DataError, match="No such file or folder"):
        find([tmp_path / "none"])
    with pytest.raises(DataError, match="not a zip"):
        find([touch(tmp_path, "file.txt") / "file.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No images of known classes"):
        find([tmp_path / "empty"])
    with pytest.raises(DataError, match="named twice"):
        find([touch(tmp_path / "in", "A/1.jpg"), tmp_path / "in"])
    with pytest.raises(DataError, match="No source"):
        find([])


def test_damaged_and_encrypted_zips(tmp_path):
    whole = zipped(touch(tmp_path / "in", "A/1.jpg"), tmp_path / "in.zip")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged zip"):
        find([cut])
    data = bytearray(whole.read_bytes())
    for place in range(len(data) - 4):
        if data[place : place + 4] == b"PK\x01\x02":
            data[place + 8] |= 1
    locked = tmp_path / "locked.zip"
    locked.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        find([locked])


def test_a_damaged_member_costs_only_itself(tmp_path):
    archive = zipped(touch(tmp_path / "in", "A/1.jpg", "A/2.jpg"), tmp_path / "in.zip")
    data = bytearray(archive.read_bytes())
    place = data.index(b"A/1.jpg") + len("A/1.jpg")  # what follows the local name is the compressed content
    data[place] ^= 0xFF
    data[place + 3] ^= 0xFF
    archive.write_bytes(data)
    with find([archive]) as catalogue:
        with pytest.raises(ImageError, match="from the zip"):
            catalogue.read(0)
        assert catalogue.read(1) == b"A/2.jpg"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("A_34.jpg", "A"),
        ("A34.jpg", "A"),
        ("space_2.png", "space"),
        ("Del-7.jpg", "del"),
        ("z.jpg", "Z"),
        ("A (3).jpg", "A"),
        ("IMG_1.jpg", None),
        ("34.jpg", None),
        ("AB1.jpg", None),
        ("", None),
        ("P1010001.JPG", None),
        ("L1000123.DNG", None),
        ("G0010001.JPG", None),
        ("P_20240131_101112.jpg", None),
        ("A_left_3.jpg", None),
    ],
)
def test_flat_label(name, label):
    assert flat_label(name) == label


CAMERAS = ("P1010001.JPG", "P1010002.JPG", "G0010003.JPG", "R0000004.JPG", "L1000005.JPG", "P_2024_0101.jpg", "P12.jpg")


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize(
    ("folders", "reported"),
    [
        (("letter_A", "letter_B"), r"letter_A: 7 files"),  # not the names of classes
        (("",), r"7 files without class folders, of which 6 are not named like A_34\.jpg \(G0010003\.JPG"),
        (("deep/er",), r"er: 7 files"),
    ],
)
def test_names_that_cameras_give_are_no_labels(tmp_path, as_zip, folders, reported):
    source = touch(tmp_path / "in", *(f"{folder}/{name}".lstrip("/") for folder in folders for name in CAMERAS))
    if as_zip:
        source = zipped(source, tmp_path / "in.zip")
    with pytest.raises(DataError, match=f"No images of known classes .*{reported}"):
        find([source])


def test_a_folder_decides_where_there_is_one(tmp_path):
    touch(tmp_path / "in", *(f"{folder}/{name}" for folder in ("A", "letter_B") for name in CAMERAS))
    images, catalogue = found(tmp_path / "in")
    assert {label for label, _ in images} == {"A"}
    assert [(Path(path).name, reason) for path, reason in catalogue.ignored] == [
        ("letter_B", "not the name of a class")
    ]


@pytest.mark.parametrize("names", [("letter_A/P1.jpg", "letter_B/P2.jpg"), ("some/G1.jpg", "some/G2.jpg")])
def test_one_letter_for_a_whole_folder_below_is_what_a_camera_counts(tmp_path, names):
    with pytest.raises(DataError, match="all named . in a folder that is not called|name the folder after its class"):
        find([touch(tmp_path, *names)])


def test_a_given_folder_whose_own_name_contradicts_its_files(tmp_path):
    with pytest.raises(DataError, match="name the folder after its class"):
        find([touch(tmp_path / "letter_A", "P1.jpg", "P2.jpg")])
    assert [label for label, _ in found(touch(tmp_path / "letter_P", "P1.jpg", "P2.jpg"))[0]] == ["P", "P"]
    assert [label for label, _ in found(touch(tmp_path / "mine", "P1.jpg"))[0]] == ["P"]


@pytest.mark.parametrize("around", ["", "asl.v1/"])
@pytest.mark.parametrize("flat", [False, True])
def test_folders_train_valid_and_test_are_a_split(tmp_path, around, flat):
    name = "{0}_1.jpg" if flat else "{0}/{0}1.jpg"
    touch(tmp_path, *(f"{around}{part}/{name.format(label)}" for part in ("test", "train", "valid") for label in "AB"))
    _, catalogue = found(tmp_path)
    assert [(source.name, source.split) for source in catalogue.sources] == [("train", 0), ("valid", 1), ("test", 2)]


@pytest.mark.parametrize(
    "names",
    [("asl_alphabet_train", "asl_alphabet_val", "asl_alphabet_test"), ("Train-images", "dev", "test-images")],
)
def test_a_split_is_also_the_first_or_last_word_of_a_name(tmp_path, names):
    touch(tmp_path, *(f"{name}/{label}/1.jpg" for name in names for label in "AB"))
    assert [(source.name, source.split) for source in found(tmp_path)[1].sources] == [
        *zip(names, range(3), strict=True)
    ]


@pytest.mark.parametrize("parts", [("train", "people"), ("valid", "test"), ("train",), ("hands_train", "faces_test")])
def test_other_folders_are_no_split(tmp_path, parts):
    touch(tmp_path, *(f"{part}/{label}/1.jpg" for part in parts for label in "AB"))
    assert {source.split for source in found(tmp_path)[1].sources} == {None}


@pytest.mark.parametrize(("name", "frame"), [("A_34.jpg", 34), ("hand1_a_seg_5.jpeg", 5), ("x.jpg", -1), ("7", 7)])
def test_frame_number(name, frame):
    assert frame_number(name) == frame


@pytest.mark.parametrize(
    ("name", "label", "session"),
    [
        ("anna_A12.jpg", "A", "anna"),
        ("20261121-1412_space3.jpg", "space", "20261121-1412"),
        ("anna_A1_A12.jpg", "A", "anna_A1"),
        ("anna_B12.jpg", "A", ""),
        ("A12.jpg", "A", ""),
        ("A_12.jpg", "A", ""),
        ("hand1_A_bot_seg_5_cropped.jpeg", "A", ""),
        ("_A1.jpg", "A", ""),
        ("anna_A12", "A", ""),
    ],
)
def test_session_of(name, label, session):
    assert session_of(name, label) == session


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=8), st.randoms())
def test_natural_order_does_not_depend_on_the_order_before(names, random):
    shuffled = random.sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == sorted(names, key=natural_key)


def test_natural_order_counts():
    names = ["A10", "A9", "A2b", "A02", "A2", "A"]
    assert sorted(names, key=natural_key) == ["A", "A02", "A2", "A2b", "A9", "A10"]
