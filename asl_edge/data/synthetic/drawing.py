"""Scene to image: pose, camera, the hand over its background, and what a camera adds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.data.synthetic.hand_volume import HandVolume, hand_volume
from asl_edge.data.synthetic.noise import blotches, cut, grain
from asl_edge.data.synthetic.rendering import Camera, Projection, height_field
from asl_edge.data.synthetic.scene import Scene, random_scene, vary
from asl_edge.data.synthetic.shading import shade
from asl_edge.data.synthetic.skeleton import Hand, Vectors, pose_hand, rotation
from asl_edge.data.synthetic.surface import visible_surface
from asl_edge.errors import DataError
from asl_edge.imaging.preprocess import Image, opencv
from asl_edge.labels import CLASSES, canonical

MIN_SIZE = 32
MAX_SIZE = 1024


class Frame(NamedTuple):
    """An image, and where the hand is in it."""

    image: Image
    """uint8 RGB of shape (size, size, 3)."""
    mask: npt.NDArray[np.uint8]
    """uint8 of shape (size, size): 255 where hand or arm is, 0 elsewhere."""
    joints: Vectors | None
    """(21, 2): the joints in pixels (x right, y down), None without a hand."""


def draw_hand(label: str, rng: np.random.Generator, size: int = 224) -> Image:
    """Draw one image of a class: a new person, place and camera each time.

    Args:
        label: one of the 29 classes, in any case (`nothing` is background only; J and Z are their hold shapes).
        rng: the only source of chance; the same state gives the same image.
        size: side of the image in pixels, 32 to 1024.

    Returns:
        uint8 array of shape (size, size, 3), RGB.

    Raises:
        DataError: `label` is not a class, or `size` is out of range.
        MissingPackageError: OpenCV is not installed.
    """
    name = checked_label(label)
    checked_size(size)
    return draw_frame(random_scene(name, rng, size), rng, size).image


def checked_label(label: str) -> str:
    """Return the class that `label` means, or raise DataError."""
    name = canonical(label)
    if name is None:
        raise DataError(f"Unknown class {label!r}. The classes are {', '.join(CLASSES)}.")
    return name


def checked_size(size: int) -> None:
    """Raise DataError unless `size` is a side that can be drawn."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"The side of a synthetic image must be {MIN_SIZE} to {MAX_SIZE} pixels. Received: {size}")


def draw_frame(scene: Scene, rng: np.random.Generator, size: int) -> Frame:
    """Draw one frame of a scene: the hand moves a little from frame to frame."""
    image = _look_around(scene.background, rng, size)
    mask = np.zeros((size, size), np.uint8)
    joints = None
    if scene.pose is not None:
        joints = _on_its_side(_draw_hand_over(image, mask, scene, rng, size), scene, size)
    if scene.left:
        image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return Frame(_through_camera(image, scene, rng), mask, joints)


def frame_joints(scene: Scene, rng: np.random.Generator, size: int) -> Vectors | None:
    """Return the joints of the frame that `draw_frame` draws with the same generator, without drawing it."""
    _look_around(scene.background, rng, size)
    return None if scene.pose is None else _on_its_side(_posed(scene, rng, size).joints, scene, size)


def _on_its_side(joints: Vectors, scene: Scene, size: int) -> Vectors:
    """Mirror the joints of a left hand."""
    return np.stack([size - 1 - joints[:, 0], joints[:, 1]], axis=1) if scene.left else joints


def _look_around(background: Image, rng: np.random.Generator, size: int) -> Image:
    room = background.shape[0] - size
    top, left = rng.integers(0, room + 1, 2)
    return background[top : top + size, left : left + size].copy()


def _draw_hand_over(
    image: Image, mask: npt.NDArray[np.uint8], scene: Scene, rng: np.random.Generator, size: int
) -> Vectors:
    volume, projection, dorsal, joints, scale = _posed(scene, rng, size)
    field = height_field(projection, size)
    if field is None:
        return joints
    rows, columns = field.height.shape
    texture = cut(blotches(3.0), rng, rows, columns)
    surface = visible_surface(field, projection, volume, dorsal, scale)
    skin = shade(surface, scene.skin, scene.light, texture)
    window = (slice(field.top, field.top + rows), slice(field.left, field.left + columns))
    mask[window] = surface.mask
    _lay_over(image, window, skin, surface.mask)
    return joints


