"""Image to uint8 input: the only pixel code, used by training and by every device.

A change that alters a single pixel must raise `PREPROCESS_VERSION`, which is part of the model's spec.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ImageError, MissingPackageError, ReadFailure, unreadable
from asl_edge.files import git_lfs
from asl_edge.imaging import exif
from asl_edge.imaging.decoder_messages import Listening
from asl_edge.imaging.file_kind import kind_of
from asl_edge.imaging.header import MAX_SCANS, Header, read_header, refuse_damaged
from asl_edge.process.shared_libraries import remedy_for
from asl_edge.spec import Fit

Image = npt.NDArray[np.uint8]
"""uint8 array of shape (height, width, 3), RGB unless stated otherwise."""

PREPROCESS_VERSION = 1

MAX_PIXELS = 36_000_000
"""Images that would decode to more pixels than this are refused: 108 MB as RGB.

The limit is half of it for formats whose decoders need about twice the memory: PNG with transparency (a quarter with
16 bits per channel), GIF, WebP, TIFF and AVIF.
"""

MAX_FILE_BYTES = 64_000_000
"""Larger files are refused without being read: no image under `MAX_PIXELS` from a camera or a screen needs more."""

_MAX_SCALED_PIXELS = 300_000_000  # a JPEG of one scan is decoded line by line, so its own size costs no memory
_MAX_SCANNED_PIXELS = 1_000_000_000
"""Scans times pixels of a JPEG in several scans: each passes over all pixels. 36 megapixels in 27 scans."""
_LARGE_PIXELS = 6_000_000
_LIBRARY_SETTINGS = {
    # What these libraries would print about damaged files, our own messages say.
    "OPENCV_LOG_LEVEL": "FATAL",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # FFmpeg's "quiet"
    # A second lock, for files in which OpenCV sees another size than `read_header`.
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
}
_large = threading.Lock()  # large images are decoded one at a time, so that threads do not add up their memory


def opencv() -> Any:
    """Return the module `cv2`.

    Raises:
        MissingPackageError: OpenCV is not installed or cannot be loaded.
    """
    if "cv2" not in sys.modules:
        for name, value in _LIBRARY_SETTINGS.items():  # read when OpenCV is loaded
            os.environ.setdefault(name, value)
    try:
        import cv2
    except ImportError as error:
        remedy = remedy_for(str(error)) or (
            "Install it: pip install 'asl-edge[cpu]' (on a Jetson: sudo apt install python3-opencv, which brings "
            "GStreamer)."
        )
        raise MissingPackageError(
            f"OpenCV is needed to read images and cannot be imported ({error}). {remedy}"
        ) from error
    return cv2


def load(source: str | os.PathLike[str] | bytes, size: int, fit: Fit = "crop", *, out: Image | None = None) -> Image:
    """Read one image, from a path or from the bytes of its file, as the network takes it.

    Args:
        source: path of an image file, or its content.
        size: side of the result, in pixels.
        fit: how it becomes square (see `to_square`).
        out: contiguous uint8 array of shape (size, size, 3) to write the result to; a new one is made without it.

    Returns:
        uint8 array of shape (size, size, 3), RGB, upright as its EXIF orientation says.

    Raises:
        ImageError: it cannot be read, is not an image, is damaged or too large; the message is the reason.
        MissingPackageError: OpenCV is not installed.
    """
    return load_with_size(source, size, fit, out=out)[0]


def load_with_size(
    source: str | os.PathLike[str] | bytes, size: int, fit: Fit = "crop", *, out: Image | None = None
) -> tuple[Image, tuple[int, int]]:
    """Read one image as `load` does; return its own upright height and width in pixels too."""
    image, own_size = load_whole(source, size)
    return to_square(image, size, fit, out=out), own_size


def load_whole(source: str | os.PathLike[str] | bytes, size: int) -> tuple[Image, tuple[int, int]]:
    """Read one image as it is: not square, upright, RGB; return its own height and width in pixels too.

    Args:
        source: path of an image file, or its content.
        size: a JPEG may come at 1/2, 1/4 or 1/8 of its size, but its shorter side stays twice this many pixels at
            least.

    Raises:
        ImageError: as for `load`.
    """
    return _decode_rgb(source if isinstance(source, bytes) else read_file(source), size)


def decode(data: bytes) -> Image:
    """Decode the bytes of one image file at its full size.

    Returns:
        uint8 array of shape (height, width, 3), RGB, upright as its EXIF orientation says. Grey becomes three equal
        channels, CMYK is converted, 16 bits become 8, transparency is composited over black.

    Raises:
        ImageError: the data is not an image, is damaged or too large; the message is the reason.
    """
    return _decode_rgb(data, None)[0]


def to_square(image: Image, size: int, fit: Fit = "crop", *, out: Image | None = None) -> Image:
    """Make an image square and resize it: INTER_AREA when it shrinks, INTER_LINEAR when it grows.

    Args:
        image: uint8 array of shape (height, width, 3), any colour order.
        size: side of the result, in pixels.
        fit: `crop` takes the centre square, `stretch` ignores the aspect (as the tutorial does), `pad` keeps
            everything and fills with black.
        out: contiguous uint8 array of shape (size, size, 3) to write the result to.

    Returns:
        `out`, or without it a uint8 array of shape (size, size, 3) that may share memory with `image` when nothing
        has to change.

    Raises:
        ImageError: `image` is not such an array, or is empty.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(
            f"an image must be a uint8 array of shape (height, width, 3). Received: {image.dtype} {image.shape}"
        )
    height, width = image.shape[:2]
    if fit == "crop" and height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    elif fit == "pad" and height != width:
        scale = size / max(height, width)
        inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
        canvas = np.empty((size, size, 3), np.uint8) if out is None else out
        canvas[:] = 0
        top, left = (size - inner_height) // 2, (size - inner_width) // 2
        canvas[top : top + inner_height, left : left + inner_width] = _resize(image, inner_width, inner_height)
        return canvas
    return _resize(image, size, size, out)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of one image file.

    Raises:
        ImageError: it is not a file, cannot be read or is larger than `MAX_FILE_BYTES`; the message is the reason.
        ReadFailure: the disk fails, or memory ran out.
    """
    try:
        kind = os.stat(path).st_mode  # noqa: PTH116 - see below
        if not stat.S_ISREG(kind):  # before it is opened, which would block on a named pipe
            raise ImageError("is a folder, not an image" if stat.S_ISDIR(kind) else "neither a file nor a folder")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs as much as reading a small file
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise ImageError(
                    f"too large: a file of {size / 1e6:.0f} MB, the limit is {MAX_FILE_BYTES / 1e6:.0f} MB"
                )
            return file.read()
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise unreadable(error) from error


def check(data: bytes, size: int | None = None) -> Header:
    """Check an image file without decoding it: its format, its size, whether it is truncated.

    Args:
        data: content of the file.
        size: side that it will be resized to, in pixels; a large JPEG is then allowed, since it is decoded smaller.

    Raises:
        ImageError: it would not decode; the message is the reason. (Passing does not guarantee that it decodes.)
    """
    if not data:
        raise ImageError("the file is empty")
    header = read_header(data)
    if header is None:
        if kind_of(data) == "video":
            raise ImageError("a video, not an image")
        if git_lfs.is_pointer(data):
            raise ImageError(git_lfs.ADVICE)
        raise ImageError("not an image that asl-edge reads (JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF, PPM)")
    if header.format == "HEIC":
        raise ImageError("HEIC, which OpenCV does not read; save it as JPEG")
    if header.width < 1 or header.height < 1:
        raise ImageError(f"damaged: its header says {header.width}x{header.height} pixels")
    refuse_damaged(data, header)
    pixels, most = header.width * header.height, _most_pixels(header)
    most_decoded = 2 * most if header.format == "AVIF" else most  # with its transparency, or the tiles it is made of
    if header.decoded_pixels > most_decoded:
        raise ImageError(
            f"too large: {header.width}x{header.height}, but in parts or frames of {header.decoded_pixels / 1e6:.0f} "
            f"megapixels, the limit is {most_decoded / 1e6:.0f} for this {header.format}; save it again"
        )
    in_memory = pixels if header.whole else pixels // _reduction(header, size) ** 2
    if header.scans > 1 and (header.scans > MAX_SCANS or header.scans * pixels > _MAX_SCANNED_PIXELS):
        many = f"more than {MAX_SCANS}" if header.scans > MAX_SCANS else header.scans
        raise ImageError(
            f"too large: {many} scans of {header.width}x{header.height} pixels; save it as a JPEG of one scan"
        )
    if in_memory > most or pixels > _MAX_SCALED_PIXELS:
        raise ImageError(
            f"too large: {header.width}x{header.height} is {pixels / 1e6:.0f} megapixels, "
            f"the limit is {most / 1e6:.0f} for this {header.format}; make it smaller"
        )
    return header


def _resize(image: Image, width: int, height: int, out: Image | None = None) -> Image:
    if image.shape[:2] == (height, width):
        if out is None:
            return image
        out[:] = image
        return out
    cv2 = opencv()
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), dst=out, interpolation=method))


def _decode_rgb(data: bytes, size: int | None) -> tuple[Image, tuple[int, int]]:
    """Decode to RGB; with `size`, a baseline JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8.

    Returns the image, and the upright height and width that it has at full size.
    """
    cv2 = opencv()
    header = check(data, size)
    reduce = _reduction(header, size)
    flags = {
        1: cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }[reduce]
    rgb = header.format == "JPEG" and reduce == 1 and hasattr(cv2, "IMREAD_COLOR_RGB")
    turn = header.alpha or header.format == "WebP"  # OpenCV rotates the others upright itself
    if turn and not header.alpha:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    if rgb:  # newer OpenCV saves the swap: the same pixels, one copy less
        flags = cv2.IMREAD_COLOR_RGB
    try:
        with _large if header.width * header.height > _LARGE_PIXELS else contextlib.nullcontext():
            image = _imdecode(data, flags, header)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise ReadFailure(f"memory ran out while this {header.format} was decoded") from error
        raise ImageError(f"damaged: OpenCV cannot decode this {header.format} ({error.err or error})") from error
    if image is None or image.size == 0:
        # Older OpenCV reads no GIF and no AVIF, and does not say which of the two reasons it was.
        raise ImageError(
            f"OpenCV {cv2.__version__} cannot decode this {header.format}: damaged, or not supported by it"
        )
    _refuse_other_size(image, header, reduce)
    if turn:
        image = exif.upright(image, exif.orientation(data))
    height, width = image.shape[:2]
    if reduce > 1:
        upright = (height, width) == (-(-header.height // reduce), -(-header.width // reduce))
        height, width = (header.height, header.width) if upright else (header.width, header.height)
    return np.asarray(image) if rgb else _swap_red_and_blue(_opaque_8_bit(image)), (height, width)


def _imdecode(data: bytes, flags: int, header: Header) -> npt.NDArray[Any] | None:
    """Decode with OpenCV; refuse what libjpeg calls damaged."""
    cv2 = opencv()
    buffer = np.frombuffer(data, np.uint8)
    image: npt.NDArray[Any] | None
    if header.format not in ("JPEG", "PNG"):  # whose libraries alone write to standard error
        image = cv2.imdecode(buffer, flags)
        return image
    with Listening() as heard:
        image = cv2.imdecode(buffer, flags)
    if header.format == "JPEG" and heard.damage(data) and not heard.certain:
        with Listening(alone=True) as heard:  # another thread's image may have been meant
            image = cv2.imdecode(buffer, flags)
    if header.format == "JPEG" and (damage := heard.damage(data)):
        raise ImageError(f"damaged: {damage}")
    return image


def _refuse_other_size(image: npt.NDArray[Any], header: Header, reduce: int) -> None:
    """Refuse an image that is larger or smaller than its header says: its size has passed no check."""
    height, width = image.shape[:2]
    if header.format == "AVIF":  # which may hold several images: the header's is the largest
        fits = width * height <= header.width * header.height
    else:
        expected = {-(-header.width // reduce), -(-header.height // reduce)}
        fits = {width, height} == expected  # OpenCV may have rotated it upright
    if not fits:
        raise ImageError(f"damaged: its header says {header.width}x{header.height} pixels, and it has {width}x{height}")


def _swap_red_and_blue(image: Image) -> Image:
    cv2 = opencv()
    for top in range(0, len(image), 256):  # in strips, so that a large image needs no second copy
        strip = image[top : top + 256]
        strip[:] = cv2.cvtColor(strip, cv2.COLOR_BGR2RGB)
    return image


def _most_pixels(header: Header) -> int:
    if header.format in ("JPEG", "BMP", "PNM") or (header.format == "PNG" and not header.alpha):
        return MAX_PIXELS
    return MAX_PIXELS // 4 if header.deep else MAX_PIXELS // 2


def _reduction(header: Header, size: int | None) -> int:
    """Return by how much OpenCV may shrink an image while decoding it: 1, 2, 4 or 8."""
    reduce = 1
    if header.scalable and size is not None:
        # Twice the wanted size is left for INTER_AREA, so that the result stays as good as from the full image.
        while reduce < 8 and min(header.width, header.height) // (reduce * 2) >= 2 * size:
            reduce *= 2
    return reduce


def _opaque_8_bit(image: npt.NDArray[Any]) -> Image:
    """Convert what OpenCV decoded to uint8 BGR of shape (height, width, 3); transparency is composited over black."""
    cv2 = opencv()
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)
    elif image.dtype != np.uint8:
        raise ImageError(f"its pixels are {image.dtype}; asl-edge reads 8 and 16 bits per channel")
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    if image.shape[2] == 3:
        return image
    if image.shape[2] == 4:
        opaque = np.empty((*image.shape[:2], 3), np.uint8)
        for top in range(0, len(image), 256):  # in strips, so that a large image needs no second copy
            strip = image[top : top + 256]
            product = strip[:, :, :3].astype(np.uint16) * strip[:, :, 3:]
            opaque[top : top + 256] = (product + 127) // 255
        return opaque
    raise ImageError(f"it has {image.shape[2]} channels; asl-edge reads 1, 3 or 4")
