"""Changes of an image that a camera makes: blur, noise, JPEG, light, size, position, angle."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asl_edge.imaging.preprocess import Image, opencv

SIDE = 224
"""Of the images that are changed, in pixels."""

Way = Callable[[Image], Image]
"""uint8 (224, 224, 3) RGB to the same."""


@dataclass(frozen=True)
class Change:
    """A row of the result; several ways are counted together, such as a shift in four directions."""

    group: str
    name: str
    ways: tuple[Way, ...]


def unchanged(image: Image) -> Image:
    """Change nothing."""
    return image


def blurred(sigma: float) -> Way:
    """Gaussian blur, sigma in pixels."""
    return lambda image: np.asarray(opencv().GaussianBlur(image, (0, 0), sigma))


def noisy(deviation: float) -> Way:
    """Gaussian noise per pixel and channel; standard deviation on the scale 0 to 255."""

    def change(image: Image) -> Image:
        noise = np.random.default_rng(zlib.crc32(image.tobytes())).normal(0, deviation, image.shape)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)

    return change


def compressed(quality: int) -> Way:
    """Encoded as JPEG and decoded again."""

    def change(image: Image) -> Image:
        cv2 = opencv()
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    return change


def brightened(gain: float) -> Way:
    """Every value times `gain`, clipped at 255."""
    return lambda image: np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def flattened(share: float) -> Way:
    """Contrast reduced to `share` of it, around the image's mean."""
    return lambda image: np.rint(image.mean() + (image - image.mean()) * share).astype(np.uint8)


def grey(image: Image) -> Image:
    """Without colour."""
    cv2 = opencv()
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def shrunk(scale: float) -> Way:
    """A smaller hand: the whole image shrunk, its border pixels repeated around it."""

    def change(image: Image) -> Image:
        cv2, side = opencv(), round(SIDE * scale)
        before, after = (SIDE - side) // 2, SIDE - side - (SIDE - side) // 2
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.copyMakeBorder(small, before, after, before, after, cv2.BORDER_REPLICATE))

    return change


def enlarged(scale: float) -> Way:
    """A larger hand: the centre of the image."""

    def change(image: Image) -> Image:
        cv2, side = opencv(), round(SIDE / scale)
        start = (SIDE - side) // 2
        centre = image[start : start + side, start : start + side]
        return np.asarray(cv2.resize(centre, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))

    return change


def shifted(right: float, down: float) -> Way:
    """Shifted by shares of the side."""
    return transformed(np.array([[1, 0, round(right * SIDE)], [0, 1, round(down * SIDE)]], np.float32))


def rotated(degrees: float) -> Way:
    """Rotated about the centre, anticlockwise."""
    return transformed(opencv().getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), degrees, 1))


def transformed(matrix: npt.NDArray[np.floating]) -> Way:
    """Transformed by a matrix of shape (2, 3), border pixels repeated."""
    cv2 = opencv()
    return lambda image: np.asarray(
        cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def mirrored(image: Image) -> Image:
    """Mirrored left to right."""
    return np.ascontiguousarray(image[:, ::-1])


def changes() -> tuple[Change, ...]:
    """Return every change in the order of the tables; the first changes nothing."""
    return (
        Change("unchanged", "", (unchanged,)),
        *(Change("blur", f"sigma {sigma} px", (blurred(sigma),)) for sigma in (1, 2, 4)),
        *(Change("noise", f"deviation {deviation}", (noisy(deviation),)) for deviation in (10, 25, 50)),
        *(Change("JPEG", f"quality {quality}", (compressed(quality),)) for quality in (50, 20, 8)),
        *(Change("dark", f"x {gain}", (brightened(gain),)) for gain in (0.6, 0.35, 0.2)),
        *(Change("bright", f"x {gain}", (brightened(gain),)) for gain in (1.4, 1.8, 2.5)),
        *(Change("contrast", f"x {share}", (flattened(share),)) for share in (0.5, 0.25)),
        Change("grey", "", (grey,)),
        *(Change("small hand", f"x {scale}", (shrunk(scale),)) for scale in (0.75, 0.5)),
        *(Change("large hand", f"x {scale}", (enlarged(scale),)) for scale in (1.25, 1.5)),
        *(
            Change("shifted", f"{by:.0%}", (shifted(by, 0), shifted(-by, 0), shifted(0, by), shifted(0, -by)))
            for by in (0.1, 0.2)
        ),
        *(Change("rotated", f"±{degrees}°", (rotated(degrees), rotated(-degrees))) for degrees in (15, 30)),
        Change("mirrored", "", (mirrored,)),
    )  # fmt: skip
