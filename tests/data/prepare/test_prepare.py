"""`prepare`: what it writes, that it writes it whole and the same each time, and what it does with bad images."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.arrays import FILES, SPLITS, sha256_of
from asl_edge.data.prepare.prepare import OURS, PrepareConfig, SplitPlan, prepare
from asl_edge.errors import DataError
from asl_edge.imaging.preprocess import load, opencv


def run(out, *sources, **fields):
    return prepare(PrepareConfig(tuple(sources), out, size=fields.pop("size", 32), **fields))


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def names_of(folder, split):
    return manifest_of(folder)["rows"][split]["name"]


def digests(folder):
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def undecodable_png() -> bytes:
    """Whole and with right checksums, so that only decoding finds that its pixels are nonsense."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"nonsense" * 9) + chunk(b"IEND", b"")


def test_writes_the_tutorials_files_and_a_manifest(tmp_path, write_images):
    source, out = write_images(tmp_path / "in", per_class=20), tmp_path / "out"
    report = run(out, source)
    assert {path.name for path in out.iterdir()} == OURS
    manifest = manifest_of(out)
    for split in SPLITS:
        images, one_hot = (np.load(out / name) for name in FILES[split])
        assert images.dtype == np.uint8
        assert images.shape == (len(one_hot), 32, 32, 3)
        assert one_hot.dtype == np.float32
        assert one_hot.sum(1).tolist() == [1] * len(one_hot)
        assert np.array_equal(np.load(out / FILES[split][0], mmap_mode="r"), images)
        rows = manifest["rows"][split]
        for row, (folder, name, frame) in enumerate(zip(rows["folder"], rows["name"], rows["frame"], strict=True)):
            origin = source / manifest["folders"][folder][1] / name
            assert np.array_equal(images[row], load(origin, 32))
            assert report.classes[one_hot[row].argmax()] == origin.parent.name
            assert f"{frame}.png" in name
    for name, entry in manifest["files"].items():
        assert entry["sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()
    assert report.counts["train"] == {"A": 13, "B": 13, "C": 13}
    assert report.gap_frames == manifest["gap_frames_dropped"] == 6
    assert manifest["sources"][0]["name"] == "in"
    assert report.images == 54


def test_rows_are_mixed(tmp_path, write_images):
    run(tmp_path / "out", write_images(tmp_path / "in", per_class=40))
    labels = np.load(tmp_path / "out/train_classes.npy").argmax(1)
    assert len(set(labels[:12].tolist())) == 3


@pytest.mark.parametrize("split", ["blocks", "random"])
def test_the_same_bytes_whatever_the_workers(tmp_path, write_images, split):
    source = write_images(tmp_path / "in", per_class=30)
    plan = SplitPlan(method=split, seed=3)
    for workers in (1, 2, 7):
        run(tmp_path / f"out{workers}", source, split=plan, workers=workers)
    assert digests(tmp_path / "out1") == digests(tmp_path / "out2") == digests(tmp_path / "out7")
    run(tmp_path / "other", source, split=SplitPlan(method=split, seed=4))
    assert digests(tmp_path / "other") != digests(tmp_path / "out1")


def test_a_zip_gives_the_same_arrays(tmp_path, write_images):
    source = write_images(tmp_path / "in", name="train/train/{label}/{label}{number}.jpg")
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in source.rglob("*.jpg"):
            archive.write(path, path.relative_to(source))
    run(tmp_path / "folder", source)
    run(tmp_path / "zip", tmp_path / "in.zip")
    for pair in FILES.values():
        for name in pair:
            assert sha256_of(tmp_path / "folder" / name) == sha256_of(tmp_path / "zip" / name)


def test_flat_files_and_chosen_classes_in_the_given_order(tmp_path, write_images):
    report = run(tmp_path / "out", write_images(tmp_path / "in", name="{label}_{number}.jpg"), classes=("C", "A"))
    assert report.classes == ("C", "A")
    for split in SPLITS:
        labels = np.load(tmp_path / "out" / FILES[split][1]).argmax(1)
        assert ["CA"[label] for label in labels] == [name[0] for name in names_of(tmp_path / "out", split)]


def test_bad_images_are_skipped_listed_and_change_nothing_else(tmp_path, write_images):
    good = write_images(tmp_path / "in", per_class=20)
    shutil.copytree(good, tmp_path / "clean/in")
    some = (good / "A/A1.png").read_bytes()
    bad = {
        "A2_cut.png": some[: len(some) // 2],
        "A3_empty.png": b"",
        "A4_text.jpg": b"this is no image",
        "A5_nonsense.png": undecodable_png(),
        "A6_heic.jpg": b"\0\0\0\x18ftypheic" + bytes(40),
        "A7_bomb.png": some[:16] + struct.pack(">II", 10_000, 10_000) + some[24:],
    }
    for name, content in bad.items():
        (good / "A" / name).write_bytes(content)
    report = run(tmp_path / "out", good)
    assert {Path(path).name for path, _ in report.skipped} == set(bad)
    reasons = {Path(path).name: reason for path, reason in report.skipped}
    assert "truncated" in reasons["A2_cut.png"]
    assert "empty" in reasons["A3_empty.png"]
    assert "not an image" in reasons["A4_text.jpg"]
    assert "damaged" in reasons["A5_nonsense.png"]
    assert "HEIC" in reasons["A6_heic.jpg"]
    assert [entry["path"] for entry in manifest_of(tmp_path / "out")["skipped"]] == [path for path, _ in report.skipped]
    run(tmp_path / "without", tmp_path / "clean/in")
    for pair in FILES.values():
        for name in pair:
            assert sha256_of(tmp_path / "out" / name) == sha256_of(tmp_path / "without" / name), name
    assert {path.name for path in (tmp_path / "out").iterdir()} == OURS


@pytest.mark.parametrize("workers", [1, 3])
def test_jpegs_that_lost_pixels_in_the_middle_are_skipped(tmp_path, write_images, capfd, workers):
    good = write_images(tmp_path / "in", per_class=40, name="{label}/{label}{number}.jpg")
    shutil.copytree(good, tmp_path / "clean/in")
    for label in "AC":
        data = (good / f"{label}/{label}7.jpg").read_bytes()
        scan = data.index(b"\xff\xda") + 14
        # Whole at both ends, so that only the decoder can see it; and what webcams do, which loses nothing.
        (good / f"{label}/{label}7_lost.jpg").write_bytes(data[: scan + 60] + data[-90:])
        # Out of step with its codes, the decoder has filled all rows before the end, and leaves the rest.
        left = data[:-2] + bytes(range(1, 200)) + data[-2:]
        (good / f"{label}/{label}7_left.jpg").write_bytes(left)
        other = (good / f"{label}/{label}8.jpg").read_bytes()
        (good / f"{label}/{label}8.jpg").write_bytes(other[:-2] + b"\0\0" + other[-2:])
        (tmp_path / f"clean/in/{label}/{label}8.jpg").write_bytes(other[:-2] + b"\0\0" + other[-2:])
    report = run(tmp_path / "out", good, workers=workers)
    assert sorted(Path(path).name for path, _ in report.skipped) == [
        "A7_left.jpg", "A7_lost.jpg", "C7_left.jpg", "C7_lost.jpg",
    ]  # fmt: skip
    assert all("damaged: Corrupt JPEG data" in reason for _, reason in report.skipped)
    run(tmp_path / "without", tmp_path / "clean/in")
    for pair in FILES.values():
        for name in pair:
            assert sha256_of(tmp_path / "out" / name) == sha256_of(tmp_path / "without" / name), name
    assert "Corrupt JPEG" not in capfd.readouterr().err


def test_a_class_of_bad_images_is_an_error_that_names_it(tmp_path, write_images):
    source = write_images(tmp_path / "in")
    (source / "D").mkdir()
    (source / "D/D1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"Class D has no usable image: none of its 1 files.*empty"):
        run(tmp_path / "out", source)
    (source / "D/D1.jpg").write_bytes(undecodable_png())
    with pytest.raises(DataError, match="Class D"):
        run(tmp_path / "out", source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_exact_duplicates_are_dropped_and_those_in_two_classes_named(tmp_path, write_images):
    source = write_images(tmp_path / "in")
    shutil.copy(source / "A/A1.png", source / "A/A99.png")
    shutil.copy(source / "A/A1.png", source / "B/B99.png")
    report = run(tmp_path / "out", source)
    assert report.duplicates == 2
    assert report.conflicts == [(str(source / "A/A1.png"), str(source / "B/B99.png"))]
    assert all("99" not in name for split in SPLITS for name in names_of(tmp_path / "out", split))
    assert manifest_of(tmp_path / "out")["duplicates"]["dropped"] == 2


def test_mirror_flips_only_its_source(tmp_path, write_images):
    left = write_images(tmp_path / "left", seed=1)
    right = write_images(tmp_path / "right", seed=2)
    run(tmp_path / "plain", left, right)
    report = run(tmp_path / "flipped", left, right, mirror=("left",))
    plain, flipped = (np.load(tmp_path / name / "train_set.npy") for name in ("plain", "flipped"))
    manifest = manifest_of(tmp_path / "flipped")
    for row, folder in enumerate(manifest["rows"]["train"]["folder"]):
        expected = plain[row, :, ::-1] if manifest["folders"][folder][0] == 0 else plain[row]
        assert np.array_equal(flipped[row], expected)
    assert [source["mirrored"] for source in report.sources] == [True, False]
    with pytest.raises(DataError, match="--mirror nobody: no such source"):
        run(tmp_path / "out", left, mirror=("nobody",))


def test_split_by_source(tmp_path, write_images):
    sources = [write_images(tmp_path / name, seed=seed) for seed, name in enumerate(("ann", "bob", "eve"))]
    report = run(
        tmp_path / "out", *sources, split=SplitPlan(method="source"), test_sources=("ann",), val_sources=("bob",)
    )
    used = {source["name"]: [source[split] for split in SPLITS] for source in report.sources}
    assert used == {"ann": [0, 0, 36], "bob": [0, 36, 0], "eve": [36, 0, 0]}


def test_blocks_beside_a_source_kept_for_validation(tmp_path, write_images):
    sources = [write_images(tmp_path / name, seed=seed) for seed, name in enumerate(("ann", "bob"))]
    report = run(tmp_path / "out", *sources, split=SplitPlan(fractions=(0.5, 0.25, 0.25)), val_sources=("bob",))
    ann, bob = ([source[split] for split in SPLITS] for source in report.sources)
    assert bob == [0, 36, 0]
    assert ann[0] > 2 * ann[2] > 0 == ann[1]


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_fit_and_size(tmp_path, write_images, fit):
    source = write_images(tmp_path / "in")
    run(tmp_path / "out", source, fit=fit, size=24)
    name = names_of(tmp_path / "out", "test")[0]
    expected = load(source / name[0] / name, 24, fit)
    assert np.array_equal(np.load(tmp_path / "out/test_set.npy")[0], expected)
    assert manifest_of(tmp_path / "out")["fit"] == fit


def test_what_stands_in_the_way(tmp_path, write_images):
    source, out = write_images(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    run(out, source)
    before = digests(out)
    with pytest.raises(DataError, match="--overwrite"):
        run(out, source)
    run(out, source, split=SplitPlan(seed=9), overwrite=True)
    assert digests(out) != before
    (out / "letter.txt").write_text("mine")
    with pytest.raises(DataError, match=r"letter\.txt"):
        run(out, source, overwrite=True)
    assert (out / "letter.txt").exists()
    with pytest.raises(DataError, match="not a folder"):
        run(out / "letter.txt", source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("stage", ["Checking", "Decoding", "Comparing splits", "Writing to disk"])
def test_interrupted_leaves_nothing_and_keeps_what_was(tmp_path, write_images, stage):
    source, out = write_images(tmp_path / "in"), tmp_path / "out"
    run(out, source)
    before = digests(out)

    def stop(name, done, total):
        if name == stage and done == total:
            raise KeyboardInterrupt

    config = PrepareConfig((source,), out, size=48, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        prepare(config, stop)
    assert digests(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_sigterm_leaves_nothing_either(tmp_path, write_images):
    def stop(name, done, total):
        if name == "Decoding" and done == total:
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda number, frame: None)  # or it would end the tests
    config = PrepareConfig((write_images(tmp_path / "in"),), tmp_path / "out", size=32)
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare(config, stop)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_what_a_killed_run_left_goes_at_the_next(tmp_path, write_images):
    source, out = write_images(tmp_path / "in"), tmp_path / "out"
    code = (
        "import os, sys; from pathlib import Path; from asl_edge.data.prepare.prepare import PrepareConfig, prepare\n"
        "prepare(PrepareConfig((Path(sys.argv[1]),), Path(sys.argv[2]), size=32),\n"
        "        lambda name, done, total: os._exit(9) if name == 'Decoding' and done == total else None)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(source), str(out)], check=False).returncode == 9
    assert len(list(tmp_path.glob(".out.partial-*/*.npy"))) > 0
    run(out, source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_mount_point_is_filled_from_within_on_its_own_disk(tmp_path, write_images, monkeypatch):
    source, out = write_images(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    rename, usage, asked = Path.rename, shutil.disk_usage(tmp_path), []

    def refuse(path, target):
        if path == out:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage)
    run(out, source)
    assert {path.name for path in out.iterdir()} == OURS
    assert all(out in (path, *path.parents) for path in asked)
    before = digests(out)
    run(out, source, overwrite=True, split=SplitPlan(seed=4))
    assert {path.name for path in out.iterdir()} == OURS
    assert digests(out) != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
def test_folders_whose_names_are_no_text(tmp_path, write_images):
    folder = tmp_path / os.fsdecode(b"b\xff d")
    source, other = write_images(folder / "in"), write_images(folder / "other", seed=1)
    out = folder / "out"
    options = {"mirror": (str(source),), "test_sources": (str(other),), "split": SplitPlan(method="source")}
    report = run(out, source, other, **options)
    manifest = manifest_of(out)
    assert manifest["sources"][0]["path"] == str(tmp_path / "b\\xff d/in")
    assert manifest["options"]["mirror"] == [str(tmp_path / "b\\xff d/in")]
    assert manifest["options"]["test_source"] == [str(tmp_path / "b\\xff d/other")]
    json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_a_full_disk_is_said_before_work_begins(tmp_path, write_images, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"needs [0-9]+\.[0-9] MB"):
        run(tmp_path / "out", write_images(tmp_path / "in"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 4}, "between 8 and 1024"),
        ({"size": 4000}, "between 8 and 1024"),
        ({"fit": "squash"}, "crop, stretch or pad"),
        ({"workers": 0}, "between 1 and 256"),
        ({"workers": 100_000}, "between 1 and 256"),
        ({"classes": ()}, "No class"),
        ({"test_sources": ("x",), "split": SplitPlan(method="random")}, "need --split source, or"),
        ({"test_sources": ("x",)}, "--test-source x: no such source"),
        ({"classes": ("A", "Q")}, "No image of class Q in the sources. They hold: A,B,C. Leave it out of --classes."),
        ({"classes": ("Q", "X")}, "No image of class Q, X in the sources. They hold: A,B,C."),
    ],
)
def test_rules(tmp_path, write_images, fields, message):
    with pytest.raises(DataError, match=message):
        run(tmp_path / "out", write_images(tmp_path / "in"), **fields)


def test_progress_counts_every_image(tmp_path, write_images):
    seen: dict[str, tuple[int, int]] = {}
    config = PrepareConfig((write_images(tmp_path / "in"),), tmp_path / "out", size=32)
    prepare(config, lambda stage, done, total: seen.__setitem__(stage, (done, total)))
    assert seen["Checking"] == (36, 36)
    assert seen["Decoding"] == (30, 30)


def test_opencv_keeps_its_threads(tmp_path, write_images):
    before = opencv().getNumThreads()
    run(tmp_path / "out", write_images(tmp_path / "in"))
    assert opencv().getNumThreads() == before


def test_the_random_split_of_video_frames_leaks_and_blocks_leak_less(tmp_path, real_data):
    leaks = {
        method: run(tmp_path / method, real_data / "kaggle", split=SplitPlan(method=method)).leak
        for method in ("random", "blocks")
    }
    assert leaks["random"].nearest_neighbour_accuracy == pytest.approx(0.56, abs=0.05)
    assert leaks["blocks"].nearest_neighbour_accuracy == pytest.approx(0.28, abs=0.05)
    near = {method: leak.near_duplicates[1].images for method, leak in leaks.items()}
    assert near["random"] > 10 * near["blocks"]
    assert len(leaks["random"].near_duplicates[1].examples) == 5


def test_the_package_has_the_function_under_its_name_whatever_was_imported_first(tmp_path, write_images):
    """`prepare` is also a module there; the function must win."""
    script = (
        "import asl_edge.data.prepare.discovery, asl_edge.data.prepare.prepare as function\n"
        "from asl_edge.data.prepare import PrepareConfig, PrepareReport, prepare\n"
        "import asl_edge.data.prepare.prepare\n"
        "from asl_edge.data.prepare import prepare as again\n"
        "assert callable(prepare) and prepare is again is function\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0


def test_a_line_in_the_log_tells_the_counts(tmp_path, write_images, caplog):
    source = write_images(tmp_path / "in", per_class=20)
    (source / "A" / "A21.png").write_bytes(b"no image")
    with caplog.at_level("INFO", logger="asl_edge"):
        report = run(tmp_path / "out", source)
    sizes = {split: sum(counts.values()) for split, counts in report.counts.items()}
    (line,) = (record.getMessage() for record in caplog.records)
    assert f"{sizes['train']} train, {sizes['validation']} validation, {sizes['test']} test images; 1 skipped" in line
