"""Seeds and structure-aware mutations for `benchmarks.reliability.hostile_inputs`.

Each format is split into its parts (segments, chunks, boxes, fields, members), the parts are changed, and lengths and
checksums are corrected, so that a change reaches the code behind the first check. A third of the inputs keep wrong
lengths and checksums, and all may be cut or have bytes changed at the end.
"""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.harness.report import REPOSITORY

FIXTURES = REPOSITORY / "tests" / "fixtures" / "v0_1_dev"

Parts = list[bytes]
Split = Callable[[bytes], Parts]
Join = Callable[[Parts, bool], bytes]
"""Puts parts together; if the second argument is true, lengths and checksums are corrected."""

NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0xFFFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
"""Numbers at which programs overflow, change sign or stop."""
TEXTS = (
    "",
    "\x1b[2J\x1b]0;x\x07",
    "=1+1",
    "\ud800",
    "a" * 5000,
    "\r\n",
    "../../x",
    "\u202e",
    "[/b]",
    "'\"`$(x)",
    "A",
    "0",
    "-1",
    "NaN",
    "1e400",
    "com.microsoft",
    "Loop",
    "If",
    "ConstantOfShape",
    "Expand",
    "Tile",
    "Range",
    "Resize",
    "Pad",
    "Conv",
    "MatMul",
    "Concat",
    "Reshape",
    "Gather",
    "image",
    "probabilities",
)


def mutated(kind: str, seed: int, number: int) -> bytes:
    """Return input `number` of a kind; the same arguments give the same bytes."""
    choose = random.Random(f"{seed} {kind} {number}")
    seeds = SEEDS[kind]()
    content = choose.choice(seeds)
    special = SPECIAL.get(kind)
    if special is not None and choose.random() < (
        0.3 if kind in FORMATS and kind not in ("avif", "exif", "zip") else 0.7
    ):
        content = special(choose, content)
    elif kind in FORMATS:
        split, join = FORMATS[kind]
        parts = split(content)
        for _ in range(choose.choice((1, 1, 2, 3, 6))):
            _change_parts(choose, parts, split(choose.choice(seeds)))
        content = join(parts, choose.random() < 0.7)
    if kind not in ONLY_WHOLE and (choose.random() < 0.35 or content in seeds):
        content = changed_bytes(choose, content)
    return content


