"""A scene: one person, lamp, camera and background, kept for a run of frames as in a video."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from asl_edge.data.synthetic.background import draw_background
from asl_edge.data.synthetic.poses import POSES, RARE, READ_FROM_BEHIND, Pose, idle_pose
from asl_edge.data.synthetic.shading import Light, Skin
from asl_edge.data.synthetic.skeleton import Build, Vectors, random_build
from asl_edge.data.synthetic.skin_tones import NAIL_TONE, PALM_TONE, SKIN_TONES
from asl_edge.errors import DataError
from asl_edge.imaging.preprocess import Image

Framing = Literal["any", "guide"]
"""Size of the hand in the image: `any`, near or far, or `guide`, filling it as in the guide box of `predict --show`."""

_FILL: dict[Framing, tuple[float, float, float]] = {"any": (0.74, 0.15, 0.34), "guide": (0.88, 0.06, 0.75)}
"""Mean, standard deviation and minimum of the share of the image's side that the hand spans."""

MARGIN = 1.2
"""The background is this much larger than the image, so that the camera can move over it."""


@dataclass(frozen=True)
class Scene:
    """Everything that stays the same within a run of frames."""

    build: Build
    pose: Pose | None
    """The person's own way to sign the class; None when no hand is visible."""
    view: Vectors
    """(3,): yaw, pitch and roll of the hand, in degrees."""
    skin: Skin
    light: Light
    background: Image
    fill: float
    """Share of the image's side that the hand spans."""
    offset: Vectors
    """(2,): where the hand's centre is, as a share of the free space; -1 to 1."""
    distance: float
    """Centimetres from camera to hand."""
    arm_length: float
    """Centimetres of forearm."""
    gain: Vectors
    """(3,): the camera's gain for red, green and blue."""
    gamma: float
    lift: float
    """Added to all channels: haze, or a crushed black."""
    blur: float
    """Sigma of the lens, in pixels of a 224-pixel image."""
    grain: float
    """Standard deviation of the sensor's noise, in grey levels."""
    left: bool = False
    """Whether it is a left hand."""


@dataclass(frozen=True)
class Variety:
    """How much synthetic people and places differ.

    Raises:
        DataError: on construction, when a field is out of range.
    """

    spread: float = 1.0
    """Factor on how much the view of the hand differs between people, 0 to 3; its pose differs by the square root,
    since a pose that is bent too far is another letter."""
    left: float = 0.0
    """Share of left hands, 0 to 1."""
    cut_out: float | None = None
    """Share of hands on black, 0 to 1, for augmentation to lay over other images; None for the usual tenth."""
    backlit: float | None = None
    """Share of hands on a bright background that leaves them dark, down to silhouettes, 0 to 1; None for the usual
    tenth, whose hands are dim on any background."""
    idle: float = 0.0
    """Share of the images of `nothing` that show a hand without a sign: open, at rest, between letters; 0 to 1."""
    rare: float = 0.0
    """Share of hands in rarer variants: other moments of J and Z, other shapes, side or back views; 0 to 1."""

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("spread", "left", "cut_out", "backlit", "idle", "rare"):
            value, highest = getattr(self, name), 3.0 if name == "spread" else 1.0
            if value is not None and not 0 <= value <= highest:
                raise DataError(f"{name} must be between 0 and {highest:g}. Received: {value!r}")


USUAL = Variety()


def random_scene(
    label: str, rng: np.random.Generator, size: int, framing: Framing = "any", variety: Variety = USUAL
) -> Scene:
    """Return a random person and place for a class; `label` must be one of the 29 classes."""
    mean, deviation, least = _FILL[framing]
    variants = POSES.get(label)
    pose = None
    view = np.zeros(3)
    if variants:
        turned = np.zeros(3)
        if variety.rare and rng.random() < variety.rare:
            variants, turned = _rarer(label, variants, rng)
        weights = np.array([variant.weight for variant in variants])
        pose = vary(variants[int(rng.choice(len(variants), p=weights / weights.sum()))], rng, 4.2 * variety.spread**0.5)
        view = np.array(pose.view) + rng.normal(0, (11, 8, 10)) * variety.spread * pose.sway + turned
    elif variety.idle and rng.random() < variety.idle:
        pose = vary(idle_pose(rng), rng, 4.2)
        view = np.array(pose.view)
    background = draw_background(rng, int(size * MARGIN), variety.cut_out)
    cut_out = background.max() < 12
    silhouette = variety.backlit is not None and not cut_out and bool(rng.random() < variety.backlit)
    against = None if variety.backlit is None else silhouette
    return Scene(
        build=random_build(rng),
        pose=pose,
        view=view,
        skin=_random_skin(rng),
        light=_random_light(rng, against),
        background=_bright(background, rng) if silhouette else background,
        fill=float(rng.uniform(0.82, 0.98) if cut_out else np.clip(rng.normal(mean, deviation), least, 1.0)),
        offset=rng.uniform(-1, 1, 2),
        distance=float(rng.uniform(32, 90)),
        arm_length=float(rng.uniform(1.6, 4.0) if cut_out or rng.random() < 0.08 else rng.uniform(14, 30)),
        gain=rng.normal(1.0, 0.045, 3) * np.exp(rng.normal(-0.06, 0.17)),
        gamma=float(np.exp(rng.normal(0, 0.18))),
        lift=float(rng.normal(0, 6) if not cut_out else 0.0),
        blur=float(max(0.0, rng.normal(0.55, 0.45))),
        grain=float(np.abs(rng.normal(0, 4.0))),
        left=bool(variety.left and rng.random() < variety.left),
    )


