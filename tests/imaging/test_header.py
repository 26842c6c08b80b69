"""Headers that lie about the size: decoders would take gigabytes, or minutes."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asl_edge.errors import ImageError
from asl_edge.imaging.header import read_header
from asl_edge.imaging.preprocess import check, load

SMALL = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))


def saved(kind: str, image: Image.Image = SMALL, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


JPEG, PROGRESSIVE = saved("JPEG"), saved("JPEG", progressive=True)
BASELINE_FRAME = JPEG.index(b"\xff\xc0")
TABLES = b"\xff\xdb\0\x43\0" + b"\1" * 64 + b"\xff\xc4\0\x14\0\1" + bytes(16) + b"\xff\xc4\0\x14\x10\1" + bytes(16)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + bytes.fromhex("011100021100031100"))


def scan(*components: int) -> bytes:
    chosen = b"".join(bytes((component, 0)) for component in components)
    return segment(0xDA, bytes((len(components),)) + chosen + b"\0\x3f\0") + bytes(64)


def jpeg(*parts: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def hidden_frame(marker: bytes) -> bytes:
    """A frame of 900 megapixels behind a marker that has no length for one reader, and one for another."""
    decoy = segment(0xFE, frame(16, 16))
    return jpeg(marker, struct.pack(">H", 19 + 6), frame(30_000, 30_000, 0xC2), decoy, TABLES, scan(1, 2, 3))


def tiff(*entries: tuple[int, int, int, int]) -> bytes:
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)


SIZE_16 = ((256, 4, 1, 16), (257, 4, 1, 16))
PACKED = zlib.compress(bytes(7_900_000), 9)
AVIF = saved("AVIF")
ISPE = AVIF.index(b"ispe") + 8


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def avif_with_coded_size(width: int, height: int) -> bytes:
    """An AVIF of 64x48 pixels whose frame has another size: its AV1 sequence header says so."""
    start = AVIF.index(b"\x0a", AVIF.index(b"mdat"))  # the unit that holds the header; then its length
    length = AVIF[start + 1]
    begin = AVIF[start + 2] << 42 | AVIF[start + 3] >> 6 << 40  # ten bits: profile, still, reduced, level
    header = begin | 15 << 36 | 15 << 32 | width - 1 << 16 | height - 1  # 16 bits for each side
    return AVIF[: start + 2] + (header << 8 * length - 50).to_bytes(length, "big") + AVIF[start + 2 + length :]


def avif_of_items(kinds: list[bytes], locations: bytes, count: int = 1) -> bytes:
    """An AVIF of 64x48 pixels whose items are described as given, all of them with the number 1."""
    described = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", 1, 0, kind) + b"\0") for kind in kinds)
    sizes = box(b"iprp", box(b"ipco", box(b"ispe", struct.pack(">III", 0, 64, 48))))
    items = box(b"iinf", struct.pack(">IH", 0, len(kinds)) + described)
    return AVIF[:32] + box(
        b"meta", bytes(4) + items + box(b"iloc", struct.pack(">IHH", 0, 0x4400, count) + locations) + sizes
    )


def location(length: int, parts: int) -> bytes:
    """Where an item lies: so many times at the beginning of the file."""
    return struct.pack(">HHH", 1, 0, parts) + struct.pack(">II", 0, length) * parts


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def packed(name: bytes) -> bytes:
    """A chunk of 8 kB that unpacks to 8 MB."""
    return png_chunk(name, (b"a\0\0" if name == b"zTXt" else b"a\0\1\0\0\0") + PACKED)


def png_header(width: int, height: int) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


LIES: dict[str, tuple[bytes, str]] = {
    "TEM hides the frame": (hidden_frame(b"\xff\x01"), "marker 0x01 before its pixels"),
    "RST hides the frame": (hidden_frame(b"\xff\xd3"), "marker 0xd3 before its pixels"),
    "EOI before the frame": (jpeg(b"\xff\xd9", frame(30_000, 30_000)), "marker 0xd9 before its pixels"),
    "reserved marker": (jpeg(segment(0x4F, bytes(9)), frame(9, 9), scan(1, 2, 3)), "marker 0x4f before its pixels"),
    "segment of length 0": (jpeg(b"\xff\xe0\0\0", frame(9, 9), scan(1, 2, 3)), "segments do not fit"),
    "bytes between segments": (jpeg(b"\0\0", TABLES, frame(9, 9), scan(1, 2, 3)), "not an image"),
    "bytes behind a segment": (jpeg(TABLES, b"\0\0", frame(9, 9), scan(1, 2, 3)), "segments do not fit"),
    "two frames": (jpeg(frame(9, 9), frame(30_000, 30_000, 0xC2), TABLES, scan(1, 2, 3)), "two headers"),
    "no frame": (jpeg(TABLES, scan(1, 2, 3)), "no header before its pixels"),
    "baseline in several scans": (jpeg(TABLES, frame(17_300, 17_300), scan(1), scan(2), scan(3)), "299 megapixels"),
    "progressive in 3,000 scans": (PROGRESSIVE[:-2] + scan(1) * 3000 + b"\xff\xd9", "3,010 scans of 64x48"),
    "many scans of many pixels": (jpeg(TABLES, frame(5_900, 6_000, 0xC2), scan(1, 2, 3) * 40), "40 scans of 5900x6000"),
    "fill bytes": (b"\xff\xd8" + b"\xff" * 5_000_000 + b"\0", "marker 0x00"),
    "fill bytes only": (b"\xff\xd8" + b"\xff" * 5_000_000, "truncated"),
    "5 million segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000 + JPEG[2:], "more than 4,096 segments"),
    "size tags twice": (tiff((256, 4, 1, 30_000), (257, 4, 1, 30_000), *SIZE_16), "its size or its channels twice"),
    "size as one byte": (tiff((256, 1, 1, 0xFFFF0010), (257, 4, 1, 16)), "does not state its size"),
    "size as two numbers": (tiff((256, 3, 2, 0x75300010), (257, 4, 1, 16)), "does not state its size"),
    "a giant tile": (tiff(*SIZE_16, (322, 4, 1, 65_536), (323, 4, 1, 16_384)), "1074 megapixels"),
    "32 bits": (tiff(*SIZE_16, (258, 3, 1, 32)), "32 bits per channel"),
    "500 channels": (tiff(*SIZE_16, (277, 3, 1, 500)), "500 channels"),
    "size box among the brands": (
        struct.pack(">I4s4s4s", 64, b"ftyp", b"avif", bytes(4))
        + b"avif" + struct.pack(">I4sIII", 20, b"ispe", 0, 64, 64) + bytes(24)
        + AVIF[32:ISPE] + struct.pack(">II", 30_000, 30_000) + AVIF[ISPE + 8 :],
        "900 megapixels",
    ),
    "AVIF frame larger than its box": (avif_with_coded_size(16_000, 16_000), "256 megapixels"),
    "animated AVIF": (AVIF[:32] + box(b"moov", bytes(8)) + AVIF[32:], "animated AVIF"),
    "AVIF boxes that overlap": (AVIF[:32] + struct.pack(">I", 2**31) + AVIF[36:], "do not fit into each other"),
    "AVIF of many items": (avif_of_items([b"av01"], bytes(14) * 2000, 2000), "more than 1,024 items"),
    "AVIF of overlapping parts": (avif_of_items([b"av01"], location(5_000, 1_000)), "on top of each other"),
    "AVIF item described twice": (avif_of_items([b"av01", b"Exif"], location(9, 1)), "describes an item twice"),
    "AVIF of empty boxes": (AVIF[:32] + box(b"free", b"") * 500_000, "more than 1,024 boxes"),
    "brands without end": (struct.pack(">I4s4s", 10_000_000, b"ftyp", b"avif") + b"avif" * 2_500_000, "not an image"),
    "PNM comment within a number": (b"P6\n12#3000\n0 9\n255\n" + bytes(5000), "not an image"),
    "PNM comment without end": (b"P6\n#" + b" " * 5_000_000, "not an image"),
    "two PNG headers": (png(png_header(9, 9), png_header(5_000, 5_000)), "two headers"),
    "a million PNG chunks": (png(png_header(9, 9), png_chunk(b"teXt", b"") * 1_000_000), "more than 65,536 chunks"),
    "compressed PNG texts": (png(png_header(9, 9), *(packed(kind) * 18 for kind in (b"zTXt", b"iTXt"))), "texts"),
    "BMP of the smallest number": (b"BM" + bytes(12) + struct.pack("<Iii", 40, -(2**31), -9) + bytes(90), "too large"),
    "GIF screen": (saved("GIF")[:6] + struct.pack("<HH", 65_535, 65_535) + saved("GIF")[10:], "4295 megapixels"),
    "WebP canvas": (saved("WEBP")[:12] + b"VP8X\x0a" + bytes(7) + b"\xff" * 6 + saved("WEBP")[12:], "too large"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_refused_before_anything_is_decoded(name: str) -> None:
    content, reason = LIES[name]
    begin = time.perf_counter()
    with pytest.raises(ImageError, match=reason):
        check(content, 64)
    assert time.perf_counter() - begin < 2
    with pytest.raises(ImageError, match=reason):
        load(content, 64)


def test_decoding_a_lie_takes_little_memory(tmp_path: Path) -> None:
    """In a process of its own, whose memory is measured: the decoders' own is not Python's."""
    if sys.platform != "linux":
        pytest.skip("memory is counted in other units there")
    names = [name for name, (content, _) in LIES.items() if len(content) < 1_000_000]
    for number, name in enumerate(names):
        (tmp_path / str(number)).write_bytes(LIES[name][0])
    code = (
        "import json, resource, sys; from pathlib import Path\n"
        "from asl_edge.errors import ImageError; from asl_edge.imaging.preprocess import load, opencv\n"
        "opencv(); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: load(path, 64)\n"
        "    except ImageError: pass\n"
        "print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) < 100_000, "kilobytes"


def test_what_cameras_write_is_not_a_lie() -> None:
    for data in (
        JPEG,
        PROGRESSIVE,
        JPEG[:2] + b"\xff" * 1000 + JPEG[2:],
        JPEG[:2] + segment(0xE2, bytes(900)) * 255 + JPEG[2:],
    ):
        header = read_header(data)
        assert header is not None
        assert (header.width, header.height) == (64, 48)
        assert load(data, 32).shape == (32, 32, 3)
    assert read_header(PROGRESSIVE).scans == 10  # type: ignore[union-attr]


@pytest.mark.parametrize("image", [SMALL, SMALL.convert("RGBA"), SMALL.convert("L"), SMALL.resize((301, 203))])
def test_avif_of_every_kind_is_read(image: Image.Image) -> None:
    for options in ({}, {"subsampling": "4:4:4"}, {"quality": 100}):
        data = saved("AVIF", image, **options)
        header = read_header(data)
        assert header is not None
        assert (header.width, header.height) == image.size
        assert header.decoded_pixels >= image.width * image.height
        assert load(data, 32).shape == (32, 32, 3)
    opaque = read_header(saved("AVIF", SMALL))
    assert opaque is not None
    assert opaque.decoded_pixels == 64 * 48


def test_a_size_that_only_the_decoder_sees_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a lie pass the header's readers all the same."""
    from asl_edge.imaging import preprocess

    header = read_header(JPEG)
    assert header is not None
    monkeypatch.setattr(preprocess, "read_header", lambda data: header._replace(width=32))
    with pytest.raises(ImageError, match="its header says 32x48 pixels, and it has 64x48"):
        load(JPEG, 32)
