"""ModelSpec: what travels in the file comes back as it was, and nothing else is accepted."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asl_edge.errors import ModelError
from asl_edge.files.earlier_names import with_current_names
from asl_edge.labels import CLASSES
from asl_edge.spec import METADATA_KEY, SPEC_VERSION, ModelSpec, is_class_name

# Keys that earlier versions wrote are renamed when a spec is read (tests/files/test_earlier_names.py).
keys = st.text().filter(lambda key: with_current_names({key: 0}) == {key: 0})
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
specs = st.builds(
    ModelSpec,
    classes=st.lists(st.text(min_size=1, max_size=64).filter(is_class_name), min_size=2, max_size=30, unique=True).map(
        tuple
    ),
    input_size=st.integers(1, 1024),
    fit=st.sampled_from(["crop", "stretch", "pad"]),
    colour=st.sampled_from(["RGB", "BGR"]),
    preprocess_version=st.integers(1, 9),
    network=st.text(),
    precision=st.sampled_from(["fp32", "fp16", "fp16-weights", "int8"]),
    features=st.none() | st.integers(1, 4096),
    reject_curve=st.lists(st.tuples(*[st.floats(0, 1)] * 3), max_size=3).map(tuple),
    calibration=st.dictionaries(keys, plain, max_size=3),
    evaluation=st.dictionaries(st.text(), plain, max_size=3),
    weights_sha256=st.none() | st.text(),
    temperature=st.floats(1e-6, 1e6),
    reject_threshold=st.none() | st.floats(0, 1),
    trained_on=st.dictionaries(keys, plain, max_size=3),
    parity=st.dictionaries(keys, plain, max_size=3),
    made_with=st.dictionaries(st.text(), st.text(), max_size=3),
)


@given(specs)
def test_metadata_round_trip(spec: ModelSpec) -> None:
    metadata = spec.to_metadata()
    assert list(metadata) == [METADATA_KEY]
    assert ModelSpec.from_metadata(metadata | {"author": "someone"}) == spec


def values(**changes: Any) -> str:
    return json.dumps({**asdict(ModelSpec(CLASSES, 224)), **changes})


def test_fields_that_a_newer_asl_edge_added_are_ignored() -> None:
    assert ModelSpec.from_json(values(smoothing="five frames")) == ModelSpec(CLASSES, 224)


def test_fields_that_an_older_asl_edge_lacked_have_defaults() -> None:
    assert ModelSpec.from_json('{"classes": ["A", "B"], "input_size": 64}') == ModelSpec(("A", "B"), 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "lacks its classes"),
        ("null", "lacks its classes"),
        ('{"classes": ["A", "B"]}', "lacks its classes or input size"),
        (values(spec_version=SPEC_VERSION + 1), "Upgrade asl-edge"),
        (values(spec_version="new"), "Upgrade asl-edge"),
        (values(classes=[]), "two or more different classes"),
        (values(classes=["A"]), "two or more different classes"),
        (values(classes=["A", "A"]), "two or more different classes"),
        (values(classes=5), "classes"),
        (values(classes=[["A"], ["B"]]), "classes"),
        (values(classes="AB"), "classes"),
        (values(classes=[1, 2]), "classes"),
        (values(input_size=0), "input_size"),
        (values(input_size="224"), "input_size"),
        (values(input_size=True), "input_size"),
        (values(fit="squash"), "fit must be"),
        (values(colour="CMYK"), "colour must be"),
        (values(temperature=0), "temperature"),
        (values(temperature="hot"), "temperature"),
        (values(temperature=float("nan")), "temperature"),
        (values(temperature=float("inf")), "temperature"),
        (values(reject_threshold=1.5), "reject_threshold"),
        (values(features=0), "features"),
        (values(features="many"), "features"),
        (values(reject_curve=3), "reject_curve"),
        (values(reject_curve=[3]), "reject_curve"),
        (values(reject_curve=[[0.5, 0.5]]), "reject_curve"),
        (values(reject_curve=[[0.5, 0.5, 2]]), "reject_curve"),
        (values(reject_threshold=-0.1), "reject_threshold"),
        (values(reject_threshold="high"), "reject_threshold"),
    ],
)
def test_what_is_no_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelSpec.from_json(text)


def test_a_model_without_a_spec_is_refused() -> None:
    with pytest.raises(ModelError, match="asl-edge export"):
        ModelSpec.from_metadata({"author": "someone"})


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ModelSpec(CLASSES, 224).fit = "pad"  # type: ignore[misc]
