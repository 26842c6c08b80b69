"""Augmentation: how far every random change may go, and the named augmentations."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from asl_edge.errors import DataError
from asl_edge.files.earlier_names import current_value


@dataclass(frozen=True)
class Augmentation:
    """How far each random change may go; every value is sampled separately for every image of every batch.

    Values are sampled uniformly, factors uniformly in their logarithm. A field left at 0 switches its change off.

    Raises:
        DataError: on construction, when a field breaks its rule.
    """

    rotation_degrees: float = 0.0
    """Largest rotation about the centre, either way."""
    scale: float = 0.0
    """Zoom between `1 / (1 + scale)` and `1 + scale`."""
    aspect: float = 0.0
    """Aspect ratio (width / height) times `1 / (1 + aspect)` to `1 + aspect`, the area kept."""
    shear: float = 0.0
    """Largest offset of a row (column) per row (column)."""
    shift: float = 0.0
    """Largest translation along each axis, as a share of the side."""
    flip_probability: float = 0.0
    """How often an image is mirrored, left to right. It turns a right hand into a left one."""

    exposure_stops: float = 0.0
    """Darkest exposure of a whole image, in halvings of its values; the brightest is half as many doublings, since what
    is overexposed is lost."""
    exposure_probability: float = 0.0
    """How often the exposure changes."""
    shading_stops: float = 0.0
    """Largest change of the light at a place of the image, in factors of two; it varies smoothly between places."""
    shading_probability: float = 0.0
    """How often the light varies within an image."""
    brightness: float = 0.0
    """Largest change of the mean, as a share of white."""
    contrast: float = 0.0
    """Contrast about mid grey between `1 / (1 + contrast)` and `1 + contrast`."""
    gamma: float = 0.0
    """Exponent of the tone curve between `1 / (1 + gamma)` and `1 + gamma`."""
    saturation: float = 0.0
    """Distance from grey times `1 / (1 + saturation)` to `1 + saturation`."""
    hue_degrees: float = 0.0
    """Largest rotation of the colours about the grey axis."""
    tint: float = 0.0
    """Largest change of each channel's gain."""
    grey: float = 0.0
    """Largest share of the colour that is removed; 1 reaches grey."""
    grey_probability: float = 0.0
    """How often all colour is removed."""

    blur: float = 0.0
    """Largest share of the blurred image in the mixture with the sharp one; 1 reaches the blurred image alone."""
    blur_probability: float = 0.0
    """How often an image is blurred."""
    noise: float = 0.0
    """Largest standard deviation of the noise, as a share of white."""
    noise_probability: float = 0.0
    """How often an image gets noise."""

    erasing_area: float = 0.0
    """Largest share of the image that a rectangle of one colour covers."""
    erasing_probability: float = 0.0
    """How often an image gets such a rectangle."""
    background_probability: float = 0.0
    """How often another image of the batch is mixed into what is far from the centre."""
    cut_out_probability: float = 0.0
    """How often a hand cut out on black gets another image of the batch as its background."""

    mixup_probability: float = 0.0
    """How often an image and its label are mixed with another's (Zhang et al., arXiv 1710.09412)."""
    cutmix_probability: float = 0.0
    """How often a rectangle of an image, and its share of the label, comes from another (Yun et al., arXiv
    1905.04899)."""

    def __post_init__(self) -> None:
        """Check every field."""
        for field in fields(self):
            value = getattr(self, field.name)
            highest = _HIGHEST.get(field.name, 1.0 if field.name.endswith("_probability") else math.inf)
            if not 0 <= value <= highest or math.isinf(value):
                limit = "0 or more" if math.isinf(highest) else f"between 0 and {highest:g}"
                raise DataError(f"The augmentation's {field.name} must be {limit}. Received: {value!r}")
        if self.mixup_probability + self.cutmix_probability > 1:
            raise DataError(
                "An image is mixed by mixup or by cutmix, so their probabilities must not add up to more than 1. "
                f"Received: {self.mixup_probability!r} and {self.cutmix_probability!r}"
            )

    @property
    def moves(self) -> bool:
        """Whether anything moves pixels."""
        return any((self.rotation_degrees, self.scale, self.aspect, self.shear, self.shift, self.flip_probability))

    @property
    def recolours(self) -> bool:
        """Whether anything mixes, scales or shifts the channels."""
        linear = (self.brightness, self.contrast, self.saturation, self.hue_degrees, self.tint)
        return any((*linear, self.grey, self.grey_probability))

    @property
    def shades(self) -> bool:
        """Whether the exposure of any image changes, or the light within it."""
        exposed = self.exposure_stops and self.exposure_probability
        return bool(exposed or (self.shading_stops and self.shading_probability))

    @property
    def blurs(self) -> bool:
        """Whether any image is blurred."""
        return bool(self.blur and self.blur_probability)

    @property
    def roughens(self) -> bool:
        """Whether any image gets noise."""
        return bool(self.noise and self.noise_probability)

    @property
    def erases(self) -> bool:
        """Whether any image gets a rectangle of one colour."""
        return bool(self.erasing_area and self.erasing_probability)

    @property
    def changes_background(self) -> bool:
        """Whether any image gets the background of another."""
        return bool(self.background_probability or self.cut_out_probability)

    @property
    def mixes(self) -> bool:
        """Whether labels are mixed too, which the loss must know."""
        return bool(self.mixup_probability or self.cutmix_probability)


