"""Images that other libraries hold in memory: `PIL.Image`, and arrays that NumPy can convert."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from asl_edge.errors import ImageError
from asl_edge.imaging import exif
from asl_edge.imaging.preprocess import MAX_PIXELS, Image

_ORIENTATION_TAG = 0x0112
_RULE = (
    "an image must be a path, the bytes of an image file, a PIL.Image or a uint8 array of shape (height, width, 3), RGB"
)


class Arraylike(Protocol):
    """An array of NumPy, PyTorch, TensorFlow, JAX, CuPy's host side ..., or an image of Pillow."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        """Return the array of NumPy."""


def each_image(images: Any) -> Iterable[Any]:
    """Return one image, or several in whatever holds them, as an iterable of images.

    Raises:
        ImageError: it is neither.
    """
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)) or _is_pillow(images):
        return [images]
    if hasattr(images, "__array__"):
        array = to_array(images)
        if array.ndim == 1 and array.dtype.kind in "OUS":  # paths, as a column of pandas holds them
            return list(array.tolist())
        return list(array) if array.ndim == 4 else [array]
    if not isinstance(images, Iterable):
        raise ImageError(f"{_RULE}, or an iterable of these. Received: {type(images).__name__}")
    return images


def to_array(image: Any) -> Image:
    """Return what another library holds as an array of NumPy; a `PIL.Image` as RGB, upright.

    Raises:
        ImageError: it cannot be converted.
    """
    if _is_pillow(image):
        return _from_pillow(image)
    if not hasattr(image, "__array__"):
        raise ImageError(f"{_RULE}. Received: {type(image).__name__}")
    try:
        return np.asarray(image)
    except Exception as error:  # whatever that library raises: a tensor on a GPU, one with a gradient
        raise ImageError(f"{type(image).__name__} cannot be converted to an array ({error})") from error


def _is_pillow(image: Any) -> bool:
    """Whether it is a `PIL.Image`, without importing Pillow, which is not needed here."""
    return all(hasattr(image, name) for name in ("mode", "size", "convert", "getexif"))


def _from_pillow(image: Any) -> Image:
    """Convert as files are converted: rotated upright, transparency over black."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"too large: {width}x{height} is {width * height / 1e6:.0f} megapixels, the limit is {MAX_PIXELS / 1e6:.0f}"
        )
    try:
        if image.mode.startswith("I;16"):
            array = np.asarray(image)
            rgb = np.repeat((array // 257).astype(np.uint8)[..., None], 3, axis=2)
        elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            pixels = np.asarray(image.convert("RGBA")).astype(np.uint16)
            rgb = ((pixels[..., :3] * pixels[..., 3:] + 127) // 255).astype(np.uint8)
        else:
            rgb = np.asarray(image.convert("RGB"))
        return exif.upright(rgb, int(image.getexif().get(_ORIENTATION_TAG, 1)))
    except Exception as error:  # Pillow's own, for files that it opens and cannot read
        raise ImageError(f"Pillow cannot read it ({error})") from error
