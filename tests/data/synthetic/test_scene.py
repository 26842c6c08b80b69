"""People and places, and how much they vary."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import Scene, Variety, random_scene
from asl_edge.errors import DataError


def scenes(variety: Variety, count: int = 300) -> list[Scene]:
    return [random_scene("B", np.random.default_rng(number), 64, variety=variety) for number in range(count)]


def test_views_differ_as_far_as_is_asked_for() -> None:
    narrow, wide = (np.std([scene.view for scene in scenes(Variety(spread=spread))], axis=0) for spread in (0.5, 2.0))
    assert (wide > 3 * narrow).all()


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


@pytest.mark.parametrize(
    "fields",
    [{"spread": -1}, {"spread": 4}, {"left": 1.5}, {"cut_out": 2}, {"backlit": -0.1}, {"idle": 1.1}, {"rare": 2}],
)
def test_a_variety_out_of_range_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(DataError, match=next(iter(fields))):
        Variety(**fields)


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
