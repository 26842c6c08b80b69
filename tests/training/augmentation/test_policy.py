"""The named augmentations, and the rules of the fields."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import pytest

from asl_edge.errors import DataError
from asl_edge.training import augmentation
from asl_edge.training.augmentation import Augmentation

LIGHT = {"rotation_degrees": 12, "scale": 0.2, "shift": 0.1, "shear": 0.08}
LIGHT |= {"brightness": 0.15, "contrast": 0.3, "tint": 0.08, "grey": 0.3}
STRONG = {"rotation_degrees": 15, "scale": 0.35, "shift": 0.15, "shear": 0.1}
STRONG |= {"brightness": 0.25, "contrast": 0.6, "tint": 0.15, "grey": 0.3}


def test_the_names():
    assert augmentation.names() == ["none", "light", "strong", "signer-independent"]
    assert augmentation.get("none") is None


@pytest.mark.parametrize(("name", "values"), [("light", LIGHT), ("strong", STRONG)])
def test_runs_of_the_first_version_keep_their_meaning(name, values):
    assert {field: value for field, value in asdict(augmentation.get(name)).items() if value} == values


def test_signer_independent_keeps_the_side_of_the_hand_and_the_label():
    chosen = augmentation.get("signer-independent")
    assert chosen.flip_probability == 0
    assert not chosen.mixes
    assert all((chosen.moves, chosen.recolours, chosen.gamma, chosen.blurs, chosen.roughens))
    assert all((chosen.erases, chosen.background_probability, chosen.cut_out_probability))


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        DataError, match="Unknown augmentation 'wild'. The augmentations are: none, light, strong, signer-independent."
    ):
        augmentation.get("wild")


def test_every_field_is_off_by_default():
    nothing = Augmentation()
    assert set(asdict(nothing).values()) == {0.0}
    assert not any((nothing.moves, nothing.recolours, nothing.blurs, nothing.roughens))
    assert not any((nothing.erases, nothing.changes_background, nothing.mixes))


@pytest.mark.parametrize(
    ("fields", "on"),
    [
        ({"flip_probability": 0.5}, "moves"),
        ({"aspect": 0.1}, "moves"),
        ({"grey_probability": 0.1}, "recolours"),
        ({"hue_degrees": 5}, "recolours"),
        ({"blur": 1, "blur_probability": 0.1}, "blurs"),
        ({"noise": 0.1, "noise_probability": 0.1}, "roughens"),
        ({"erasing_area": 0.1, "erasing_probability": 0.1}, "erases"),
        ({"cut_out_probability": 0.1}, "changes_background"),
        ({"cutmix_probability": 0.1}, "mixes"),
    ],
)
def test_a_field_switches_its_change_on_and_no_other(fields, on):
    switches = ("moves", "recolours", "blurs", "roughens", "erases", "changes_background", "mixes")
    assert [name for name in switches if getattr(Augmentation(**fields), name)] == [on]


@pytest.mark.parametrize(
    "fields", [{"blur": 1}, {"blur_probability": 1}, {"noise": 1}, {"erasing_area": 1}, {"erasing_probability": 1}]
)
def test_how_often_and_how_much_are_both_needed(fields):
    some = Augmentation(**fields)
    assert not any((some.blurs, some.roughens, some.erases))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotation_degrees": -1}, "rotation_degrees must be between 0 and 180. Received: -1"),
        ({"blur_probability": 1.5}, "blur_probability must be between 0 and 1. Received: 1.5"),
        ({"shift": 2}, "shift must be between 0 and 1"),
        ({"contrast": float("nan")}, "contrast must be 0 or more. Received: nan"),
        ({"noise": float("inf")}, "noise must be 0 or more. Received: inf"),
        ({"mixup_probability": 0.6, "cutmix_probability": 0.6}, "must not add up to more than 1. Received: 0.6 and"),
    ],
)
def test_a_broken_rule_is_named(fields, message):
    with pytest.raises(DataError, match=message):
        Augmentation(**fields)


def test_a_choice_cannot_be_changed_later():
    with pytest.raises(FrozenInstanceError):
        augmentation.get("light").scale = 1.0  # type: ignore[misc]


def test_the_name_of_earlier_versions_still_works():
    assert augmentation.get("strangers") is augmentation.get("signer-independent")
    assert "strangers" not in augmentation.names()
