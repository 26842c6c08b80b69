"""Nothing is sent anywhere, and nothing is written but what was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from traced import trace

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "tests/fixtures/v0_1_dev/images/far-B-B3.jpg"
SAYS_CI = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS")
"""With any of these, ONNX Runtime sends nothing anyway, and the tests below would prove nothing."""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a person with an empty home, who has not heard of telemetry."""
    (tmp_path / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in (*SAYS_CI, "ORT_DISABLE_TELEMETRY")}
    for name in [name for name in kept if name.startswith("COVERAGE_")]:  # measured, a process writes what it ran
        del kept[name]
    return kept | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize(
    ("before", "after"), [(None, "1"), ("", "1"), ("0", "0"), ("1", "1"), ("false", "false"), ("yes", "yes")]
)
def test_importing_asl_edge_switches_telemetry_off_unless_it_was_chosen(env, before, after):
    env |= {} if before is None else {"ORT_DISABLE_TELEMETRY": before}
    code = "import asl_edge, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_the_tests_themselves_send_nothing():
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_predict_writes_nothing_and_opens_no_socket(env, tmp_path):
    traced = trace([sys.executable, "-m", "asl_edge", "predict", str(IMAGE)], env, tmp_path / "log")
    assert "B" in traced.output
    assert IMAGE in traced.opened, "the trace is blind"
    assert traced.sockets == []
    assert traced.written == set()
    assert list((tmp_path / "home").iterdir()) == []


def test_a_predictor_of_the_python_api_writes_what_it_is_told_and_no_more(env, tmp_path):
    code = (
        "import sys, asl_edge\n"
        "predictor = asl_edge.Predictor()\n"
        "answer = [prediction.label for prediction in predictor([sys.argv[1]])]\n"
        "open(sys.argv[2], 'w').write(' '.join(answer))\n"
    )
    told = tmp_path / "told.txt"
    traced = trace([sys.executable, "-c", code, str(IMAGE), str(told)], env, tmp_path / "log")
    assert told.read_text() == "B"
    assert traced.sockets == []
    assert traced.written == {told}
    assert list((tmp_path / "home").iterdir()) == []