_HIGHEST = {
    "rotation_degrees": 180.0,
    "hue_degrees": 180.0,
    "scale": 1.0,  # with a shift of a whole side, the furthest that one reflection at the borders reaches
    "aspect": 1.0,
    "shear": 1.0,
    "shift": 1.0,
    "tint": 1.0,
    "exposure_stops": 8.0,  # of the 8 bits of a value
    "shading_stops": 8.0,
    "grey": 1.0,
    "blur": 1.0,
    "erasing_area": 1.0,
}

_AUGMENTATIONS: dict[str, Augmentation | None] = {
    "none": None,
    "light": Augmentation(
        rotation_degrees=12, scale=0.2, shift=0.1, shear=0.08, brightness=0.15, contrast=0.3, tint=0.08, grey=0.3
    ),
    # For few images of few scenes: light, distance and position must not tell one letter from another.
    "strong": Augmentation(
        rotation_degrees=15, scale=0.35, shift=0.15, shear=0.1, brightness=0.25, contrast=0.6, tint=0.15, grey=0.3
    ),
    # For signers, cameras and rooms that no training image shows. Hands keep their side; the recipe mirrors some.
    "signer-independent": Augmentation(
        rotation_degrees=20,
        scale=0.35,
        aspect=0.15,
        shear=0.12,
        shift=0.15,
        brightness=0.15,
        contrast=0.5,
        gamma=0.6,
        exposure_stops=2.0,
        exposure_probability=0.4,
        shading_stops=1.0,
        shading_probability=0.4,
        saturation=0.5,
        hue_degrees=15,
        tint=0.15,
        grey_probability=0.15,
        blur=1.0,
        blur_probability=0.3,
        noise=0.06,
        noise_probability=0.3,
        erasing_area=0.12,
        erasing_probability=0.3,
        background_probability=0.4,
        cut_out_probability=0.9,
    ),
}


def names() -> list[str]:
    """Return the names of all augmentations."""
    return list(_AUGMENTATIONS)


def get(name: str) -> Augmentation | None:
    """Return an augmentation by name; None for `none`. An earlier version's name for it works too.

    Raises:
        DataError: the name is unknown.
    """
    name = current_value("augmentation", name)
    if name not in _AUGMENTATIONS:
        raise DataError(f"Unknown augmentation {name!r}. The augmentations are: {', '.join(_AUGMENTATIONS)}.")
    return _AUGMENTATIONS[name]
