from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asl_edge.errors import ModelError
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.pretrained import pretrained_model
from asl_edge.runtime.spelling.spelling_spec import WITH_LANDMARKS, SpellingSpec, ViterbiRules


def test_a_spec_survives_json(tmp_path: Path) -> None:
    spec = SpellingSpec(
        "exponential",
        ViterbiRules(margin=1.25),
        still_speed=2.0,
        confusion_classes=("M", "N"),
        confusion=((0.75, 0.25), (0.5, 0.5)),
    )
    (tmp_path / "spelling.json").write_text(spec.to_json(), encoding="utf-8")

    assert SpellingSpec.from_json(spec.to_json()) == spec
    assert SpellingSpec.load(tmp_path / "spelling.json") == spec


def test_what_is_missing_has_its_default_and_what_is_unknown_is_ignored() -> None:
    spec = SpellingSpec.from_json('{"viterbi": {"margin": 3, "later": 1}, "later": true}')

    assert spec == SpellingSpec(viterbi=ViterbiRules(margin=3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decoder": "ctc"}, "viterbi, exponential, majority"),
        ({"version": 2}, "Upgrade"),
        ({"version": 0}, "version"),
        ({"viterbi": 3}, "viterbi .* must be an object"),
        ({"viterbi": {"hold_seconds": -1}}, "hold_seconds .* between 0 and 60 seconds"),
        ({"viterbi": {"letter_cost": "1"}}, "letter_cost .* between 0 and 1000"),
        ({"exponential": {"enter": 1.5}}, "enter .* between 0 and 1"),
        ({"majority": {"enter": True}}, "enter .* between 0 and 1"),
        ({"longest_frame_seconds": 0}, "longest_frame_seconds .* above 0"),
        ({"not_sure_weight": 2}, "not_sure_weight .* between 0 and 1"),
        ({"still_speed": 0}, "still_speed .* above 0"),
        ({"confusion_classes": ["A"]}, "a row and a column"),
        ({"confusion_classes": ["A", "A"], "confusion": [[1, 0], [0, 1]]}, "different"),
        ({"confusion_classes": ["A", "B"], "confusion": [[1, 0], [0.4, 0.4]]}, "row of B .* add up to 1"),
        ({"confusion_classes": ["A", 3], "confusion": [[1, 0], [0, 1]]}, "names of classes"),
        ({"confusion": 1}, "a row and a column"),
    ],
)
def test_fields_that_break_a_rule_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        SpellingSpec.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"viterbi": {"margin": NaN}}', "3"])
def test_texts_that_are_no_spec_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "spelling.json").write_text(text, encoding="utf-8")

    with pytest.raises(ModelError, match="spelling spec"):
        SpellingSpec.from_json(text)
    with pytest.raises(ModelError, match="spelling spec"):
        SpellingSpec.load(tmp_path / "spelling.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no spelling spec .*gone.json"):
        SpellingSpec.load(tmp_path / "gone.json")


def test_a_model_that_finds_the_hand_has_numbers_of_its_own() -> None:
    plain = read_spec(pretrained_model())
    without = replace(plain, landmarks=None)

    assert SpellingSpec.of_model(plain) == WITH_LANDMARKS
    assert SpellingSpec.of_model(without) == SpellingSpec()
    for own in ({"still_speed": 2.0}, {"viterbi": {"margin": 2.0}}, {"decoder": "majority"}):
        changed = SpellingSpec.of_model(replace(plain, spelling=own)).to_dict()
        expected = WITH_LANDMARKS.to_dict()
        for name, value in own.items():
            expected[name] = expected[name] | value if isinstance(value, dict) else value
        assert SpellingSpec.from_dict(changed) == SpellingSpec.from_dict(expected)
