"""The model card: what the spec knows, in words, and nothing that it does not."""

from __future__ import annotations

from asl_edge.labels import CLASSES
from asl_edge.runtime.model_card import card
from asl_edge.spec import ModelSpec

FIGURES = {
    "images": 200,
    "accuracy": 0.9,
    "accuracy_interval_95": [0.85, 0.94],
    "top_3_accuracy": 0.97,
    "expected_calibration_error": 0.031,
    "coverage": 0.8,
    "selective_accuracy": 0.96,
    "correct_per_class": {"A": [9, 10], "B": [10, 10]},
    "most_confused": [["A", "S", 1]],
}


def test_what_is_known_stands_there() -> None:
    spec = ModelSpec(
        CLASSES,
        128,
        network="alexnet-edge",
        precision="fp16-weights",
        temperature=1.4,
        reject_threshold=0.62,
        reject_curve=((0.0, 1.0, 0.9), (0.62, 0.8, 0.96)),
        calibration={"about": "people who were left out", "coverage": 0.8, "selective_accuracy": 0.96},
        evaluation={"walls": FIGURES, "rooms": {**FIGURES, "correct_per_class": {"A": [1, 10]}}},
        trained_on={
            "recipe": "strangers",
            "epochs": 40,
            "sources": [{"name": "phone", "train": 3000, "mirrored": True}],
        },
        parity={"label_agreement": 1.0, "images": 512, "max_probability_difference": 0.0004},
        made_with={"keras": "3.9"},
    )
    text = card(spec, "model.onnx")
    for words in (
        "# model.onnx",
        "- classes: all 29 classes",
        "128x128 pixels, RGB, made square by crop",
        "half precision, arithmetic in float32",
        "recipe strangers, epochs 40",
        "| phone | 3000 | yes |",
        "| walls | 200 | 90.0% (85.0%-94.0%) | 97.0% | 80.0% | 96.0% | 0.031 |",
        "| A | 9 of 10 | 1 of 10 |",
        "| B | 10 of 10 |  |",
        "- walls: A as S (1)",
        "Temperature 1.400",
        "Fitted on people who were left out.",
        'Below a confidence of 0.620 the answer is "not sure". There, coverage was 80.0% and selective accuracy 96.0%.',
        "| 0.620 | 80.0% | 96.0% |",
        "100.0% of 512 labels agree",
        "J and Z are movements",
    ):
        assert words in text, words


def test_what_is_not_known_is_said_or_left_out() -> None:
    text = card(ModelSpec(("A", "B"), 32), "x.onnx")
    assert "The file does not say." in text
    assert "every prediction is accepted" in text
    assert "## Evaluation" not in text
    assert "movements" not in text


def test_what_a_person_wrote_comes_first_and_holds_the_limits() -> None:
    text = card(ModelSpec(("A", "B"), 32), "x.onnx", "# My model\n\nFor my class only.\n")
    assert text.startswith("# My model\n\nFor my class only.\n\n# Facts of the file\n")
    assert "## Limits" not in text
