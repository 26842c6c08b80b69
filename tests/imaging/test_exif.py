from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from asl_edge.imaging import exif
from asl_edge.imaging.preprocess import decode

SMOOTH = np.add.outer(np.arange(24) * 4, np.arange(32) * 3).astype(np.uint8)
IMAGE = np.dstack([SMOOTH, SMOOTH[::-1], np.full_like(SMOOTH, 90)])


def encoded(kind: str, mode: str, orientation: int | None) -> bytes:
    file, extra = io.BytesIO(), {}
    if orientation is not None:
        extra["exif"] = Image.Exif()
        extra["exif"][274] = orientation
    if kind == "WEBP":
        extra["lossless"] = True  # type: ignore[assignment]
    Image.fromarray(IMAGE).convert(mode).save(file, kind, **extra)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_images_are_turned_upright_as_pillow_does(kind: str, mode: str, orientation: int | None) -> None:
    data = encoded(kind, mode, orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))

    assert exif.orientation(data) == (orientation or 1)
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_opencv_turns_these_itself(kind: str, orientation: int) -> None:
    data = encoded(kind, "RGB", orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))

    assert np.abs(decode(data).astype(int) - expected).max() <= 12, "JPEG rounds"


@settings(max_examples=200)
@given(st.sampled_from(["PNG", "WEBP"]), st.data())
def test_damaged_exif_is_upright_or_what_it_says(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind, "RGB", 6))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))

    assert exif.orientation(bytes(content[: data.draw(st.integers(4, len(content)))])) in range(1, 9)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 4)])
def test_any_channels(shape: tuple[int, ...]) -> None:
    image = np.arange(np.prod(shape)).reshape(shape)

    assert exif.upright(image, 6).shape == (3, 2, *shape[2:])
    np.testing.assert_array_equal(exif.upright(exif.upright(image, 6), 8), image)
