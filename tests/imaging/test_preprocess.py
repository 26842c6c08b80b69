"""The pixel code, against Pillow as an independent decoder, and against every kind of bad file."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from asl_edge.errors import ImageError
from asl_edge.imaging import preprocess
from asl_edge.imaging.header import read_header
from asl_edge.imaging.preprocess import check, decode, load, opencv, to_square

BLOCK_COLOURS = [(230, 20, 30), (20, 200, 40), (30, 60, 220), (240, 230, 40)]


def blocks(width=48, height=32):
    """Four quarters of different colours: every flip and turn looks different, and JPEG keeps them."""
    image = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(BLOCK_COLOURS):
        top, left = number // 2 * (height // 2), number % 2 * (width // 2)
        image[top : top + height // 2, left : left + width // 2] = colour
    return image


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def smooth(height=90, width=120, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return opencv().resize(coarse, (width, height), interpolation=opencv().INTER_CUBIC)


SOME_JPEG = saved(Image.fromarray(smooth()), "JPEG", quality=90)
SOME_PNG = saved(Image.fromarray(smooth()), "PNG")


def pillow(data, mode="RGB"):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert(mode))


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width, height, colour_type=2, depth=8):
    """A small file that says it is large; its one row of zeros would decode to all of it."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = zlib.compress(bytes(10))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


# What is read rightly


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 16])
def test_every_exif_orientation(orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(blocks(192, 128)), "JPEG", quality=95, exif=exif.tobytes())
    expected = pillow(data)
    if size is None:
        assert expected.shape == ((128, 192, 3) if orientation < 5 else (192, 128, 3))
        assert np.abs(decode(data).astype(int) - expected).max() <= 12
    else:  # decoded at a reduced size on the way
        quarters = load(data, size, "stretch")[4::8, 4::8].astype(int)
        height, width = expected.shape[:2]
        assert np.abs(quarters - expected[height // 4 :: height // 2, width // 4 :: width // 2]).max() <= 12


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("PPM", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_come_back_exactly(kind, options):
    image = smooth()
    data = saved(Image.fromarray(image), kind, **options)
    assert np.array_equal(decode(data), image)
    header = read_header(data)
    assert (header.width, header.height) == (120, 90)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 90, "progressive": True}),
        ("JPEG", {"quality": 90, "subsampling": 0}),
        ("JPEG", {"quality": 90, "restart_marker_blocks": 1}),
        ("WEBP", {"quality": 95}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_lossy_formats_agree_with_pillow(kind, options):
    data = saved(Image.fromarray(smooth()), kind, **options)
    difference = np.abs(decode(data).astype(int) - pillow(data))
    assert difference.mean() < 1.5
    assert difference.max() <= 12


def test_gif():
    image = blocks()
    data = saved(Image.fromarray(image).quantize(8), "GIF")
    assert np.abs(decode(data).astype(int) - image).max() <= 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_grey_becomes_three_equal_channels(kind):
    data = saved(Image.fromarray(smooth()[..., 0]), kind)
    image = decode(data)
    assert image.shape == (90, 120, 3)
    assert (image == image[..., :1]).all()
    assert np.abs(image[..., 0].astype(int) - pillow(data, "L")).max() <= 2


def test_cmyk_is_converted():
    data = saved(Image.fromarray(blocks()).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(data)[8::16, 12::24].astype(int) - pillow(data)[8::16, 12::24]).max() <= 12


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3), (9, 11, 4)])
def test_16_bits_become_8(shape):
    deep = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    if shape[-1:] == (4,):
        deep[..., 3] = 65535
    data = opencv().imencode(".png", deep)[1].tobytes()
    expected = deep.astype(float) / 257
    expected = np.repeat(expected[..., None], 3, 2) if len(shape) == 2 else expected[..., 2::-1]
    assert np.abs(decode(data) - expected).max() <= 1


