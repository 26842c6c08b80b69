"""The documentation against the program: shown output, the command-line reference, images, navigation, the card."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import yaml

from asl_edge.runtime.onnx_file.metadata import read_metadata
from asl_edge.runtime.pretrained import pretrained_model
from asl_edge.spec import CARD_KEY

ROOT = Path(__file__).resolve().parents[1]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = load_generator()
AGAIN = "Run `python docs/generate.py` and commit what it writes."


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    assert GENERATE.CLI_PAGE.read_text(encoding="utf-8") == GENERATE.cli_page(), AGAIN


def test_the_image_of_predictions_is_what_predict_shows() -> None:
    stored = cv2.imread(str(GENERATE.PREDICTION_IMAGE))
    now = GENERATE.prediction_image()

    assert stored is not None
    assert stored.shape == now.shape
    # Another processor rounds a confidence to another percent, or a pixel of a hand to another value.
    assert np.mean(np.abs(stored.astype(int) - now) > 8) < 0.01, AGAIN


@pytest.mark.parametrize("page", GENERATE.pages_with_output(), ids=lambda page: page.name)
def test_shown_output_is_what_the_commands_print(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert differences(text, GENERATE.with_output(text)) == [], AGAIN


def differences(shown: str, printed: str) -> list[str]:
    """Return the lines that differ in more than timings, and percentages by more than two points."""
    lines = list(zip(shown.splitlines(), printed.splitlines(), strict=False))
    found = [f"- {left}\n+ {right}" for left, right in lines if not alike(left, right)]
    return found + ([] if len(shown.splitlines()) == len(printed.splitlines()) else ["another number of lines"])


def alike(shown: str, printed: str) -> bool:
    left, right = tokens(shown), tokens(printed)
    return len(left) == len(right) and all(map(same, left, right))


def tokens(line: str) -> list[str]:
    line = re.sub(r"\d+ images/s", "0.0 images/s", line)
    return re.findall(r"\d+(?:\.\d+)?%?|[^\s\d]+", line)


def same(shown: str, printed: str) -> bool:
    if shown.endswith("%") and printed.endswith("%"):
        return abs(float(shown[:-1]) - float(printed[:-1])) <= 2
    timing = re.compile(r"\d+\.\d+")  # every number with a decimal point that is not a percentage
    return shown == printed or bool(timing.fullmatch(shown) and timing.fullmatch(printed))


@pytest.mark.parametrize(
    ("shown", "printed", "accepted"),
    [
        ("A  99.0%  62.9  hands/A.jpg", "A 98.4% 3.1 hands/A.jpg", True),
        ("A  99.0%  62.9  hands/A.jpg", "A 91.0% 3.1 hands/A.jpg", False),
        ("A  99.0%  62.9  hands/A.jpg", "B 99.0% 62.9 hands/A.jpg", False),
        ("(1.4 s, 39 images/s)", "(0.2 s, 400 images/s)", True),
        ("3 images", "4 images", False),
    ],
)
def test_the_comparison_of_output_can_fail(shown: str, printed: str, accepted: bool) -> None:
    assert alike(shown, printed) is accepted


def test_every_page_is_in_the_navigation() -> None:
    # mkdocs.yml names Python functions with tags of its own, which are not read here.
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = {entry for item in yaml.safe_load(text)["nav"] for entry in item.values()}

    outside = {page for page in named if page.startswith("repository/")}  # see docs/hooks.py
    assert all((ROOT / page.removeprefix("repository/")).is_file() for page in outside)
    assert named - outside == {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}


def test_the_card_inside_the_pretrained_model_is_the_page() -> None:
    card = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")

    assert read_metadata(pretrained_model())[CARD_KEY] == card, (
        "Run `python -m pretrained.release --card-only FILE.onnx`."
    )


@pytest.mark.parametrize(
    "heading",
    [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ],
)
def test_the_model_card_has_the_headings_of_mitchell_et_al(heading: str) -> None:
    assert f"\n## {heading}\n" in (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_workflows_and_forms_are_yaml(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))

    if path.parent.name == "workflows":
        assert all("runs-on" in job for job in values["jobs"].values())
    elif path.name != "config.yml":
        assert {entry["type"] for entry in values["body"]} == {"textarea"}