def changed_bytes(choose: random.Random, content: bytes) -> bytes:
    """Return content with a few bytes changed, added, left out or repeated."""
    data = bytearray(content)
    for _ in range(choose.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        place = choose.randrange(len(data))
        how = choose.randrange(7)
        if how == 0:
            data[place] ^= 1 << choose.randrange(8)
        elif how == 1:
            data[place] = choose.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
        elif how == 2:
            width = choose.choice((2, 4, 8))
            order: Any = choose.choice(("little", "big"))
            data[place : place + width] = (choose.choice(NUMBERS) % 2 ** (8 * width)).to_bytes(width, order)
        elif how == 3:
            del data[place : place + choose.choice((1, 2, 4, 64))]
        elif how == 4:
            data[place:place] = data[place : place + choose.choice((1, 4, 64))] * choose.choice((1, 2, 50))
        elif how == 5:
            data[place:place] = bytes([choose.choice((0, 0xFF))]) * choose.choice((1, 16, 2000))
        else:
            del data[place:]
    return bytes(data)


def _change_parts(choose: random.Random, parts: Parts, others: Parts) -> None:
    """Change a list of parts in place: one is left out, doubled, moved, replaced, or changed inside."""
    if not parts:
        parts.extend(others)
        return
    place = choose.randrange(len(parts))
    how = choose.randrange(8)
    if how == 0 and len(parts) > 1:
        del parts[place]
    elif how == 1:
        parts[place:place] = [parts[place]] * choose.choice((1, 1, 2, 100))
    elif how == 2:
        parts.insert(choose.randrange(len(parts) + 1), parts.pop(place))
    elif how == 3 and others:
        parts.insert(place, choose.choice(others))
    elif how == 4 and others:
        parts[place] = choose.choice(others)
    else:
        parts[place] = changed_bytes(choose, parts[place])


# Images ---------------------------------------------------------------------------------------------------------------


def _pixels(side: int = 24) -> Any:
    ramp = np.arange(side * side * 3, dtype=np.uint32).reshape(side, side, 3)
    return ((ramp * 7919 >> 3) % 256).astype(np.uint8)


def _encoded(suffix: str, *ways: tuple[int, ...], image: Any = None) -> list[bytes]:
    """Return an image encoded in several ways; one that this OpenCV cannot write is left out."""
    import cv2

    encoded = []
    for way in ways or ((),):
        try:
            done, content = cv2.imencode(suffix, _pixels() if image is None else image, list(way))
        except cv2.error:
            continue
        if done:
            encoded.append(content.tobytes())
    return encoded


@cache
def _jpegs() -> list[bytes]:
    import cv2

    quality, progressive = (cv2.IMWRITE_JPEG_QUALITY, 80), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    ways = (quality, progressive, (cv2.IMWRITE_JPEG_RST_INTERVAL, 2), (*progressive, *quality))
    return _encoded(".jpg", *ways) + _encoded(".jpg", image=_pixels()[..., 0])


@cache
def _pngs() -> list[bytes]:
    deep = _pixels().astype(np.uint16) * 257
    clear = np.dstack([_pixels(), _pixels()[..., :1]])
    return [*_encoded(".png"), *_encoded(".png", image=deep), *_encoded(".png", image=clear)]


@cache
def _webps() -> list[bytes]:
    import cv2

    clear = np.dstack([_pixels(), _pixels()[..., :1]])
    return [
        *_encoded(".webp", (cv2.IMWRITE_WEBP_QUALITY, 60), (cv2.IMWRITE_WEBP_QUALITY, 101)),
        *_encoded(".webp", image=clear),
    ]


@cache
def _tiffs() -> list[bytes]:
    import cv2

    ways = [(cv2.IMWRITE_TIFF_COMPRESSION, number) for number in (1, 5, 8, 32773)]
    return _encoded(".tiff", *ways) + _encoded(".tiff", image=_pixels()[..., 0])


@cache
def _gifs() -> list[bytes]:
    """A GIF of one frame and one of two, written by hand: 4 by 4 pixels of two colours, without compression."""
    head = b"GIF89a" + struct.pack("<2H3B", 4, 4, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    # LZW of 2 bits: clear, then codes of 3 bits, cleared before they grow to 4.
    codes = [code for pixel in range(16) for code in ((4, pixel % 2) if pixel % 2 == 0 else (pixel % 2,))] + [5]
    bits = sum(code << 3 * place for place, code in enumerate(codes))
    data = bits.to_bytes(-(-3 * len(codes) // 8), "little")
    frame = b"," + struct.pack("<4HB", 0, 0, 4, 4, 0) + b"\x02" + bytes([len(data)]) + data + b"\0"
    control = b"!\xf9\x04" + struct.pack("<BHB", 1, 10, 0) + b"\0"
    return [head + frame + b";", head + control + frame + control + frame + b";", *_encoded(".gif")]


def _exif(order: str, orientation: int) -> bytes:
    """Return an APP1 segment: orientation, a date, and a thumbnail that is not there."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(0x0112, 3, 1, orientation << (16 if order == ">" else 0)), (0x0132, 2, 20, 62), (0x8769, 4, 1, 82)]
    body = struct.pack(f"{order}IH", 8, len(entries))
    body += b"".join(struct.pack(f"{order}2H2I", *entry) for entry in entries) + struct.pack(f"{order}I", 82)
    payload = b"Exif\0\0" + mark + body + b"2026:01:01 00:00:00\0" + struct.pack(f"{order}H", 0)
    return b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload


@cache
def _exifs() -> list[bytes]:
    return [
        _jpegs()[0][:2] + _exif(order, orientation) + _jpegs()[0][2:]
        for order in "<>"
        for orientation in (1, 3, 6, 8, 0, 9)
    ]


def _change_exif(choose: random.Random, content: bytes) -> bytes:
    """Change the EXIF block alone."""
    parts = _jpeg_parts(content)
    places = [place for place, part in enumerate(parts) if part.startswith(b"\xff\xe1")]
    for place in places:
        payload = bytearray(parts[place][4:])
        for _ in range(choose.choice((1, 2, 5))):
            at = choose.randrange(6, len(payload))
            width = choose.choice((1, 2, 4))
            order: Any = choose.choice(("little", "big"))
            payload[at : at + width] = (choose.choice(NUMBERS) % 2 ** (8 * width)).to_bytes(width, order)
        parts[place] = parts[place][:4] + bytes(payload)
    return _jpeg(parts, True)


SIDES = (0, 1, 7, 16, 100, 1000, 6000, 20_000, 32_768, 65_535)
"""Sides of images that a header may promise."""


def _change_jpeg(choose: random.Random, content: bytes) -> bytes:
    """Change what a JPEG's frame header promises, repeat scans and headers, or put marks in front of them."""
    parts = _jpeg_parts(content)
    frames = [place for place, part in enumerate(parts) if part[:1] == b"\xff" and part[1:2] in (b"\xc0", b"\xc2")]
    place = choose.choice(frames or [0])
    size = struct.pack(">2H", choose.choice(SIDES), choose.choice(SIDES))
    how = choose.randrange(7)
    if how == 6 and frames:
        parts[place] = _hidden(choose, parts[place], size) + parts[place]
    elif how == 0 and frames:
        parts[place] = parts[place][:5] + size + parts[place][9:]
    elif how == 1 and frames:
        parts.insert(choose.choice((1, place + 1)), parts[place][:5] + size + parts[place][9:])
    elif how == 2:
        parts.insert(
            place, choose.choice((b"\xff\x01", b"\xff\xd0", b"\xff\x02\x00\x04ab", b"\xff" * 500, b"\0" * 500))
        )
        parts[place + 1] = parts[place + 1][:5] + size + parts[place + 1][9:]
    elif how == 3:
        parts[-1:] = [parts[-1]] * choose.choice((2, 20, 300))
    elif how == 4:
        parts.insert(1, b"\xff\xdd\x00\x04" + struct.pack(">H", choose.choice(SIDES)))
    elif frames:
        sampling = bytearray(parts[place])
        for at in range(11, len(sampling), 3):
            sampling[at] = choose.choice((0x11, 0x22, 0x41, 0x14, 0x44, 0x00, 0xFF))
        parts[place] = bytes(sampling)
    return b"".join(parts)


def _hidden(choose: random.Random, frame: bytes, size: bytes) -> bytes:
    """Return a frame header that readers see or skip, as they take a mark with or without a length before it.

    Who skips it reads the frame that follows; who reads it skips that one as a comment.
    """
    hidden = frame[:5] + size + frame[9:] + b"\xff\xfe" + struct.pack(">H", len(frame) + 2)
    mark = choose.choice((b"\xff\x01", b"\xff\xd3", b"\xff\x30", b"\xff\xf0", b"\xff\xfd"))
    return mark + struct.pack(">H", len(hidden) + 2) + hidden


@cache
def _avifs() -> list[bytes]:
    """Return AVIFs by OpenCV, or by Pillow; where neither writes them, the beginning of one, which is refused."""
    import cv2

    clear = np.dstack([_pixels(), _pixels()[..., :1]])
    quality = getattr(cv2, "IMWRITE_AVIF_QUALITY", None)
    if quality is not None:
        seeds = _encoded(".avif", (quality, 60), (quality, 100)) + _encoded(".avif", (quality, 60), image=clear)
        if seeds:
            return seeds
    from PIL import Image, features

    if not features.check("avif"):
        return [b"\0\0\0\x20ftypavif" + bytes(20)]
    files = [io.BytesIO(), io.BytesIO()]
    Image.fromarray(_pixels()).save(files[0], "AVIF")
    Image.fromarray(clear, "RGBA").save(files[1], "AVIF")
    return [file.getvalue() for file in files]


def writes_avif() -> bool:
    """Whether this machine writes whole AVIFs, and so reads them."""
    return len(_avifs()) > 1


_BOX_HEADS = {b"meta": 4, b"iinf": 6, b"iprp": 0, b"ipco": 0, b"iref": 4}
"""Boxes that hold others -> how many bytes of their own come first."""


def _change_avif(choose: random.Random, content: bytes) -> bytes:
    """Change boxes of an AVIF at random depth, with the lengths around them corrected, or what its frames promise."""
    how = choose.randrange(4)
    if how == 0:  # sizes in boxes
        return _replaced_after(choose, content, b"ispe", 4, struct.pack(">2I", *choose.choices(SIDES, k=2)))
    if how == 1:  # the header of a sequence: profile, level and sizes
        place = content.find(b"mdat") + 4 + choose.randrange(12)
        return content[:place] + bytes(choose.choices(range(256), k=choose.choice((1, 2, 4)))) + content[place + 1 :]
    begin = content.find(b"mdat")
    changed = _change_boxes(choose, content)
    moved = changed.find(b"mdat")
    if begin < 0 or moved < 0:
        return changed
    # What is stored where: else nearly all would be refused for that alone.
    return changed.replace(struct.pack(">I", begin + 4), struct.pack(">I", moved + 4), 1)


def _replaced_after(choose: random.Random, content: bytes, name: bytes, skipped: int, value: bytes) -> bytes:
    """Return content with a value in place of what stands behind one of the boxes of a name."""
    places = [found.end() + skipped for found in re.finditer(re.escape(name), content)]
    if not places:
        return content
    place = choose.choice(places)
    return content[:place] + value + content[place + len(value) :]


def _change_boxes(choose: random.Random, content: bytes) -> bytes:
    """Change one box of several, or a box within it, and correct its length."""
    boxes = _chunks(content, 0, ">I4s", -8)
    place = choose.randrange(len(boxes))
    box = boxes[place]
    own = _BOX_HEADS.get(box[4:8])
    if own is not None and len(box) > 8 + own and choose.random() < 0.85:
        inner = box[8 : 8 + own] + _change_boxes(choose, box[8 + own :])
        boxes[place] = (len(inner) + 8).to_bytes(4, "big") + box[4:8] + inner
    elif choose.random() < 0.5:
        body = changed_bytes(choose, box[8:])
        boxes[place] = (len(body) + 8).to_bytes(4, "big") + box[4:8] + body
    else:
        _change_parts(choose, boxes, boxes)
    return b"".join(boxes)


def _change_sides(begin: int, form: str) -> Callable[[random.Random, bytes], bytes]:
    """Return a change of the two sides that a header holds at a place."""

    def change(choose: random.Random, content: bytes) -> bytes:
        sides = struct.pack(form, choose.choice(SIDES), choose.choice(SIDES))
        return content[:begin] + sides + content[begin + len(sides) :]

    return change


def _change_png(choose: random.Random, content: bytes) -> bytes:
    """Change the size or the kind of pixels that a PNG promises, with a correct checksum."""
    parts = _chunks(content, 8, ">I4s", 4)
    head = bytearray(parts[1])
    head[8:16] = struct.pack(">2I", choose.choice(SIDES), choose.choice(SIDES))
    if choose.random() < 0.5:
        head[16:21] = bytes(
            choose.choice(((8, 2, 0, 0, 0), (16, 6, 0, 0, 1), (1, 3, 0, 0, 0), (8, 3, 0, 0, 1), (2, 0, 0, 0, 0)))
        )
    parts[1] = bytes(head)
    return _png(parts, True)


def _jpeg_parts(content: bytes) -> Parts:
    """Return the start, each segment with its marker, and the compressed rest."""
    parts, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        parts.append(content[place:end])
        place = end
    return [*parts, content[place:]]


def _jpeg(parts: Parts, corrected: bool) -> bytes:
    if not corrected:
        return b"".join(parts)
    return b"".join(
        part[:2] + min(len(part) - 2, 0xFFFF).to_bytes(2, "big") + part[4:]
        if len(part) >= 4 and part[0] == 0xFF and part[1] not in (0xD8, 0xDA)
        else part
        for part in parts
    )


def _chunks(content: bytes, begin: int, form: str, extra: int, padded: bool = False) -> Parts:
    """Return what precedes the chunks, and the chunks: a name and a length in the order of `form`."""
    parts, place = [content[:begin]], begin
    size = struct.calcsize(form)
    while place + size <= len(content):
        values = struct.unpack(form, content[place : place + size])
        length = next(value for value in values if isinstance(value, int))
        end = place + size + length + extra + (length % 2 if padded else 0)
        parts.append(content[place:end])
        place = end
    return [*parts, content[place:]] if place < len(content) else parts


def _png(parts: Parts, corrected: bool) -> bytes:
    if not corrected:
        return b"".join(parts)
    done = [parts[0]]
    for part in parts[1:]:
        body = part[8:-4] if len(part) >= 12 else b""
        name = part[4:8].ljust(4, b"x")
        done.append(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))
    return b"".join(done)


def _riff(parts: Parts, corrected: bool) -> bytes:
    if not corrected:
        return b"".join(parts)
    done = []
    for part in parts[1:]:
        name, body = part[:4].ljust(4, b"x"), part[8:]
        done.append(name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2))
    chunks = b"".join(done)
    head = parts[0].ljust(12, b"x")
    return head[:4] + struct.pack("<I", len(chunks) + 4) + head[8:12] + chunks


def _slices(size: int) -> Split:
    """Return a split into pieces of `size` bytes, for formats whose head is a table of numbers."""
    return lambda content: [content[at : at + size] for at in range(0, min(len(content), 512), size)] + [content[512:]]


def _together(parts: Parts, _: bool) -> bytes:
    return b"".join(parts)


def _change_tiff(choose: random.Random, content: bytes) -> bytes:
    """Change entries of a TIFF's directory: other tags, types, counts and values; doubled ones."""
    if content[:4] != b"II*\0":
        return changed_bytes(choose, content)
    (begin,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[begin : begin + 2])
    entries = [bytearray(content[begin + 2 + 12 * n : begin + 14 + 12 * n]) for n in range(count)]
    for _ in range(choose.choice((1, 2, 3))):
        entry = choose.choice(entries)
        how = choose.randrange(4)
        if how == 0:
            entry[8:12] = struct.pack("<I", choose.choice(NUMBERS) % 2**32)
        elif how == 1:
            entry[4:8] = struct.pack("<I", choose.choice(NUMBERS) % 2**32)
        elif how == 2:
            entry[:4] = struct.pack(
                "<2H", choose.choice((256, 257, 258, 259, 277, 322, 323, 324, 339)), choose.choice((3, 4, 16))
            )
        else:
            entries.insert(choose.randrange(len(entries)), bytearray(entry))
    after = content[begin + 2 + 12 * count :]
    directory = struct.pack("<H", len(entries)) + b"".join(map(bytes, entries)) + after[:4]
    # A longer directory goes to the end, so that nothing else moves.
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + directory + bytes(4)


# Video ----------------------------------------------------------------------------------------------------------------


@cache
def _videos() -> list[bytes]:
    """Clips of eight frames in the containers that this OpenCV writes."""
    import tempfile
    from pathlib import Path

    import cv2

    clips = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, code in ((".avi", "MJPG"), (".mp4", "mp4v"), (".mkv", "MJPG")):
            path = Path(folder, f"clip{suffix}")
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, (32, 24))
            for number in range(8):
                writer.write(np.roll(_pixels(32)[:24], number, axis=1))
            writer.release()
            if path.is_file() and path.stat().st_size:
                clips.append(path.read_bytes())
    return clips


def _video_parts(content: bytes) -> Parts:
    if content[:4] == b"RIFF":
        return _chunks(content, 12, "<4sI", 0, padded=True)
    if content[4:8] == b"ftyp":
        return _chunks(content, 0, ">I4s", -8)
    return _slices(16)(content)


def _video(parts: Parts, corrected: bool) -> bytes:
    if corrected and parts and parts[0][:4] == b"RIFF":
        return _riff(parts, True)
    return b"".join(parts)


# Models ---------------------------------------------------------------------------------------------------------------


@cache
def _models() -> list[bytes]:
    return [(FIXTURES / name).read_bytes() for name in ("fp32.onnx", "fp16-weights.onnx")]


_NESTED = {(): (7, 8, 14), (7,): (1, 5, 11, 12, 13), (7, 1): (5,), (7, 1, 5): (5,), (7, 11): (2,), (7, 12): (2,)}
"""Path of field numbers in ONNX's messages -> the fields that are messages themselves."""
_SPEC = b"asl_edge.spec"


def _change_model(choose: random.Random, content: bytes, path: tuple[int, ...] = ()) -> bytes:
    """Change fields of an ONNX model: at random depth, with the lengths around them corrected; or its spec."""
    from asl_edge.runtime.onnx_file.protobuf import field, fields

    if not path and choose.random() < 0.4:
        return _with_spec(content, lambda spec: changed_json(choose, spec))
    items = list(fields(memoryview(content)))
    if not items:
        return changed_bytes(choose, content)
    parts = [content[item.begin : item.end] for item in items]
    inner = [place for place, item in enumerate(items) if item.number in _NESTED.get(path, ())]
    if inner and choose.random() < 0.85:
        place = choose.choice(inner)
        item = items[place]
        parts[place] = field(item.number, _change_model(choose, bytes(item.value), (*path, item.number)))
        return b"".join(parts)
    place = choose.randrange(len(items))
    number = items[place].number
    how = choose.randrange(6)
    if how == 0:
        del parts[place]
    elif how == 1:
        parts[place:place] = [parts[place]] * choose.choice((1, 2, 300))
    elif how == 2:
        parts[place] = field(number, choose.choice(NUMBERS))
    elif how == 3:
        parts[place] = field(number, choose.choice(TEXTS).encode("utf-8", "surrogatepass"))
    elif how == 4:
        parts.append(field(choose.choice((1, 2, 5, 7, 8, 13, 14, 20, 25)), choose.choice((b"", b"\x08\x01", b"x" * 9))))
    else:
        parts[place] = changed_bytes(choose, parts[place])
    return b"".join(parts)


def _with_spec(content: bytes, change: Callable[[str], str]) -> bytes:
    """Return a model whose spec is changed."""
    from asl_edge.runtime.onnx_file.protobuf import field, fields

    done = []
    for item in fields(memoryview(content)):
        part = content[item.begin : item.end]
        if item.number == 14 and _SPEC in part:
            pair = {entry.number: bytes(entry.value) for entry in fields(item.value)}  # type: ignore[arg-type]
            spec = change(pair[2].decode()).encode("utf-8", "surrogatepass")
            part = field(14, field(1, pair[1]) + field(2, spec))
        done.append(part)
    return b"".join(done)


_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    10**400,
    1e-300,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    [1],
    {},
    {"a": 1},
    [[[[]]]],
    *TEXTS,
)


