"""Files of earlier versions stay readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.files.earlier_names import current_or_earlier, with_current_names
from asl_edge.spec import ModelSpec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["pictures", "images", "framing", "a"]), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("earlier", "today"),
    [
        ({"pictures": 3}, {"images": 3}),
        ({"framing": {"region": [0, 0, 1]}}, {"zoom": {"crop_box": [0, 0, 1]}}),
        ([{"pictures_per_second": 1.5}, "pictures"], [{"images_per_second": 1.5}, "pictures"]),
        ({"classes": ["A"]}, {"classes": ["A"]}),
        (
            {"recipe": "strangers", "data": {"source": "strangers"}},
            {"recipe": "signer-independent", "data": {"source": "strangers"}},
        ),
        (
            {"augmentation": "strangers", "start_from": "box"},
            {"augmentation": "signer-independent", "start_from": "pretrained"},
        ),
        (7, 7),
    ],
)
def test_keys_are_renamed_at_every_depth_and_names_where_they_are_names(earlier: Any, today: Any) -> None:
    assert with_current_names(earlier) == today


@given(JSON)
def test_renaming_twice_changes_nothing_more(values: Any) -> None:
    once = with_current_names(values)
    assert with_current_names(once) == once


def test_a_spec_of_an_earlier_version_keeps_its_zoom() -> None:
    spec = ModelSpec(("A", "B"), 8, features=2, zoom={"weights": [1, 2]})
    earlier = json.loads(spec.to_json())
    earlier["framing"] = earlier.pop("zoom")
    assert ModelSpec.from_json(json.dumps(earlier)) == spec


def test_names_that_people_chose_are_left_alone() -> None:
    """A source called `pictures`, or `region`, keeps its name; what is below it is ours."""
    spec = ModelSpec(("A", "B"), 8, evaluation={"pictures": {"images": 7}, "region": {"images": 8}})
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert with_current_names({"evaluation": {"pictures": {"pictures": 7}}}) == {
        "evaluation": {"pictures": {"images": 7}}
    }


def test_the_file_of_today_comes_first(tmp_path: Path) -> None:
    today, earlier = tmp_path / "zoom.json", tmp_path / "framing.json"
    assert current_or_earlier(today, "framing.json") == today
    earlier.touch()
    assert current_or_earlier(today, "framing.json") == earlier
    today.touch()
    assert current_or_earlier(today, "framing.json") == today


@pytest.mark.parametrize("key", ["correct_per_class", "right_of"])
def test_classes_that_people_named_are_left_alone(key: str) -> None:
    """A class called `region` keeps its name, in a model's spec and in the manifest of arrays."""
    evaluation = {"kitchen": {"pictures": 7, key: {"region": [3, 4], "A": [3, 3]}}}
    counts = {"train": {"pictures": 5, "A": 6}, "test": {"framing": 1}}

    read = with_current_names({"evaluation": evaluation, "counts": counts})

    assert read["counts"] == counts
    assert read["evaluation"] == {"kitchen": {"images": 7, "correct_per_class": {"region": [3, 4], "A": [3, 3]}}}