def on_black(image):
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    return rgba[..., :3] * rgba[..., 3:] / 255


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_lies_over_black(mode, kind):
    image = Image.fromarray(np.dstack([smooth(), smooth(seed=1)[..., 0]])).convert(mode)
    data = saved(image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    expected = on_black(Image.open(io.BytesIO(data)))
    assert np.abs(decode(data) - expected).max() <= 1


def test_palette_with_and_without_transparency():
    palette = Image.fromarray(blocks()).quantize(8)
    assert np.array_equal(decode(saved(palette, "PNG")), pillow(saved(palette, "PNG")))
    data = saved(palette, "PNG", transparency=int(np.asarray(palette)[0, 0]))
    image = decode(data)
    assert (image[:16, :24] == 0).all()
    assert np.array_equal(image[16:], pillow(data)[16:])


def test_one_bit():
    bits = Image.fromarray((np.indices((9, 17)).sum(0) % 2 * 255).astype(np.uint8)).convert("1")
    assert np.array_equal(decode(saved(bits, "PNG")), pillow(saved(bits, "PNG")))


# How an image becomes square


def test_crop_takes_the_centre():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert (to_square(image, 5) == 200).all()
    assert (to_square(image.transpose(1, 0, 2).copy(), 5) == 200).all()


def test_stretch_keeps_everything():
    assert np.array_equal(
        to_square(blocks(64, 32), 16, "stretch")[4::8, 4::8].reshape(-1, 3), np.array(BLOCK_COLOURS, np.uint8)
    )


@pytest.mark.parametrize("tall", [False, True])
def test_pad_fills_with_black(tall):
    image = np.full((20, 40, 3), 200, np.uint8)
    square = to_square(image.transpose(1, 0, 2).copy() if tall else image, 16, "pad")
    square = square.transpose(1, 0, 2) if tall else square
    assert (square[4:12] == 200).all()
    assert not square[:4].any()
    assert not square[12:].any()


def test_a_sliver_is_padded_and_not_lost():
    assert to_square(np.full((1, 900, 3), 9, np.uint8), 8, "pad").any()


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@given(height=st.integers(1, 70), width=st.integers(1, 70), size=st.integers(1, 40))
@settings(max_examples=60)
def test_any_shape_becomes_square(fit, height, width, size):
    image = np.random.default_rng(height * 71 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    square = to_square(image, size, fit)
    assert square.shape == (size, size, 3)
    assert square.dtype == np.uint8
    out = np.full((size, size, 3), 77, np.uint8)
    assert to_square(image, size, fit, out=out) is out or np.shares_memory(out, to_square(image, size, fit, out=out))
    assert np.array_equal(out, square)
    assert np.array_equal(image, before)


def test_area_down_and_linear_up():
    cv2, image = opencv(), smooth(64, 64)
    assert np.array_equal(to_square(image, 20), cv2.resize(image, (20, 20), interpolation=cv2.INTER_AREA))
    assert np.array_equal(to_square(image, 90), cv2.resize(image, (90, 90), interpolation=cv2.INTER_LINEAR))
    assert np.array_equal(to_square(image, 64), image)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ImageError, match=r"uint8 array of shape \(height, width, 3\)"):
        to_square(image, 8)


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_load_from_path_bytes_and_into_an_array(tmp_path, fit):
    path = tmp_path / "hand.jpg"
    path.write_bytes(SOME_JPEG)
    image = load(path, 33, fit)
    assert np.array_equal(image, load(str(path), 33, fit))
    assert np.array_equal(image, load(SOME_JPEG, 33, fit))
    assert np.array_equal(image, to_square(decode(SOME_JPEG), 33, fit))
    out = np.empty((33, 33, 3), np.uint8)
    load(SOME_JPEG, 33, fit, out=out)
    assert np.array_equal(image, out)


def test_older_opencv_gives_the_same_pixels(monkeypatch):
    expected = decode(SOME_JPEG)
    if not hasattr(opencv(), "IMREAD_COLOR_RGB"):
        pytest.skip("this is an older OpenCV")
    monkeypatch.delattr(opencv(), "IMREAD_COLOR_RGB")
    assert np.array_equal(decode(SOME_JPEG), expected)


@pytest.mark.parametrize("progressive", [False, True])
def test_large_jpegs_decode_smaller_and_look_the_same(progressive):
    large = opencv().resize(smooth(), (2000, 1500), interpolation=opencv().INTER_CUBIC)
    data = saved(Image.fromarray(large), "JPEG", quality=92, progressive=progressive)
    exact = to_square(decode(data), 64).astype(int)
    assert np.abs(load(data, 64).astype(int) - exact).max() <= 6


# What is refused, with the reason


@given(st.floats(0, 1))
@settings(max_examples=150)
def test_jpeg_cut_anywhere_is_refused(where):
    cut = SOME_JPEG[: int(where * (len(SOME_JPEG) - 2))]
    with pytest.raises(ImageError, match=r"truncated|not an image|empty|damaged"):
        load(cut, 32)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_a_thumbnail_inside_does_not_hide_that_a_jpeg_is_cut(where):
    thumbnail = saved(Image.fromarray(blocks()), "JPEG")
    whole = SOME_JPEG[:2] + b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + SOME_JPEG[2:]
    assert np.array_equal(decode(whole), decode(SOME_JPEG))
    assert check(whole).width == 120
    start = len(thumbnail) + 6
    with pytest.raises(ImageError, match="truncated|not an image"):
        decode(whole[: start + int(where * (len(whole) - start - 2))])


@given(st.floats(0, 1))
@settings(max_examples=150)
def test_png_cut_anywhere_is_refused(where):
    cut = SOME_PNG[: int(where * (len(SOME_PNG) - 1))]
    with pytest.raises(ImageError, match=r"truncated|not an image|empty|damaged"):
        load(cut, 32)


@given(st.integers(8, len(SOME_PNG) - 1), st.integers(1, 255))
@settings(max_examples=100)
def test_png_with_a_changed_byte_is_refused(place, change):
    data = bytearray(SOME_PNG)
    data[place] ^= change
    with pytest.raises(ImageError):
        load(bytes(data), 32)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_never_raises_anything_else(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]))
    content = bytearray(saved(Image.fromarray(blocks()), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        image = load(bytes(content), 16)
    except ImageError:
        return
    assert image.shape == (16, 16, 3)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(content):
    with pytest.raises(ImageError):
        load(content, 16)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is a text\n" * 9, "not an image"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "HEIC"),
        (b"\0\0\0\x18ftypmif1" + bytes(64), "HEIC"),
        (b"%PDF-1.7" + bytes(64), "not an image"),
        (png_of_size(10_000, 10_000), "too large: 10000x10000 is 100 megapixels"),
        (png_of_size(5_000, 5_000, colour_type=6), "the limit is 18"),
        (png_of_size(4_000, 4_000, colour_type=6, depth=16), "the limit is 9"),
        (png_of_size(2**31 - 1, 2**31 - 1), "too large"),
        (png_of_size(0, 10), "damaged: its header says 0x10 pixels"),
        (png_of_size(40, 30), "damaged"),
    ],
)
def test_reasons(content, reason):
    with pytest.raises(ImageError, match=reason):
        load(content, 32)
    if reason != "damaged":
        with pytest.raises(ImageError, match=reason):
            check(content, 32)