def changed_json(choose: random.Random, text: str) -> str:
    """Return JSON with one or more values replaced, doubled, renamed or nested deeply."""
    values = json.loads(text)
    for _ in range(choose.choice((1, 1, 2, 4))):
        holder, key = _place_in(choose, values)
        if holder is None:
            break
        how = choose.randrange(5)
        if how < 3:
            holder[key] = copy.deepcopy(choose.choice(_VALUES))  # it may be changed in turn
        elif how == 3 and isinstance(holder, dict):
            holder[choose.choice(TEXTS)] = holder.pop(key)
        else:
            holder[key] = [holder[key]] * choose.choice((2, 40))
    text = json.dumps(values)
    if choose.random() < 0.05:
        text = text.replace("{}", "[" * 100_000 + "]" * 100_000, 1)
    return text


def _place_in(choose: random.Random, values: Any) -> tuple[Any, Any]:
    """Return a dictionary or list somewhere in `values`, and one of its keys or places."""
    holder: Any = None
    key: Any = None
    while isinstance(values, (dict, list)) and values and (holder is None or choose.random() < 0.6):
        holder = values
        key = choose.choice(list(values)) if isinstance(values, dict) else choose.randrange(len(values))
        values = values[key]
    return holder, key


# Bundles, zips, arrays ------------------------------------------------------------------------------------------------


