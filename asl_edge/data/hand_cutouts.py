"""Cut hands out of photographs: on black, on plain walls, in a known room, or in the middle of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError
from asl_edge.imaging.preprocess import Image, opencv

Mask = npt.NDArray[np.uint8]
"""uint8 array of shape (height, width): 1 where the hand is, 0 elsewhere."""

_THUMBNAIL_SIDE = 24
"""Pixels: so few that a hand covers only some cells of an image of a room."""


@dataclass(frozen=True, eq=False)
class HandCutout:
    """A hand that was cut out of an image.

    Raises:
        DataError: on construction, when image and mask are not square and of one size, or the mask is empty.
    """

    image: Image
    """uint8 RGB (S, S, 3): the image that the hand was cut out of."""
    mask: Mask
    """uint8 (S, S): 1 where the hand is."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        side = self.mask.shape[0]
        if self.mask.shape != (side, side) or self.image.shape != (side, side, 3):
            raise DataError(
                "A cut-out has a square image (S, S, 3) and a mask (S, S) of the same side. "
                f"Received: {self.image.shape} and {self.mask.shape}"
            )
        if not self.mask.any():
            raise DataError("The mask of a cut-out must cover at least one pixel. Received: an empty mask")


def mask_on_black(image: Image) -> Mask:
    """Return the mask of what is not black, without the dark seam around it.

    Args:
        image: uint8 RGB (H, W, 3) of a hand on a black background.
    """
    cv2 = opencv()
    mask = (cv2.GaussianBlur(image, (0, 0), 0.7).max(axis=-1) > 26).astype(np.uint8)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8)))


def mask_on_wall(image: Image) -> Mask:
    """Return the mask of what differs from a plain wall whose colour changes evenly over the image.

    Args:
        image: uint8 RGB (S, S, 3). The wall must be visible along most of the top, left and right edges.
    """
    cv2 = opencv()
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32)
    side = image.shape[0]
    down, right = np.mgrid[0:side, 0:side] / side
    plane = np.stack([np.ones_like(down), right, down], axis=-1)
    border = np.zeros((side, side), bool)
    border[: side // 7], border[:, : side // 13], border[:, -side // 13 :] = True, True, True
    wall = border
    difference = np.zeros((side, side))
    for _ in range(3):  # fit the wall's colour, drop the pixels of the border that are not wall, fit again
        fitted, *_ = np.linalg.lstsq(plane[wall], lab[wall], rcond=None)
        difference = (np.abs(plane @ fitted - lab) * (0.5, 1, 1)).max(axis=-1)
        wall = border & (difference < max(6.0, float(np.percentile(difference[border], 70))))
    return _grab_cut_by_difference(image, difference, (5, 14))


def mask_in_the_middle(image: Image) -> Mask:
    """Return the mask of the skin in the middle of the image, separated from its upper edges by GrabCut.

    Skin is found by the YCrCb range of Chai and Ngan, "Face segmentation using skin-color map" (1999), widened a
    little.

    Args:
        image: uint8 RGB (S, S, 3) whose middle the hand fills.
    """
    cv2 = opencv()
    side = image.shape[0]
    _, red, blue = cv2.split(cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1), cv2.COLOR_RGB2YCrCb))
    skin = (red > 134) & (red < 180) & (blue > 77) & (blue < 128)
    down, right = np.mgrid[0:side, 0:side] / side - 0.5
    away = np.hypot(right / 0.36, (down - 0.06) / 0.42)
    guess = np.full((side, side), cv2.GC_PR_BGD, np.uint8)
    guess[skin & (away < 1)] = cv2.GC_PR_FGD
    guess[skin & (away < 0.45)] = cv2.GC_FGD
    edge = side // 25
    guess[:edge], guess[: side * 2 // 3, :edge], guess[: side * 2 // 3, -edge:] = (cv2.GC_BGD,) * 3
    guess[~skin & (away > 1.15)] = cv2.GC_BGD
    return _grab_cut(image, guess, 4)


class EmptyRooms:
    """Images of a room without a hand, to find hands in other images of the same room by subtraction.

    Args:
        images: uint8 RGB (S, S, 3) each, all of one size.
        border: pixels of a frame around every image that belongs to neither hand nor room.

    Raises:
        DataError: `images` is empty, or `border` is negative or leaves no image.
    """

    def __init__(self, images: Sequence[Image], border: int = 0) -> None:
        if not images:
            raise DataError("At least one image of the empty room is needed. Received: none")
        if not 0 <= 2 * border < min(images[0].shape[:2]) - 2:
            raise DataError(f"The border must be 0 or more and leave some of the image. Received: {border}")
        self._images = images
        self._border = border
        self._thumbnails = np.stack([_thumbnail(image) for image in images])

    def cut_out(self, image: Image) -> tuple[Image, Mask]:
        """Separate what `image` shows from the most similar image of the empty room.

        Args:
            image: uint8 RGB (S, S, 3), of the size of the rooms.

        Returns:
            A copy of the image whose border continues what is inside it, uint8 (S, S, 3), and the mask, uint8 (S, S).
        """
        cv2 = opencv()
        differences = np.abs(self._thumbnails - _thumbnail(image)).mean(axis=-1)
        # The median, so that the cells that the hand covers do not count.
        room = self._images[int(np.median(differences.reshape(len(differences), -1), axis=1).argmin())]
        smooth = [cv2.GaussianBlur(each, (0, 0), 0.7).astype(np.float32) for each in (image, room)]
        difference = np.abs(smooth[0] - smooth[1]).max(axis=-1)
        edge = self._border
        inside = slice(edge, image.shape[0] - edge)
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[inside, inside] = _grab_cut_by_difference(image[inside, inside], difference[inside, inside], (9, 28))
        image = image.copy()
        if edge:
            # The hand continues below the frame: what meets its inner edge is drawn out to the outer one.
            mask[-edge:], mask[:, -edge:], mask[:, :edge] = (
                mask[-edge - 1],
                mask[:, -edge - 1, None],
                mask[:, edge, None],
            )
            image[-edge:] = image[-edge - 2]
            image[:, -edge:], image[:, :edge] = image[:, -edge - 2, None], image[:, edge + 1, None]
        return image, mask


def largest_component(mask: Mask) -> Mask:
    """Return the largest connected part of a mask, without specks and threads."""
    cv2 = opencv()
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)