class _Posed(NamedTuple):
    """A hand in front of the camera."""

    volume: HandVolume
    projection: Projection
    dorsal: Vectors
    joints: Vectors
    """(21, 2) in pixels."""
    scale: float
    """Pixels per centimetre."""


def _posed(scene: Scene, rng: np.random.Generator, size: int) -> _Posed:
    assert scene.pose is not None
    hand = pose_hand(scene.build, vary(scene.pose, rng, 1.6))
    volume = hand_volume(scene.build, hand, _forearm(scene.pose.forearm), scene.arm_length)
    turn = rotation(*(scene.view + rng.normal(0, 3.0, 3))).T
    return _Posed(volume, *_aim(scene, hand, volume, turn, rng, size))


def _aim(
    scene: Scene, hand: Hand, volume: HandVolume, turn: Vectors, rng: np.random.Generator, size: int
) -> tuple[Projection, Vectors, Vectors, float]:
    """Point the camera so that the hand (without the arm) spans the share of the image that the scene asks for."""
    joints = hand.joints @ turn
    low, high = joints.min(axis=0), joints.max(axis=0)
    extent = float(max(high[:2] - low[:2])) + 2.0
    fill = scene.fill * float(np.exp(rng.normal(0, 0.04)))
    scale = size * fill / extent
    left_over = size * max(0.06, 1 - fill) / 2
    place = size / 2 + (scene.offset + rng.normal(0, 0.12, 2)).clip(-1, 1) * left_over
    centre = (low + high) / 2
    camera = Camera(scale, scene.distance, (float(place[0]), float(place[1])))
    start, near_start = camera.project(volume.start @ turn - centre)
    end, near_end = camera.project(volume.end @ turn - centre)
    seen = Projection(start, end, volume.radius * np.stack([near_start, near_end], axis=1))
    return seen, volume.dorsal @ turn * (1.0, -1.0, 1.0), camera.project(joints - centre)[0][:, :2], scale


def _forearm(bend: tuple[float, float]) -> Vectors:
    lean, lift = np.radians(bend)
    return np.array([np.sin(lean) * np.cos(lift), -np.cos(lean) * np.cos(lift), np.sin(lift)])


def _lay_over(image: Image, window: tuple[slice, slice], skin: Image, covered: npt.NDArray[np.uint8]) -> None:
    cv2 = opencv()
    # The soft outline lies inside the hand, since the pixels around it do not have the colour of skin.
    alpha = cv2.GaussianBlur(covered, (3, 3), 0.8).astype(np.float32)
    alpha *= np.float32(2 / 255)
    alpha -= np.float32(1)
    np.maximum(alpha, np.float32(0), out=alpha)
    image[window] = cv2.blendLinear(skin, image[window], alpha, 1 - alpha)


def _through_camera(image: Image, scene: Scene, rng: np.random.Generator) -> Image:
    cv2 = opencv()
    size = image.shape[0]
    blur = scene.blur * size / 224 * rng.uniform(0.7, 1.3)
    if blur > 0.35:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    if rng.random() < 0.06:
        image = _motion_blur(image, rng)
    level = np.arange(256)[:, None] / 255
    exposure = np.exp(rng.normal(0, 0.05))
    table = (np.clip(level * scene.gain * exposure, 0, 1) ** scene.gamma) * 255 + scene.lift
    image = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None])
    if scene.grain > 0.8:
        noise = (cut(grain(), rng, size, size) * np.float32(scene.grain)).astype(np.int16)
        image = cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U)
    if rng.random() < 0.25:
        quality = int(rng.integers(25, 75))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.asarray(image)


def _motion_blur(image: Image, rng: np.random.Generator) -> Image:
    cv2 = opencv()
    length = max(3, int(rng.integers(3, 9) * image.shape[0] / 224)) | 1
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    middle = np.array([length // 2, length // 2])
    cv2.line(kernel, (middle - reach).astype(int).tolist(), (middle + reach).astype(int).tolist(), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))
