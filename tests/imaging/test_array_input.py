"""Images that other libraries hold in memory."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from asl_edge.errors import ImageError
from asl_edge.imaging.array_input import each_image, to_array
from asl_edge.imaging.preprocess import decode

ROWS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


class Tensor:
    """An array of another library."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self._array


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "I;16"])
def test_a_pillow_image_is_what_its_file_is(mode: str) -> None:
    image = Image.fromarray(ROWS)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(ROWS[..., 0]))
    elif mode == "I;16":
        image = Image.fromarray(ROWS[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    stream = io.BytesIO()
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image.save(stream, kind)
    expected = np.asarray(image.convert("RGB")) if mode == "CMYK" else decode(stream.getvalue())

    assert np.abs(to_array(image).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_pillow_image_is_rotated_as_its_file_is(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(ROWS).save(stream, "PNG", exif=exif.tobytes())

    np.testing.assert_array_equal(to_array(Image.open(stream)), decode(stream.getvalue()))


def test_a_pillow_image_that_cannot_be_read() -> None:
    stream = io.BytesIO()
    Image.fromarray(ROWS).save(stream, "JPEG")
    with pytest.raises(ImageError, match="Pillow cannot read it"):
        to_array(Image.open(io.BytesIO(stream.getvalue()[:-300])))
    with pytest.raises(ImageError, match="too large: 10000x10000 is 100 megapixels"):
        to_array(Image.new("1", (10_000, 10_000)))


def test_one_and_several() -> None:
    pillow = Image.fromarray(ROWS)
    assert list(each_image("a.jpg")) == ["a.jpg"]
    assert list(each_image(b"bytes")) == [b"bytes"]
    assert list(each_image(pillow)) == [pillow]
    assert list(each_image(["a.jpg", pillow])) == ["a.jpg", pillow]
    assert list(each_image(np.array(["a.jpg", "b.jpg"]))) == ["a.jpg", "b.jpg"]
    for one in (ROWS, Tensor(ROWS)):
        (array,) = each_image(one)
        np.testing.assert_array_equal(array, ROWS)
    for several in (np.stack([ROWS, ROWS]), Tensor(np.stack([ROWS, ROWS])), [Tensor(ROWS), ROWS]):
        assert [np.asarray(array).shape for array in each_image(several)] == [ROWS.shape] * 2


@pytest.mark.parametrize("thing", [None, 5, 2.5, object()])
def test_what_is_not_an_image(thing: object) -> None:
    with pytest.raises(ImageError, match=f"an image must be a path, .* Received: {type(thing).__name__}"):
        each_image(thing)
    with pytest.raises(ImageError, match=f"an image must be a path, .* Received: {type(thing).__name__}"):
        to_array(thing)


def test_an_array_that_cannot_be_converted() -> None:
    class OnTheGpu:
        def __array__(self) -> np.ndarray:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

    with pytest.raises(ImageError, match=r"OnTheGpu cannot be converted to an array \(can't convert cuda:0"):
        to_array(OnTheGpu())
