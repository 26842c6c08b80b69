"""The drawn hands: anatomy, rendering, images and the folder of images."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import signal
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.data.synthetic import SynthesisReport, draw_hand, synthesize
from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.poses import POSES, idle_pose
from asl_edge.data.synthetic.rendering import Camera, Projection, height_field
from asl_edge.data.synthetic.scene import Framing, Variety, random_scene, vary
from asl_edge.data.synthetic.skeleton import JOINTS, average_build, pose_hand, random_build, rotation
from asl_edge.errors import DataError
from asl_edge.labels import CLASSES, MOTION_LETTERS


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


# Skeleton ------------------------------------------------------------------------------------------------------------


def test_every_class_with_a_hand_has_a_pose() -> None:
    assert set(POSES) == set(CLASSES) - {"nothing"}
    assert set(POSES) >= MOTION_LETTERS  # drawn as the shape in which they are held


@pytest.mark.parametrize("label", POSES)
def test_bones_keep_their_length_in_every_pose(label: str) -> None:
    rng = np.random.default_rng(5)
    build = random_build(rng)
    for pose in POSES[label]:
        joints = pose_hand(build, vary(pose, rng, 5.0)).joints
        assert joints.shape == (21, 3)
        assert len(JOINTS) == 21
        fingers = joints[5:].reshape(4, 4, 3)
        np.testing.assert_allclose(np.linalg.norm(np.diff(fingers, axis=1), axis=2), build.phalanges)
        np.testing.assert_allclose(np.linalg.norm(np.diff(joints[1:5], axis=0), axis=1), build.thumb_bones)


def test_the_backs_of_bones_are_square_to_them() -> None:
    hand = pose_hand(average_build(), POSES["S"][0])
    fingers = np.diff(hand.joints[5:].reshape(4, 4, 3), axis=1)
    assert np.abs(np.sum(fingers * hand.finger_dorsal, axis=2)).max() < 1e-9
    np.testing.assert_allclose(np.linalg.norm(hand.finger_dorsal, axis=2), 1.0)


def test_rotation_is_a_rotation() -> None:
    turn = rotation(30, -20, 75)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("label", "tips_up"),
    [("A", ""), ("B", "imrp"), ("D", "i"), ("F", "mrp"), ("I", "p"), ("L", "i"), ("R", "im"), ("S", ""), ("U", "im"),
     ("V", "im"), ("W", "imr"), ("Y", "p")],
)  # fmt: skip
def test_the_right_fingers_are_raised(label: str, tips_up: str) -> None:
    joints = pose_hand(average_build(), POSES[label][0]).joints
    fingers = joints[5:].reshape(4, 4, 3)
    raised = fingers[:, 3, 1] > fingers[:, 1, 1] + 2.0
    assert "".join(name for name, up in zip("imrp", raised, strict=True) if up) == tips_up


def test_the_thumb_lies_over_the_fingers_in_s_and_under_them_in_m_and_n() -> None:
    def in_front(label: str) -> bool:
        hand = pose_hand(average_build(), POSES[label][0])
        tip = hand.joints[JOINTS.index("thumb_tip")]
        middle = hand.joints[JOINTS.index("middle_dip")]
        return bool(tip[2] > middle[2])

    assert in_front("S")
    assert not in_front("M")
    assert not in_front("N")


# Rendering -----------------------------------------------------------------------------------------------------------


def cones(*rows: tuple[tuple[float, float, float], tuple[float, float, float], float, float]) -> Projection:
    return Projection(
        np.array([row[0] for row in rows], float),
        np.array([row[1] for row in rows], float),
        np.array([row[2:] for row in rows], float),
    )


def test_a_sphere_is_as_high_as_its_radius() -> None:
    field = height_field(cones(((50, 50, 0), (50, 50, 5), 20, 10)), 100)
    assert field is not None
    y, x = 50 - field.top, 50 - field.left
    assert field.height[y, x] == pytest.approx(20, abs=0.01)
    assert (field.owner >= 0).sum() == pytest.approx(np.pi * 400, rel=0.02)


def test_a_cone_agrees_with_many_spheres() -> None:
    start, end, ra, rb = np.array([30.0, 40.0, -5.0]), np.array([75.0, 60.0, 22.0]), 14.0, 7.0
    field = height_field(cones((tuple(start), tuple(end), ra, rb)), 110)
    assert field is not None
    y, x = np.mgrid[: field.height.shape[0], : field.height.shape[1]]
    expected = np.full(field.height.shape, -np.inf)
    for s in np.linspace(0, 1, 2001):
        centre, radius = start + (end - start) * s, ra + (rb - ra) * s
        q = radius**2 - (x + field.left - centre[0]) ** 2 - (y + field.top - centre[1]) ** 2
        expected = np.maximum(expected, np.where(q > 0, centre[2] + np.sqrt(np.maximum(q, 0)), -np.inf))
    both = (field.owner >= 0) & np.isfinite(expected)
    assert np.abs(field.height[both] - expected[both]).max() < 0.05
    assert ((field.owner >= 0) != np.isfinite(expected)).mean() < 0.01


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_cone_hides_the_farther_one_in_any_order(order: tuple[int, int]) -> None:
    rows = [((20, 50, 30), (80, 50, 30), 8, 8), ((50, 20, 0), (50, 80, 0), 8, 8)]
    field = height_field(cones(*(rows[i] for i in order)), 100)
    assert field is not None
    assert field.owner[50 - field.top, 50 - field.left] == order.index(0)


def test_nothing_is_rendered_outside_the_image() -> None:
    assert height_field(cones(((-90, -90, 0), (-60, -90, 0), 8, 8)), 100) is None


def test_what_is_nearer_to_the_camera_is_larger() -> None:
    camera = Camera(scale=10, distance=40, centre=(50, 50))
    points, scales = camera.project(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 10.0]]))
    assert scales[1] > scales[0] == 10
    np.testing.assert_allclose(points[0, :2], (60, 40))  # y points down in an image


# Images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", CLASSES)
def test_every_class_draws(label: str) -> None:
    rng = np.random.default_rng(3)
    frame = draw_frame(random_scene(label, rng, 96), rng, 96)
    assert frame.image.shape == (96, 96, 3)
    assert frame.image.dtype == np.uint8
    covered = (frame.mask > 0).mean()
    if label == "nothing":
        assert covered == 0
        assert frame.joints is None
    else:
        assert 0.02 < covered < 0.95
        assert frame.joints is not None
        inside = (frame.joints > -10) & (frame.joints < 106)
        assert inside.mean() > 0.85


def test_the_thumb_of_l_points_to_the_right() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = draw_frame(random_scene("L", rng, 64), rng, 64).joints
        assert joints is not None
        assert joints[JOINTS.index("thumb_tip"), 0] > joints[JOINTS.index("index_mcp"), 0]


@pytest.mark.parametrize("size", [32, 100, 224, 300])
def test_any_size_draws(size: int) -> None:
    assert draw_hand("Y", np.random.default_rng(1), size).shape == (size, size, 3)


def test_the_same_generator_draws_the_same_image() -> None:
    first, second, other = (draw_hand("K", np.random.default_rng(seed)) for seed in (8, 8, 9))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_class_names_in_any_case() -> None:
    assert np.array_equal(draw_hand("k", np.random.default_rng(8)), draw_hand("K", np.random.default_rng(8)))


def test_classes_differ_more_than_images_of_one_class() -> None:
    """Silhouettes, brought to one place and size: of 10 clear letters each is nearest to its own mean."""
    labels = "BCDILQVWY"

    def silhouette(label: str, seed: int) -> np.ndarray:
        rng = np.random.default_rng([seed, ord(label)])
        frame = draw_frame(random_scene(label, rng, 96), rng, 96)
        assert frame.joints is not None
        low, high = frame.joints.min(axis=0) - 4, frame.joints.max(axis=0) + 4
        x0, y0, x1, y1 = np.clip([*low, *high], 0, 96).astype(int)
        side = max(x1 - x0, y1 - y0)
        square = np.zeros((side, side), np.uint8)
        square[: y1 - y0, : x1 - x0] = frame.mask[y0:y1, x0:x1]
        return cv2.resize(square, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()

    means = np.array([np.mean([silhouette(label, seed) for seed in range(12)], axis=0) for label in labels])
    right = total = 0
    for truth, label in enumerate(labels):
        for seed in range(100, 108):
            right += int(np.argmin(np.square(means - silhouette(label, seed)).sum(axis=1)) == truth)
            total += 1
    assert right / total > 0.6


@pytest.mark.parametrize(("label", "size", "words"), [("AA", 224, "Unknown class"), ("A", 8, "32 to 1024")])
def test_what_cannot_be_drawn_is_said(label: str, size: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        draw_hand(label, np.random.default_rng(0), size)


# Folders -------------------------------------------------------------------------------------------------------------


def test_synthesize_writes_numbered_images(tmp_path: Path) -> None:
    done: list[int] = []
    report = synthesize(
        tmp_path / "hands", per_class=12, classes=["b", "A"], seed=4, size=64, workers=1, on_progress=done.append
    )
    assert isinstance(report, SynthesisReport)
    assert (report.classes, report.images, report.workers) == (("B", "A"), 24, 1)
    assert sum(done) == 24
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert names == {f"hands/{label}/{label}{number}.jpg" for label in "AB" for number in range(1, 13)}
    image = cv2.imread(str(tmp_path / "hands/A/A1.jpg"))
    assert image.shape == (64, 64, 3)
    assert report.size_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.jpg"))


def test_bytes_do_not_hang_on_workers_or_on_other_classes(tmp_path: Path) -> None:
    one = synthesize(tmp_path / "one", per_class=13, classes=["C", "J"], seed=2, size=48, workers=1)
    two = synthesize(tmp_path / "two", per_class=13, classes=["C", "J"], seed=2, size=48, workers=2)
    synthesize(tmp_path / "three", per_class=13, classes=["J"], seed=2, size=48, workers=1)
    synthesize(tmp_path / "four", per_class=13, classes=["J"], seed=3, size=48, workers=1)
    assert (one.workers, two.workers) == (1, 2)
    assert one.motion_letters == ("J",)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    three = digests(tmp_path / "three")
    assert three.items() <= digests(tmp_path / "one").items()
    assert three.keys() == digests(tmp_path / "four").keys()
    assert three != digests(tmp_path / "four")


def test_frames_of_one_clip_are_alike_and_clips_are_not(tmp_path: Path) -> None:
    synthesize(tmp_path / "out", per_class=60, classes=["L"], seed=1, size=48, workers=1)
    images = [cv2.imread(str(tmp_path / f"out/L/L{number}.jpg")).astype(np.float32) for number in range(1, 61)]
    steps = [float(np.abs(a - b).mean()) for a, b in pairwise(images)]
    between_clips = [steps[i] for i in range(9, 59, 10)]
    within_clips = [step for i, step in enumerate(steps) if i % 10 != 9]
    assert min(within_clips) > 0
    assert np.median(between_clips) > 2 * np.median(within_clips)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["A", "Ä"]}, "Unknown class"),
        ({"classes": ["A", "a"]}, "once"),
        ({"classes": []}, "at least one"),
        ({"per_class": 0}, "At least one image"),
        ({"seed": -1}, "seed"),
        ({"size": 5000}, "32 to 1024"),
        ({"workers": 0}, "At least one worker"),
        ({"workers": 100_000}, "256"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        synthesize(tmp_path / "out", **({"per_class": 1} | options))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        synthesize(tmp_path / "out", per_class=1, classes=["A"])
    with pytest.raises(DataError, match="not a folder"):
        synthesize(tmp_path / "out" / "mine.txt", per_class=1, classes=["A"])
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be made"):
        synthesize(tmp_path / "file" / "out", per_class=1, classes=["A"])


def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="folder of their own"):
        synthesize(".", per_class=1, classes=["A"])


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    synthesize(tmp_path / "out", per_class=1, classes=["A"], size=32)
    assert (tmp_path / "out/A/A1.jpg").is_file()


def test_sigterm_leaves_nothing_either(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)  # or it would end the tests
    try:
        with pytest.raises(KeyboardInterrupt):
            synthesize(
                tmp_path / "out",
                per_class=11,
                classes=["A"],
                size=32,
                on_progress=lambda images: signal.raise_signal(signal.SIGTERM),
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(tmp_path.iterdir()) == []


def test_a_mount_point_is_filled_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == out:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    synthesize(out, per_class=1, classes=["A", "B"], size=32)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg")) == [
        "out/A/A1.jpg",
        "out/B/B1.jpg",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["A", "B"]


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_it_leaves_nothing(tmp_path: Path, workers: int) -> None:
    def stop(images: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "out", per_class=40, classes=["A"], size=32, workers=workers, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_with_clips_of_one_frame_every_image_begins_a_clip(tmp_path: Path) -> None:
    synthesize(tmp_path / "clips", per_class=11, classes=["L"], size=64, workers=1)
    synthesize(tmp_path / "singles", per_class=2, classes=["L"], size=64, workers=1, clip_frames=1)
    second = (tmp_path / "singles/L/L2.jpg").read_bytes()
    assert second == (tmp_path / "clips/L/L11.jpg").read_bytes()
    assert second != (tmp_path / "clips/L/L2.jpg").read_bytes()


def test_a_clip_has_a_frame(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one frame"):
        synthesize(tmp_path / "none", per_class=2, clip_frames=0)


def test_hands_in_the_guide_box_are_larger(tmp_path: Path) -> None:
    def spans(framing: Framing) -> list[float]:
        scenes = [random_scene("B", np.random.default_rng(seed), 64, framing) for seed in range(60)]
        return [scene.fill for scene in scenes]

    assert min(spans("guide")) >= 0.75
    assert min(spans("any")) < 0.6
    near = synthesize(tmp_path / "near", per_class=4, classes=["B"], size=64, workers=1, framing="guide")
    far = synthesize(tmp_path / "far", per_class=4, classes=["B"], size=64, workers=1)
    assert [(near.folder / f"B/B{n}.jpg").read_bytes() for n in range(1, 5)] != [
        (far.folder / f"B/B{n}.jpg").read_bytes() for n in range(1, 5)
    ]
    with pytest.raises(DataError, match="any, guide"):
        synthesize(tmp_path / "none", per_class=2, framing="close")  # type: ignore[arg-type]


# Variety -------------------------------------------------------------------------------------------------------------


def scenes(variety: Variety, count: int = 300) -> list:
    return [random_scene("B", np.random.default_rng(number), 64, variety=variety) for number in range(count)]


def test_views_differ_as_far_as_is_asked_for() -> None:
    narrow, wide = (np.std([scene.view for scene in scenes(Variety(spread=spread))], axis=0) for spread in (0.5, 2.0))
    assert (wide > 3 * narrow).all()


def test_left_hands_are_mirrored_right_ones_with_their_joints() -> None:
    assert 0.2 < np.mean([scene.left for scene in scenes(Variety(left=0.3))]) < 0.4
    assert not any(scene.left for scene in scenes(Variety()))
    for number in range(5):
        right = random_scene("L", np.random.default_rng(number), 96)
        left = dataclasses.replace(right, left=True)
        one, other = (draw_frame(scene, np.random.default_rng(9), 96) for scene in (right, left))
        assert np.array_equal(other.mask, one.mask[:, ::-1])
        assert one.joints is not None
        assert other.joints is not None
        np.testing.assert_allclose(other.joints[:, 0], 95 - one.joints[:, 0])


def test_so_many_hands_are_cut_out_as_is_asked_for() -> None:
    for share in (0.0, 0.5, 1.0):
        black = np.mean([scene.background.max() < 12 for scene in scenes(Variety(cut_out=share))])
        assert black == pytest.approx(share, abs=0.1)


def test_backlit_hands_are_darker_than_what_is_behind_them() -> None:
    for number in range(12):
        rng = np.random.default_rng(number)
        frame = draw_frame(random_scene("V", rng, 96, variety=Variety(backlit=1.0, cut_out=0.0)), rng, 96)
        hand, behind = frame.image[frame.mask > 0].mean(), frame.image[frame.mask == 0].mean()
        assert hand < 0.9 * behind


def test_so_many_images_of_nothing_show_a_hand_in_no_sign_as_is_asked_for() -> None:
    def shown(idle: float) -> float:
        rngs = (np.random.default_rng(number) for number in range(300))
        return float(
            np.mean([random_scene("nothing", r, 64, variety=Variety(idle=idle)).pose is not None for r in rngs])
        )

    assert shown(0.0) == 0.0
    assert shown(0.6) == pytest.approx(0.6, abs=0.1)
    assert shown(1.0) == 1.0
    rng = np.random.default_rng(0)
    assert (draw_frame(random_scene("nothing", rng, 96, variety=Variety(idle=1.0)), rng, 96).mask > 0).mean() > 0.02


def test_so_many_hands_are_shown_in_rarer_ways_as_is_asked_for() -> None:
    def views(label: str, rare: float) -> np.ndarray:
        rngs = (np.random.default_rng(number) for number in range(300))
        return np.array([random_scene(label, rng, 64, variety=Variety(rare=rare)).view for rng in rngs])

    def behind(label: str, rare: float) -> float:
        return float((np.abs(views(label, rare)[:, 0]) > 100).mean())

    assert behind("V", 0.0) == 0
    assert behind("V", 1.0) == pytest.approx(0.4, abs=0.1)
    assert behind("V", 0.5) == pytest.approx(0.2, abs=0.08)
    assert behind("S", 1.0) == 0  # a fist from behind is no letter
    assert (views("Z", 0.0)[:, 1] > 75).mean() < 0.05  # a finger at the viewer
    assert (views("Z", 1.0)[:, 1] > 75).mean() > 0.2


def test_an_idle_hand_holds_the_fingers_of_no_letter() -> None:
    """With some fingers straight and others folded, it is never a set of straight fingers that a letter has."""
    letters = {tuple(bend < 30 for bend in np.array(pose.fingers)[:, 1]) for ways in POSES.values() for pose in ways}
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(300):
        bends = np.array(idle_pose(rng).fingers)[:, 1]
        if bends.max() > 60:
            seen.add(tuple(bend < 30 for bend in bends))
    assert len(seen) >= 4
    assert not seen & letters


@pytest.mark.parametrize(
    "fields",
    [{"spread": -1}, {"spread": 4}, {"left": 1.5}, {"cut_out": 2}, {"backlit": -0.1}, {"idle": 1.1}, {"rare": 2}],
)
def test_a_variety_out_of_range_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(DataError, match=next(iter(fields))):
        Variety(**fields)
