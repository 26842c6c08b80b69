"""Checking and decoding of many files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.prepare.decoding import (
    DIGEST_BYTES,
    THUMBNAIL_SIDE,
    RowWriter,
    check_files,
    duplicates,
    npy_header,
    thumbnail,
)
from asl_edge.data.prepare.discovery import Catalogue, find
from asl_edge.imaging.preprocess import Image, load


def ignore(count: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def images(tmp_path: Path, write_images: Callable[..., Path]) -> Path:
    return write_images(tmp_path / "images", classes="AB", per_class=5)


def writer(catalogue: Catalogue, **changes: object) -> RowWriter:
    thumbnails = np.zeros((len(catalogue), THUMBNAIL_SIDE, THUMBNAIL_SIDE), np.uint8)
    options: dict[str, object] = {"size": 16, "fit": "crop", "workers": 2, "thumbnails": thumbnails, "on_done": ignore}
    return RowWriter(catalogue, **(options | changes))  # type: ignore[arg-type]


def test_every_file_has_its_digest_and_bad_ones_a_reason(images: Path) -> None:
    (images / "A" / "A3.png").write_bytes(b"no image")
    done: list[int] = []
    with find([images]) as catalogue:
        checked = check_files(catalogue, 16, workers=2, on_done=done.append)
        contents = [catalogue.read(number) for number in range(len(catalogue))]
    assert sum(done) == len(catalogue) == 10
    assert list(checked.reasons) == [2]
    for content, digest in zip(contents, checked.digests, strict=True):
        assert digest.tobytes() == hashlib.sha256(content).digest()[:DIGEST_BYTES]


def test_rows_are_the_images_that_a_device_would_see(images: Path, tmp_path: Path) -> None:
    order = np.array([7, 0, 4])
    done: list[int] = []
    with find([images]) as catalogue:
        sha256, reasons = writer(catalogue, on_done=done.append).write(tmp_path / "rows.npy", order)
        paths = [images / catalogue.path_of(number) for number in order.tolist()]
    assert reasons == {}
    assert sum(done) == 3
    rows = np.load(tmp_path / "rows.npy")
    np.testing.assert_array_equal(rows, [load(path, 16) for path in paths])
    assert sha256 == hashlib.sha256((tmp_path / "rows.npy").read_bytes()).hexdigest()


def test_images_of_a_mirrored_source_are_flipped(images: Path, tmp_path: Path) -> None:
    with find([images]) as catalogue:
        writer(catalogue).write(tmp_path / "plain.npy", np.arange(10))
        catalogue.sources[0].mirrored = True
        writer(catalogue).write(tmp_path / "mirrored.npy", np.arange(10))
    plain, mirrored = np.load(tmp_path / "plain.npy"), np.load(tmp_path / "mirrored.npy")
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


def test_an_image_that_cannot_be_decoded_is_a_black_row_with_a_reason(images: Path, tmp_path: Path) -> None:
    (images / "A" / "A2.png").write_bytes((images / "A" / "A2.png").read_bytes()[:200])
    with find([images]) as catalogue:
        _, reasons = writer(catalogue).write(tmp_path / "rows.npy", np.arange(10))
    assert list(reasons) == [1]
    rows = np.load(tmp_path / "rows.npy")
    assert not rows[1].any()
    assert rows[0].any()


def test_what_was_decoded_before_is_not_decoded_again(images: Path, tmp_path: Path) -> None:
    grey: Image = np.full((16, 16, 3), 77, np.uint8)
    with find([images]) as catalogue:
        shutil.rmtree(images / "A")
        again = writer(catalogue, decoded_before=lambda number: grey if number < 5 else None)
        _, reasons = again.write(tmp_path / "rows.npy", np.arange(10))
    assert reasons == {}
    assert (np.load(tmp_path / "rows.npy")[:5] == 77).all()


@pytest.mark.parametrize("size", [24, 90, 96, 128, 225])
def test_a_thumbnail_is_the_image_made_small(size: int) -> None:
    ramp = np.tile(((np.arange(size) + 0.5) / size * 255)[None, :, None], (size, 1, 3)).astype(np.uint8)
    small = thumbnail(ramp)
    assert small.shape == (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    expected = (np.arange(THUMBNAIL_SIDE) + 0.5) / THUMBNAIL_SIDE * 255
    assert np.abs(small - expected).max() <= 3


def test_the_header_is_one_that_numpy_reads(tmp_path: Path) -> None:
    rows = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    (tmp_path / "x.npy").write_bytes(npy_header(rows.shape) + rows.tobytes())
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), rows)


def test_duplicates_point_to_the_first_usable_image() -> None:
    digests = np.array([[1] * 16, [2] * 16, [1] * 16, [2] * 16, [1] * 16], np.uint8)
    usable = np.array([False, True, True, True, True])
    assert duplicates(digests, usable).tolist() == [0, 1, 2, 1, 2]