def is_plausible_hand(mask: Mask) -> bool:
    """Whether a mask can be that of a hand: neither a speck nor a piece of wall, which meets much of the edges."""
    edges = sum(float(edge.mean()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    return bool(0.03 < mask.mean() < 0.55 and edges < 0.9)


def inpaint_hand(cutout: HandCutout) -> Image:
    """Return the image with its hand painted over, uint8 (S, S, 3).

    The method is Telea's, "An image inpainting technique based on the fast marching method" (2004).
    """
    cv2 = opencv()
    wide = cv2.dilate(cutout.mask, np.ones((9, 9), np.uint8))
    return np.asarray(cv2.inpaint(cutout.image, wide, 3, cv2.INPAINT_TELEA))


def _thumbnail(image: Image) -> npt.NDArray[np.float32]:
    cv2 = opencv()
    return np.asarray(cv2.resize(image, (_THUMBNAIL_SIDE,) * 2, interpolation=cv2.INTER_AREA), np.float32)


def _grab_cut_by_difference(image: Image, difference: npt.NDArray[Any], limits: tuple[float, float]) -> Mask:
    """Return GrabCut's mask: below the lower limit is background, above the upper one is probably foreground."""
    cv2 = opencv()
    guess = np.full(image.shape[:2], cv2.GC_PR_BGD, np.uint8)
    guess[difference > limits[1]] = cv2.GC_PR_FGD
    guess[difference < limits[0]] = cv2.GC_BGD
    return _grab_cut(image, guess, 3)


def _grab_cut(image: Image, guess: Mask, rounds: int) -> Mask:
    """Return the mask that GrabCut makes of a guess (Rother, Kolmogorov and Blake, 2004); empty when it cannot."""
    cv2 = opencv()
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), guess, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # there is no foreground, or nothing else
        return np.zeros(image.shape[:2], np.uint8)
    return np.asarray((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD), np.uint8)
