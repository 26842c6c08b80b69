"""The guide of a capture: what it draws and says, and the keys that it hears."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from opencv_window import Screen

from asl_edge.data.capture.guide import Moment, Request, TextGuide, WindowGuide, draw
from asl_edge.errors import UserError

FRAME = np.random.default_rng(0).integers(100, 200, (120, 160, 3), dtype=np.uint8)
GREEN, AMBER = (80, 220, 80), (80, 180, 240)


def moment(taken: int = 0, seconds_left: float = 0.0, label: str = "A") -> Moment:
    return Moment(label, taken, 30, seconds_left, FRAME)


def test_the_box_is_amber_in_the_countdown_and_green_while_images_are_taken() -> None:
    waiting, taking = draw(moment(seconds_left=2.5), mirror=False), draw(moment(), mirror=False)

    assert tuple(waiting[60, 20]) == AMBER
    assert tuple(taking[60, 20]) == GREEN
    np.testing.assert_array_equal(taking[:, :20], FRAME[:, :20] // 2)
    np.testing.assert_array_equal(taking[5:60, 25:135], FRAME[5:60, 25:135])


def test_countdown_and_count_are_seen() -> None:
    foot = (slice(80, 120), slice(90, 140))
    seen = [draw(moment(*state), mirror=False)[foot] for state in ((0, 2.5), (0, 1.5), (0, 0.0), (1, 0.0))]

    assert len({image.tobytes() for image in seen}) == 4


def test_the_mirror_turns_the_image_and_not_the_words() -> None:
    turned = Moment("A", 3, 30, 0.0, np.ascontiguousarray(FRAME[:, ::-1]))

    np.testing.assert_array_equal(draw(moment(3), mirror=True), draw(turned, mirror=False))


@pytest.mark.parametrize("label", ["A", "nothing", "space", "del"])
@pytest.mark.parametrize("shape", [(480, 640, 3), (64, 48, 3)])
def test_frames_of_any_size(shape: tuple[int, int, int], label: str) -> None:
    assert draw(Moment(label, 3, 30, 0.0, np.zeros(shape, np.uint8)), mirror=True).shape == shape


def test_words_come_once_for_each_change() -> None:
    said: list[str] = []
    guide = TextGuide(said.append)
    for state in ((0, 2.0), (0, 1.4), (0, 0.8), (0, 0.0), (1, 0.0), (29, 0.0), (30, 0.0)):
        assert guide.show(moment(*state)) is Request.NONE

    assert said == ["A in 2", "A in 1", "A: taking 30 images; turn and move the hand a little", "A: 30 taken"]


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen([-1, ord(" "), ord("x"), 27, ord("q"), ord("Q"), -1, -1])
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("asl_edge.runtime.streams.video_sinks.opencv", lambda: screen)
    with WindowGuide(mirror=True) as guide:
        requests = [guide.show(moment()) for _ in range(7)]
        screen.visible = 0.0  # closed with the mouse
        requests.append(guide.show(moment()))
        assert guide.show(Moment("A", 0, 30, 0.0, None)) is Request.NONE

    none, on, end = Request.NONE, Request.CONTINUE, Request.END
    assert requests == [none, on, none, end, end, end, none, end]
    assert len(screen.shown) == 8
    assert screen.destroyed


@pytest.mark.skipif("not sys.platform.startswith('linux')", reason="only Linux has machines without a display")
def test_without_a_display_the_terminal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if "NONE" in next(line for line in cv2.getBuildInformation().splitlines() if "GUI:" in line):
        pytest.skip("a headless OpenCV says something else")

    with pytest.raises(UserError, match="no display to show a window on; use --no-window"):
        WindowGuide(mirror=True)
