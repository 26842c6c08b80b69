"""Copy-paste images: cut-outs that are kept, and folders of images that a seed decides."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.data.hand_cutouts import HandCutout
from pretrained.copy_paste_images import (
    SIDE,
    SYNTHETIC,
    CopyPaste,
    LabelledCutout,
    background_images,
    classified_correctly,
    load_cutouts,
    real_hands,
    save_cutouts,
    synthetic_hands,
    write_class,
)

CHOSEN = CopyPaste(per_class=3, synthetic=2, classes=("A", "L", "nothing"))


@pytest.fixture(scope="module")
def hands() -> list[LabelledCutout]:
    return list(synthetic_hands(CHOSEN))


def test_synthetic_hands_are_of_the_classes_that_show_one(hands: list[LabelledCutout]) -> None:
    assert {(hand.source, hand.label) for hand in hands} == {(SYNTHETIC, "A"), (SYNTHETIC, "L")}
    assert all(hand.cutout.image.shape == (SIDE, SIDE, 3) for hand in hands)


def test_cut_outs_of_two_sizes_are_kept_and_read_again(hands: list[LabelledCutout], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((37, 37), np.uint8)
    mask[9:30, 5:20] = 1
    small = LabelledCutout("studio", "B", HandCutout(rng.integers(0, 256, (37, 37, 3), dtype=np.uint8), mask))
    good = [False, *(True for _ in hands)]
    save_cutouts(tmp_path / "cutouts.npz", [small, *hands], good)
    again, verdicts = load_cutouts(tmp_path / "cutouts.npz")
    assert verdicts == good
    assert [(hand.source, hand.label) for hand in again] == [(hand.source, hand.label) for hand in [small, *hands]]
    for one, other in zip([small, *hands], again, strict=True):
        assert np.array_equal(one.cutout.image, other.cutout.image)
        assert np.array_equal(one.cutout.mask, other.cutout.mask)


def test_hands_on_black_are_cut_out_of_photographs_and_images_of_nothing_are_not(hands: list[LabelledCutout]) -> None:
    on_black = np.where(hands[0].cutout.mask[..., None] > 0, hands[0].cutout.image, 0).astype(np.uint8)
    photographs = {("studio", "A"): [on_black], ("studio", "nothing"): [on_black], ("phone-outdoor", "A"): [on_black]}
    (found,) = real_hands(photographs)
    assert (found.source, found.label) == ("studio", "A")
    both = (found.cutout.mask & hands[0].cutout.mask).sum()
    assert both / hands[0].cutout.mask.sum() > 0.9


def test_the_pretrained_model_judges_cut_outs(hands: list[LabelledCutout]) -> None:
    wrong = [hand._replace(label="Y") for hand in hands]
    verdicts = classified_correctly([*hands, *wrong], None)
    assert sum(verdicts[: len(hands)]) >= len(hands) - 1
    assert not any(verdicts[len(hands) :])


def test_a_class_is_written_alike_by_the_same_seed(hands: list[LabelledCutout], tmp_path: Path) -> None:
    backgrounds = background_images({}, [], CHOSEN)
    job = ("L", {SYNTHETIC: [hand.cutout for hand in hands if hand.label == "L"]})
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        chosen = CopyPaste(per_class=3, seed=seed)
        write_class(job, folder=tmp_path / name, chosen=chosen, backgrounds=backgrounds)
    files = {name: [path.read_bytes() for path in sorted((tmp_path / name / "L").iterdir())]
             for name in ("one", "same", "other")}  # fmt: skip
    assert files["one"] == files["same"]
    assert files["one"] != files["other"]
    image = cv2.imread(str(next((tmp_path / "one" / "L").iterdir())))
    assert image.shape == (SIDE, SIDE, 3)