def test_a_100_megapixel_jpeg_is_read_small_and_refused_whole():
    large = saved(Image.new("L", (10_000, 10_000), 77), "JPEG", quality=50)
    assert np.abs(load(large, 32).astype(int) - 77).max() <= 1
    with pytest.raises(ImageError, match="100 megapixels"):
        decode(large)
    with pytest.raises(ImageError, match="100 megapixels"):
        check(saved(Image.new("L", (10_000, 10_000), 77), "JPEG", progressive=True), 32)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        load(tmp_path / "none.jpg", 32)
    with pytest.raises(ImageError, match="is a folder, not an image"):
        load(tmp_path, 32)


def test_a_pipe_is_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", os.devnull):
        with pytest.raises(ImageError, match="neither a file nor a folder"):
            load(path, 32)


@pytest.mark.parametrize("own", [None, "WARNING"])
def test_opencv_is_quiet_unless_a_person_wants_to_hear_it(own):
    code = (
        "import os; from asl_edge.imaging.preprocess import opencv; opencv()\n"
        "print(os.environ['OPENCV_LOG_LEVEL'], os.environ['OPENCV_FFMPEG_LOGLEVEL'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    environment |= {"OPENCV_LOG_LEVEL": own} if own else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [own or "FATAL", "-8"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is readable here")
def test_no_permission(tmp_path):
    path = tmp_path / "hand.jpg"
    path.write_bytes(SOME_JPEG)
    path.chmod(0)
    with pytest.raises(ImageError, match="cannot be read"):
        load(path, 32)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(preprocess.MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="a file of 64 MB"):
        load(path, 32)


def test_check_tells_what_the_file_says():
    header = check(SOME_JPEG)
    assert (header.format, header.width, header.height) == ("JPEG", 120, 90)


def test_photographs_agree_with_pillow(real_data):
    for path in sorted(real_data.glob("*/[A-Z]/*"))[::150]:
        expected = pillow(path.read_bytes()).astype(int)
        assert np.abs(decode(path.read_bytes()) - expected).max() <= 8, path
