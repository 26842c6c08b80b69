"""TrainConfig checks its fields and survives config.json; recipes."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from asl_edge.errors import RunError, UserError
from asl_edge.training import recipes
from asl_edge.training.config import TrainConfig, describe_settings, read_settings


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs must be a whole number of at least 1. Received: 0"),
        ("epochs", 1.5, "epochs must be a whole number"),
        ("epochs", True, "epochs must be a whole number"),
        ("batch_size", -1, "batch_size must be a whole number of at least 1"),
        ("seed", -1, "seed must be a whole number of at least 0"),
        ("seed", 2**32, r"seed must be a whole number of at least 0 and below 2\*\*32"),
        ("learning_rate", 0.0, "learning_rate must be above 0. Received: 0.0"),
        ("learning_rate", float("nan"), "learning_rate must be above 0"),
        ("learning_rate", float("inf"), "learning_rate must be above 0"),
        ("learning_rate", "fast", "learning_rate must be above 0. Received: 'fast'"),
        ("weight_decay", -0.1, "weight_decay must be at least 0. Received: -0.1"),
        ("weight_decay", float("inf"), "weight_decay must be at least 0"),
        ("clip_norm", 0.0, "clip_norm must be above 0"),
        ("checkpoint_minutes", 0.0, "checkpoint_minutes must be above 0"),
        ("source_exponent", 1.1, "source_exponent must be between 0 and 1. Received: 1.1"),
        ("flip_probability", -0.1, "flip_probability must be between 0 and 1"),
        ("momentum", 1.0, "momentum must be at least 0 and below 1"),
        ("label_smoothing", -0.1, "label_smoothing must be"),
        ("norm_momentum", 1.0, "norm_momentum must be"),
        ("early_stopping", 0, "early_stopping must be a whole number of at least 1"),
        ("optimizer", "lion", "optimizer must be one of sgd, adamw. Received: 'lion'"),
        ("precision", "half", "precision must be one of auto, float32, mixed"),
        ("keep", "none", "keep must be one of best3, all"),
    ],
)
def test_each_field_is_checked(field, value, message):
    with pytest.raises(UserError, match=message):
        TrainConfig(**{"recipe": "tutorial", field: value})


def test_every_field_but_the_recipe_has_help_and_a_default_that_keeps_its_rule():
    for item in fields(TrainConfig):
        if item.name != "recipe":
            assert item.metadata["help"].endswith((".", ":"))
            assert getattr(TrainConfig(recipe="x"), item.name) == item.default


def test_settings_are_described_for_people():
    settings = {setting.name: setting for setting in describe_settings()}
    assert set(settings) == {item.name for item in fields(TrainConfig)} - {"recipe", "trackers"}
    assert settings["optimizer"][1:3] == ("sgd, adamw", "sgd")
    assert settings["epochs"][1:3] == ("a whole number of at least 1", "50")
    assert settings["learning_rate"][1:3] == ("above 0", "0.001")
    assert settings["momentum"][1:3] == ("at least 0 and below 1", "0.0")
    assert settings["flip_probability"][1:3] == ("between 0 and 1", "none")
    assert settings["zoom"][1:3] == ("true or false", "true")
    assert settings["network"][1:3] == ("a name", "alexnet")
    assert settings["warmup_epochs"].values == "a number"


@pytest.mark.parametrize("name", ["strangers", "signer-independent"])
def test_the_recipe_name_of_earlier_versions_still_works(name):
    config = recipes.get(name)
    assert (config.recipe, config.augmentation) == ("signer-independent", "signer-independent")
    assert config == recipes.get("signer-independent")
    assert recipes.get("tutorial", augmentation=name).augmentation == "signer-independent"
    assert "strangers" not in recipes.names()


def test_the_config_of_an_earlier_version_is_read_under_todays_names():
    values = recipes.get("signer-independent", start_from="pretrained").to_dict()
    earlier = values | {"recipe": "strangers", "augmentation": "strangers", "start_from": "box"}
    earlier["second_look"] = earlier.pop("zoom")
    assert TrainConfig.from_dict(earlier).to_dict() == values


def test_a_warm_up_leaves_epochs_to_fall():
    with pytest.raises(UserError, match="warmup_epochs must be"):
        TrainConfig(recipe="x", schedule="cosine", epochs=2, warmup_epochs=2)


def test_json_and_back():
    config = recipes.get("default", epochs=7, early_stopping=3)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict() | {"classes": ["A"]}))) == config


def test_a_config_of_another_version_is_refused():
    values = recipes.get().to_dict()
    del values["keep"]
    with pytest.raises(RunError, match="lacks keep: another version"):
        TrainConfig.from_dict(values)


def test_the_tutorials_recipe_is_the_tutorials():
    config = recipes.get("tutorial")
    assert (config.optimizer, config.learning_rate, config.momentum) == ("sgd", 0.001, 0.0)
    assert (config.batch_size, config.epochs, config.schedule) == (32, 50, "constant")
    assert (config.augmentation, config.label_smoothing, config.weight_decay) == ("none", 0.0, 0.0)
    assert (config.precision, config.norm_momentum, config.network) == ("float32", None, "alexnet")


def test_changes_override_and_none_does_not():
    config = recipes.get("tutorial", epochs=2, batch_size=None)
    assert (config.epochs, config.batch_size) == (2, 32)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_works_for_a_single_epoch(name):
    assert recipes.get(name, epochs=1).warmup_epochs < 1


def test_an_unknown_recipe_is_named_with_the_known_ones():
    with pytest.raises(UserError, match="Unknown recipe 'best'. The recipes are: tutorial, default"):
        recipes.get("best")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("label_smoothing=0.05", {"label_smoothing": 0.05}),
        ("batch_size = 8", {"batch_size": 8}),
        ("drop_last=True", {"drop_last": True}),
        ("on_device=off", {"on_device": "off"}),
        ("steps_per_epoch=5", {"steps_per_epoch": 5}),
        ("second_look=false", {"zoom": False}),  # as earlier versions called it
    ],
)
def test_settings_as_people_write_them(setting: str, expected: dict[str, object]) -> None:
    assert read_settings([setting]) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["label_smoothing"], "NAME=VALUE"),
        (["=3"], "NAME=VALUE"),
        (["lable_smoothing=1"], "Did you mean label_smoothing"),
        (["recipe=tutorial"], "no choice named 'recipe'"),
        (["epochs=many"], "epochs is a whole number"),
        (["momentum=much"], "momentum is a number"),
        (["drop_last=1"], "true or false"),
        (["seed=1", "seed=2"], "set twice"),
    ],
)
def test_settings_that_make_no_sense(settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_settings(settings)