@cache
def _old_members() -> dict[str, bytes]:
    with zipfile.ZipFile(FIXTURES / "model.aslz") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@cache
def _bundles() -> list[bytes]:
    return [_bundle(_old_members()), (FIXTURES / "model.aslz").read_bytes()]


def _bundle(members: dict[str, bytes]) -> bytes:
    from asl_edge.runtime.bundle.archive import write_archive

    file = io.BytesIO()
    write_archive(file, members)
    return file.getvalue()


def _change_bundle(choose: random.Random, content: bytes) -> bytes:
    """Change members of a bundle, with a manifest that fits them, so that only what they hold can be refused."""
    import hashlib

    members = dict(_old_members())
    manifest = next(iter(members))
    name = choose.choice(list(members))
    data = members[name]
    if name == manifest:
        members[name] = changed_json(choose, data.decode()).encode("utf-8", "surrogatepass")
    elif name.endswith(".onnx"):
        members[name] = _change_model(choose, data)
    elif name.endswith(".npy"):
        members[name] = _change_npy(choose, data)
    else:
        members[name] = changed_bytes(choose, data)
    if name != manifest:
        values = json.loads(members[manifest])
        values["members"][name] = {"sha256": hashlib.sha256(members[name]).hexdigest(), "bytes": len(members[name])}
        members[manifest] = json.dumps(values).encode()
    return _bundle(members)


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