def _rarer(label: str, usual: tuple[Pose, ...], rng: np.random.Generator) -> tuple[tuple[Pose, ...], Vectors]:
    """Return rarer variants of a class, or the usual ones and a rotation of the hand in addition, (3,)."""
    if label in RARE and rng.random() < 0.5:
        return RARE[label], np.zeros(3)
    if label in READ_FROM_BEHIND and rng.random() < 0.4:
        return usual, np.array((rng.choice((-1, 1)) * rng.uniform(140, 200), 0.0, 0.0))
    return usual, np.array((rng.uniform(-55, 55), rng.uniform(-25, 25), 0.0))


def vary(pose: Pose, rng: np.random.Generator, degrees: float) -> Pose:
    """Return the pose with every joint moved a little; the fingers move together more than apart."""
    together = rng.normal(0, degrees, 3)
    fingers = np.array(pose.fingers, np.float64)
    fingers[:, :3] += together + rng.normal(0, degrees * 0.6, (4, 3))
    fingers[:, 3] += rng.normal(0, degrees * 0.25, 4)
    # A straight finger hardly bends backwards.
    fingers[:, :3] = np.maximum(fingers[:, :3], -6.0)
    thumb = np.array(pose.thumb) + rng.normal(0, degrees * 0.5, 2) + rng.normal(0, degrees * 0.5, (3, 2))
    forearm = np.array(pose.forearm) + rng.normal(0, degrees * 1.6, 2)
    return replace(
        pose,
        fingers=tuple((a, b, c, d) for a, b, c, d in fingers.tolist()),
        thumb=tuple((a, b) for a, b in thumb.tolist()),
        forearm=(float(forearm[0]), float(forearm[1])),
    )


def linear(srgb: Vectors) -> Vectors:
    """Turn sRGB values from 0 to 255 into reflectance from 0 to 1."""
    return np.asarray((np.clip(srgb, 0, 255) / 255) ** 2.2)


def _random_skin(rng: np.random.Generator) -> Skin:
    depth = rng.uniform(0, len(SKIN_TONES) - 1)
    low = min(int(depth), len(SKIN_TONES) - 2)
    tone = SKIN_TONES[low] + (SKIN_TONES[low + 1] - SKIN_TONES[low]) * (depth - low)
    darkness = depth / (len(SKIN_TONES) - 1)
    warm = rng.normal(0, 1, 3) * (5, 4, 6)
    palm = tone + (PALM_TONE - tone) * (0.2 + 0.25 * darkness) + warm
    nail = palm + (NAIL_TONE - palm) * 0.45
    sleeve = linear(rng.uniform(10, 240) + rng.normal(0, 25, 3)) if rng.random() < 0.15 else None
    return Skin(
        palm=linear(palm),
        back=linear(tone * 0.97 + warm),
        nail=linear(nail),
        sleeve=sleeve,
        gloss=float(rng.uniform(0.0, 0.12)),
        mottle=float(rng.uniform(0.01, 0.06)),
        crease=float(rng.uniform(0.05, 0.25)),
    )


def _bright(background: Image, rng: np.random.Generator) -> Image:
    """Return the background in daylight: a window, a sky, a lit wall."""
    shade = rng.uniform(0.05, 0.5)
    return np.asarray(255 - background * shade).astype(np.uint8)


def _random_light(rng: np.random.Generator, against: bool | None = None) -> Light:
    """Return some light; `against`: whether it comes from behind the hand, None for at random."""
    direction = np.array([rng.normal(0, 0.55), rng.normal(-0.5, 0.4), rng.uniform(0.35, 1.0)])
    if against is None:
        total = rng.uniform(0.25, 0.6) if rng.random() < 0.1 else rng.uniform(0.85, 1.35)
    else:
        total = rng.uniform(0.03, 0.5) if against else rng.uniform(0.85, 1.35)
    ambient = total * rng.uniform(0.25, 0.65)
    return Light(
        direction=direction / np.linalg.norm(direction),
        lamp=float(total - ambient),
        ambient=float(ambient),
        colour=np.clip(rng.normal(1.0, 0.05, 3), 0.8, 1.2),
        shadow=float(rng.uniform(0.3, 0.7)),
    )
