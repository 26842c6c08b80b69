"""What a file is: an image, a video or something else, by its content; and which names are never looked at."""

from __future__ import annotations

import os
import stat
from typing import Literal

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".ppm", ".pgm")
)

HEIC_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
"""What iPhones write, and OpenCV does not read."""

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".flv", ".f4v"),
        *(".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".ogv", ".mxf", ".ivf", ".y4m"),
        *(".mjpeg", ".mjpg", ".h264", ".264", ".avc", ".h265", ".265", ".hevc"),
    )
)
"""Containers, and the raw streams that cameras of small machines write."""

MOTION_JPEG_SUFFIXES = frozenset((".mjpeg", ".mjpg"))
"""Raw streams that begin like a single JPEG."""

HEAD_BYTES = 512
"""As many of its first bytes tell what a file is."""

Kind = Literal["image", "HEIC", "video", "other"]

_JUNK = frozenset(
    (
        # Windows, macOS (in zips)
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "recycler", "recycled"),
        "system volume information",
        # Network disks: Synology, QNAP, Samba; ext4
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "lost+found"),
        *(".trashes", ".thumbnails", ".@__thumb"),
    )
)

_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_VIDEOS = (
    *(b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"DKIF", b"YUV4MPEG2 ", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    *(b"\0\0\1\xba", b"\0\0\1\xb3", b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"),
)
_FIRST_UNITS = b"\x09\x40\x42\x67\x27\x47\x46"
"""What raw H.264 and H.265 begin with: a delimiter or parameter sets."""

_MP4_BOXES = frozenset((b"moov", b"mdat", b"wide", b"skip", b"free"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"))
_OTHER_BRANDS = frozenset((b"crx ", b"jp2 ", b"jpx ", b"M4A ", b"M4B "))
_TRANSPORT_PACKETS = ((188, 0), (192, 4))
"""Length of the packets of an MPEG transport stream, and where in them the byte 0x47 stands."""


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name holds what systems and network disks leave: thumbnails, deleted files.

    Names that begin with a dot are among them: macOS puts `._A1.jpg` next to `A1.jpg` in zips.
    """
    return name.startswith(".") or name.casefold() in _JUNK


def is_hidden(name: str) -> bool:
    """Whether a folder of this name is hidden everywhere, so that nobody misses what is in it."""
    return name.startswith(".") or name.casefold() == "__macosx"


def kind_of(head: bytes) -> Kind:
    """Return what a file is by its first `HEAD_BYTES` bytes.

    A single JPEG and a stream of them begin alike: both are images here.
    """
    if head[4:8] == b"ftyp":
        return _kind_by_brands(head)
    if head.startswith(_IMAGES) or _is_riff(head, b"WEBP") or _is_bmp_or_pnm(head):
        return "image"
    if head.startswith(_VIDEOS) or _is_riff(head, b"AVI ") or (head[4:8] in _MP4_BOXES and head[0] < 0x20):
        return "video"
    if head.startswith((b"\0\0\1", b"\0\0\0\1")) and head[head.index(1) + 1 :][:1] in _FIRST_UNITS:
        return "video" if len(head) > 4 else "other"
    for length, at in _TRANSPORT_PACKETS:
        if len(head) > 2 * length + at and all(head[number * length + at] == 0x47 for number in range(3)):
            return "video"
    return "other"


def _is_riff(head: bytes, kind: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == kind


def _is_bmp_or_pnm(head: bytes) -> bool:
    """Whether it is a format marked by two letters only, with which text may begin as well."""
    if head[:2] == b"BM":
        return head[6:10] == bytes(4)
    return (
        len(head) > 3
        and head[:2] in (b"P5", b"P6")
        and head[2:3] in b" \t\r\n"
        and head[2:].lstrip()[:1] in b"#0123456789"
    )


def _kind_by_brands(head: bytes) -> Kind:
    """Return what a file of the ISO base media family is by the brands in its first box."""
    length = int.from_bytes(head[:4], "big")
    if not 16 <= length <= HEAD_BYTES:
        return "other"
    brands = {head[at : at + 4] for at in (8, *range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "image"
    if head[8:12] in _HEIC_BRANDS:
        return "HEIC"
    return "other" if head[8:12] in _OTHER_BRANDS else "video"


def kind_of_file(path: str | os.PathLike[str]) -> Kind | None:
    """Return what a regular file is by its content; None if it is not one, or cannot be read.

    Pipes and devices are not opened, which would wait for their other end.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  (a Path costs as much as the rest)
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return kind_of(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return None


def suffix_of(path: str) -> str:
    """Return the lower-case suffix of a path, with its dot; empty without one."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122  (a Path costs ten times as much)