_HEADERS = (
    ("'fortran_order': False", "'fortran_order': True"),
    ("'<f4'", "'<f8'"),
    ("'<f4'", "'|O'"),
    ("'|u1'", "'<u8'"),
    ("False", "__import__('os').abort()"),
    ("(", "(99999999999, "),
    ("(", "(-1, "),
    ("(", "((((("),
    ("}", ""),
    ("'|u1'", "[('a', '<f4')]"),
    ("'<f4'", "'<U99999'"),
    (", ", " " * 5000 + ", "),
    ("(", "(" + "9" * 400 + ", "),
)


def _change_npy(choose: random.Random, content: bytes) -> bytes:
    """Change an array file: its header's words, its length, or its numbers."""
    how = choose.randrange(4)
    length = int.from_bytes(content[8:10], "little")
    header, numbers = content[10 : 10 + length].decode("latin-1"), content[10 + length :]
    if how == 0:
        header = header.replace(*choose.choice(_HEADERS), 1)
    elif how == 1:
        header = changed_bytes(choose, header.encode("latin-1")).decode("latin-1")
    elif how == 2:
        numbers = changed_bytes(choose, numbers)
    else:
        width = 4 if b"f4" in content[:64] else 1
        at = choose.randrange(max(1, len(numbers) // width)) * width
        numbers = numbers[:at] + choose.choice((b"\xff" * width, b"\0\0\xc0\x7f"[:width])) + numbers[at + width :]
    coded = header.encode("latin-1")
    return content[:8] + min(len(coded), 0xFFFF).to_bytes(2, "little") + coded + numbers


_METHODS = (zipfile.ZIP_STORED, *(zipfile.ZIP_DEFLATED,) * 4, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def _zip(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that stand twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return file.getvalue()


_ADAPTED = {
    "format": np.array(1),
    "classes": np.array(("B", "L", "nothing")),
    "weights": np.zeros((32, 3), np.float32),
    "bias": np.zeros(3, np.float32),
    "temperature": np.array(1.5),
    "network_id": np.array("x" * 64),
}


@cache
def _adaptations() -> list[bytes]:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **_ADAPTED)
    return [file.getvalue(), _zip([(f"{name}.npy", _npy(array)) for name, array in _ADAPTED.items()], zipfile.ZIP_LZMA)]


_ARRAYS: tuple[Any, ...] = (
    np.array(2**63 - 1),
    np.array(np.nan),
    np.array("x"),
    np.zeros((2, 2)),
    np.zeros(0),
    np.full((32, 3), np.inf, np.float32),
    np.array([1, 2, 3]),
    np.array(1e-30),
    np.array(-1.0),
    np.full((32, 3), 3e38, np.float32),
    np.array(True),
    np.array(""),
)


def _change_adaptation(choose: random.Random, _: bytes) -> bytes:
    members = {f"{name}.npy": _npy(array) for name, array in _ADAPTED.items()}
    name = choose.choice(list(members))
    how = choose.randrange(4)
    if how == 0:
        members[name] = _npy(choose.choice(_ARRAYS))
    elif how == 1:
        members[name] = _change_npy(choose, members[name])
    elif how == 2:
        del members[name]
    else:
        members[choose.choice(TEXTS[:10]).encode("utf-8", "replace").decode()] = bytes(choose.choice((0, 10, 100_000)))
    return _zip(list(members.items()), choose.choice(_METHODS))


@cache
def _zips() -> list[bytes]:
    images = [(f"set/{label}/{n}.jpg", _jpegs()[n]) for label in "AB" for n in range(3)]
    flat = [(f"{label}_{n}.png", _pngs()[0]) for label in "AB" for n in range(2)]
    return [_zip(images), _zip(flat, zipfile.ZIP_STORED), _zip(images, zipfile.ZIP_LZMA), _zip(flat, zipfile.ZIP_BZIP2)]


def _change_zip(choose: random.Random, _: bytes) -> bytes:
    """Write a zip whose members' names or contents are hostile."""
    members = [(f"{label}/{n}.jpg", _jpegs()[n]) for label in "AB" for n in range(2)]
    text = choose.choice(TEXTS).encode("utf-8", "replace").decode()
    how = choose.randrange(5)
    if how == 0:
        members.append((f"{text}/A/x.jpg", _jpegs()[0]))
    elif how == 1:
        members.append((f"A/{text}.jpg", _jpegs()[0]))
    elif how == 2:
        members.append(("a/" * choose.choice((10, 65, 30_000)) + "x.jpg", b""))
    elif how == 3:
        members.append(("A/0.jpg", mutated("jpeg", 1, choose.randrange(10_000))))
    else:
        members.append(("A/big.jpg", bytes(choose.choice((1000, 300_000)))))
    return _zip(members, choose.choice(_METHODS))


def _zip_parts(content: bytes) -> Parts:
    """Return pieces that each begin with one of a zip's marks."""
    places = [found.start() for found in re.finditer(b"PK", content)]
    return [content[at:end] for at, end in zip([0, *places], [*places, len(content)], strict=True) if at < end]


_SEPARATOR = b"\n--asl-edge--\n"
"""Between the files of a folder of arrays, which one input holds together."""


@cache
def _folders() -> list[bytes]:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    one_hot = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    digest = {"sha256": "0" * 64}
    names = [f"{split}_{what}.npy" for split in ("train", "validation", "test") for what in ("set", "classes")]
    manifest = {
        "fit": "crop",
        "classes": ["A", "B", "C"],
        "files": dict.fromkeys(names, digest),
        "options": {},
        "sources": [],
        "folders": [[0, "a"]],
        "rows": {"train": {"folder": [0, 0, 0, 0]}},
    }
    return [_SEPARATOR.join([_npy(images), _npy(one_hot), json.dumps(manifest).encode()])]


def files_of_folder(content: bytes) -> list[bytes]:
    """Return images, classes and manifest of an input of the kind `arrays`."""
    return [*content.split(_SEPARATOR), b"", b""][:3]


def _change_folder(choose: random.Random, content: bytes) -> bytes:
    files = files_of_folder(content)
    place = choose.randrange(3)
    if place == 2:
        files[2] = changed_json(choose, files[2].decode()).encode("utf-8", "surrogatepass")
    else:
        files[place] = _change_npy(choose, files[place])
    return _SEPARATOR.join(files)


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "jpeg": _jpegs,
    "png": _pngs,
    "webp": _webps,
    "gif": _gifs,
    "bmp": cache(partial(_encoded, ".bmp")),
    "tiff": _tiffs,
    "avif": _avifs,
    "exif": _exifs,
    "video": _videos,
    "onnx": _models,
    "bundle": _bundles,
    "bundle-byte": _bundles,
    "adapt": _adaptations,
    "zip": _zips,
    "arrays": _folders,
}
"""Kind of input -> its seeds."""

FORMATS: dict[str, tuple[Split, Join]] = {
    "jpeg": (_jpeg_parts, _jpeg),
    "exif": (_jpeg_parts, _jpeg),
    "png": (lambda content: _chunks(content, 8, ">I4s", 4), _png),
    "webp": (lambda content: _chunks(content, 12, "<4sI", 0, padded=True), _riff),
    "gif": (_slices(4), _together),
    "bmp": (_slices(4), _together),
    "tiff": (_slices(12), _together),
    "avif": (lambda content: _chunks(content, 0, ">I4s", -8), _together),
    "video": (_video_parts, _video),
    "zip": (_zip_parts, _together),
}

SPECIAL: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "jpeg": _change_jpeg,
    "png": _change_png,
    "gif": _change_sides(6, "<2H"),
    "bmp": _change_sides(18, "<2i"),
    "webp": _change_sides(26, "<2H"),
    "exif": _change_exif,
    "tiff": _change_tiff,
    "avif": _change_avif,
    "onnx": _change_model,
    "bundle": _change_bundle,
    "adapt": _change_adaptation,
    "zip": _change_zip,
    "arrays": _change_folder,
}

ONLY_WHOLE = ("bundle-byte",)
"""Kinds that are changed in one way only."""


def with_one_byte_changed(seed: int, number: int) -> bytes:
    """Return a bundle as this asl-edge writes it with one byte changed."""
    choose = random.Random(f"{seed} bundle-byte {number}")
    content = bytearray(_bundles()[0])
    content[number % len(content) if number < len(content) else choose.randrange(len(content))] ^= choose.randrange(
        1, 256
    )
    return bytes(content)
