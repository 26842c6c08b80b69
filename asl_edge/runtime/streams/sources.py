"""Where images and frames come from: files, folders, patterns, standard input, addresses, videos, cameras.

What a file holds is decided by its content, whatever its name: `http://` and `file://` make no difference either.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator
from typing import TextIO

import numpy as np

from asl_edge.errors import ImageError, ReadFailure
from asl_edge.imaging.file_kind import MOTION_JPEG_SUFFIXES, VIDEO_SUFFIXES, kind_of_file, suffix_of
from asl_edge.imaging.preprocess import opencv
from asl_edge.runtime.streams.addresses import is_address, is_http, is_pipeline, local_path
from asl_edge.runtime.streams.folders import Found, LeftOut, images_in, natural_key
from asl_edge.runtime.streams.item import STANDARD_INPUT, Item, centre_square, guide_box, unread
from asl_edge.runtime.streams.video import frames, is_camera
from asl_edge.runtime.streams.waiting import end_of_wait, noticed

__all__ = [
    "STANDARD_INPUT",
    "VIDEO_SUFFIXES",
    "Item",
    "LeftOut",
    "centre_square",
    "frames",
    "given_files",
    "guide_box",
    "is_camera",
    "is_collection",
    "is_endless",
    "is_live",
    "is_video",
    "items",
    "may_be_many",
    "natural_key",
]


def is_live(source: str) -> bool:
    """Whether `source` yields its items one by one and may wait for a prediction before the next."""
    return source == STANDARD_INPUT or is_address(source) or is_pipeline(source) or is_camera(source)


def is_endless(source: str) -> bool:
    """Whether `source` continues until somebody stops it: a camera, a stream, a list that another program writes.

    An http(s) address is asked, since it may as well send one image.
    """
    if not is_http(source):
        return is_live(source)
    from asl_edge.runtime.streams import http_source

    return http_source.never_ends(source)


def is_video(source: str) -> bool:
    """Whether `source` yields frames, or may do so: a video file, an address, a camera."""
    if is_address(source) or is_pipeline(source) or is_camera(source):
        return True
    path = local_path(source)
    if os.path.isdir(path) or _is_pattern(path):  # noqa: PTH112  (a Path of an odd text can raise)
        return False
    return _holds_video(path)


def may_be_many(source: str) -> bool:
    """Whether `source` may stand for more than one image."""
    return is_collection(source) or is_video(source)


def is_collection(source: str) -> bool:
    """Whether `source` names several files, or none: a folder, a pattern, a list on standard input."""
    path = local_path(source)
    return source == STANDARD_INPUT or _is_pattern(path) or os.path.isdir(path)  # noqa: PTH112


def items(
    sources: Iterable[str], standard_input: TextIO | None = None, left_out: LeftOut | None = None
) -> Iterator[Item]:
    """Yield the items of all sources in order, each as soon as it is known.

    Args:
        sources: paths of images; folders (see `asl_edge.runtime.streams.folders.images_in`); patterns with `*`, `?` or
            `**`, which Windows' shell does not expand; `-` for standard input (see `named_on`); paths of videos;
            addresses of images, videos and streams (`file://`, `http://`, `rtsp://`, ...); numbers of cameras, and
            `csi://N`, `gst:PIPELINE` and `picamera2`, of which the newest frame is taken.
        standard_input: where `-` reads from; None for `sys.stdin`.
        left_out: counts what folders hold and is not yielded; None if nobody wants to know.

    Yields:
        Items; what cannot be found or opened comes as an item with its `problem`, and so does what is missing at the
        end of a video.

    Raises:
        MissingPackageError: OpenCV is not installed and a video is to be read.
    """
    left_out = LeftOut() if left_out is None else left_out
    for source in sources:
        if source == STANDARD_INPUT:
            yield from _on_standard_input(standard_input)
        elif is_pipeline(source):
            yield from _newest(source)
        elif is_camera(source):
            yield from frames(source)
        else:
            yield from _named(source, left_out)


def given_files(sources: Iterable[str]) -> Iterator[str]:
    """Yield the paths that `sources` name one by one: patterns are expanded, folders stay as they are."""
    for source in sources:
        path = local_path(source)
        if _is_pattern(path):
            yield from glob.iglob(path, recursive=True)  # noqa: PTH207  (keeps the path as written)
        elif source != STANDARD_INPUT:
            yield path


def _on_standard_input(stream: TextIO | None) -> Iterator[Item]:
    import sys

    from asl_edge.runtime.streams.standard_input import named_on

    for name in named_on(sys.stdin if stream is None else stream):
        if isinstance(name, Item):
            yield name
        elif is_address(name):
            yield from _at_address(name)
        else:
            yield from _file(name)


def _named(source: str, left_out: LeftOut) -> Iterator[Item]:
    path = local_path(source)
    if is_address(source):
        yield from _at_address(source)
    elif os.path.isdir(path):  # noqa: PTH112  (a Path of an odd text can raise)
        yield from _folder(path, left_out)
    elif _is_pattern(path):
        yield from _matches(path, left_out)
    else:
        yield from _file(source)


def _newest(source: str) -> Iterator[Item]:
    """Yield the newest frames of a camera, for as long as it is asked."""
    from asl_edge.runtime.streams.live.newest_frame import LiveSource

    try:
        with LiveSource(source) as camera:
            for frame in camera:
                rgb = opencv().cvtColor(np.ascontiguousarray(centre_square(frame.image)), opencv().COLOR_BGR2RGB)
                yield Item(source, rgb, frame.number, frame.image)
    except ImageError as error:
        yield Item(source, problem=str(error).removeprefix(f"{source}: "), failed=isinstance(error, ReadFailure))


def _matches(pattern: str, left_out: LeftOut) -> Iterator[Item]:
    names = sorted(glob.glob(pattern, recursive=True), key=natural_key)  # noqa: PTH207  (keeps the path as written)
    if not names:
        yield Item(pattern, problem="no file matches this pattern")
    for name in names:
        if not os.path.isdir(name):  # noqa: PTH112
            yield from _file(name)
        elif "**" not in pattern:  # which matches folders and their content, so the files come anyway
            yield from _folder(name, left_out)


def _file(source: str) -> Iterator[Item]:
    path = local_path(source)
    if _holds_video(path):
        yield from frames(source, path)
    else:
        yield Item(source, path)


def _folder(folder: str, left_out: LeftOut) -> Iterator[Item]:
    here = LeftOut()
    any_image = False
    for found in images_in(folder, here):
        any_image = True
        yield _item(found)
    left_out.update(here)
    if not any_image:
        others = here.in_words()
        yield Item(folder, problem="no image in this folder" + (f", but {others}" if others else ""))


def _item(found: Found) -> Item:
    return Item(found.path, None if found.problem else found.path, problem=found.problem, failed=found.failed)


def _at_address(address: str) -> Iterator[Item]:
    """Yield what an address sends: an image is read as one from a file is."""
    if not is_http(address):
        yield from frames(address)
        return
    from asl_edge.runtime.streams import http_source  # what it imports takes longer than an image

    end = end_of_wait()
    image, stream = None, False
    try:
        with noticed(address):
            opened = http_source.open_http(address, end)
            stream = http_source.is_motion_jpeg(opened)
            if not stream:
                with contextlib.closing(opened.response) if opened.response else contextlib.nullcontext():
                    image = http_source.sent_image(opened, end)
                    if image is None:
                        http_source.refuse_other_than_video(opened)
    except ImageError as error:
        yield unread(address, error)
        return
    if stream:
        yield from http_source.motion_jpeg_frames(address, opened)
    elif image is not None:
        yield Item(address, image)
    else:
        yield from frames(address, head=opened.head, end=end)


def _holds_video(path: str) -> bool:
    """Whether a file holds a video, by its content; where that is not known, by its name."""
    kind, suffix = kind_of_file(path), suffix_of(path)
    if kind == "image":
        return suffix in MOTION_JPEG_SUFFIXES
    return kind == "video" or (kind != "HEIC" and suffix in VIDEO_SUFFIXES)


def _is_pattern(source: str) -> bool:
    """Whether `source` is a pattern; an existing file whose name holds `[` or `*` is not."""
    return glob.has_magic(source) and not os.path.lexists(source)
