"""Video files, box by box: MP4 with the index first, so that it can be cut, and codecs that no encoder here writes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 64
_MATRIX = struct.pack(">9I", 65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)


def jpeg(number: int = 0, side: int = SIDE) -> bytes:
    """A noisy red image, different for every number."""
    image = np.random.default_rng(number).integers(0, 90, (side, side, 3), dtype=np.uint8)
    image[..., 2] += 150
    return bytes(cv2.imencode(".jpg", image)[1])


def mp4(samples: Sequence[bytes], codec: bytes = b"jpeg", details: bytes = b"") -> bytes:
    """An MP4 file of 25 frames per second; with the usual codec, each sample is a JPEG.

    Args:
        samples: the frames, compressed.
        codec: four characters.
        details: boxes that the codec needs.
    """
    head = _box(b"ftyp", b"isom\0\0\2\0isomiso2mp41")
    length = len(head) + len(_index(samples, codec, details, 0)) + 8
    return head + _index(samples, codec, details, length) + _box(b"mdat", *samples)


def av1(frames: int = 5) -> bytes:
    """An MP4 file of AV1 frames that are none: no OpenCV here decodes that codec."""
    return mp4([b"\x12\x00\x0a\x01\x00"] * frames, b"av01", _box(b"av1C", b"\x81\x00\x0c\x00"))


def _box(name: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    return struct.pack(">I4s", 8 + len(joined), name) + joined


def _full(name: bytes, flags: int, *content: bytes) -> bytes:
    return _box(name, struct.pack(">I", flags), *content)


def _index(samples: Sequence[bytes], codec: bytes, details: bytes, offset: int) -> bytes:
    count, duration = len(samples), 40 * len(samples)
    entry = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HHIIIH", SIDE, SIDE, 0x480000, 0x480000, 0, 1)
    entry += bytes(32) + struct.pack(">Hh", 24, -1) + details
    table = _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), _box(codec, entry)),
        _full(b"stts", 0, struct.pack(">III", 1, count, 40)),
        _full(b"stsc", 0, struct.pack(">IIII", 1, 1, count, 1)),
        _full(b"stsz", 0, struct.pack(">II", 0, count), *(struct.pack(">I", len(sample)) for sample in samples)),
        _full(b"stco", 0, struct.pack(">II", 1, offset)),
    )
    data = _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1)))
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, struct.pack(">IIIIHH", 0, 0, 1000, duration, 0x55C4, 0)),
        _full(b"hdlr", 0, bytes(4), b"vide", bytes(13)),
        _box(b"minf", _full(b"vmhd", 1, bytes(8)), data, table),
    )
    track = _full(
        b"tkhd",
        3,
        struct.pack(">IIIII", 0, 0, 1, 0, duration),
        bytes(16),
        _MATRIX,
        struct.pack(">II", SIDE << 16, SIDE << 16),
    )
    movie = _full(
        b"mvhd",
        0,
        struct.pack(">IIIIIHH", 0, 0, 1000, duration, 65536, 256, 0),
        bytes(8),
        _MATRIX,
        bytes(24),
        struct.pack(">I", 2),
    )
    return _box(b"moov", movie, _box(b"trak", track, media))


def raw_h264(frames: int = 5) -> bytes:
    """A raw H.264 stream (Annex B) of grey frames of 64x64 pixels, stored without compression (I_PCM).

    The syntax is that of ITU-T H.264, sections 7.3.2.1 (sequence), 7.3.2.2 (picture) and 7.3.3 (slice).
    """
    blocks = SIDE // 16
    size = _ue(blocks - 1) * 2
    sequence = "01000010" + "00000000" + "00001010" + _ue(0) * 5 + "0" + size + "1100"
    picture = _ue(0) * 2 + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "000"
    stream = _unit(0x67, sequence + "1") + _unit(0x68, picture + "1")
    for number in range(frames):
        bits = _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(number % 2) + "0000" + "00" + _ue(0)
        for _ in range(blocks * blocks):
            bits += _ue(25)
            bits += "0" * (-len(bits) % 8)
            bits += f"{40 + 20 * number:08b}" * 256 + f"{128:08b}" * 128
        stream += _unit(0x65, bits + "1")
    return stream


def _ue(value: int) -> str:
    """An unsigned number of variable length (section 9.1)."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _unit(kind: int, bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    content = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\0\0\0\1" + bytes((kind,)) + content
