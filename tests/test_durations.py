"""Which tests the quick run takes: those that were measured to be fast, and one of every folder at least."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent


def quick(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, measured: dict[str, object]) -> set[str]:
    """Return the names of the tests of a small suite that `-m "not slow"` takes."""
    tests = pytester.mkpydir("tests")
    (tests / "durations.py").write_text((HERE / "durations.py").read_text(encoding="utf-8"), encoding="utf-8")
    (tests / "durations.json").write_text(json.dumps(measured), encoding="utf-8")
    (tests / "one").mkdir()
    (tests / "one" / "test_one.py").write_text(
        "import pytest\n@pytest.fixture\ndef heavy(): pass\n"
        "def test_fast(): pass\ndef test_uses(heavy): pass\n"
        "@pytest.mark.parametrize('n', 'ab')\ndef test_slow(n): pass\n"
    )
    (tests / "two").mkdir()
    (tests / "two" / "test_two.py").write_text("def test_slower(): pass\ndef test_slowest(): pass\n")
    (tests / "three").mkdir()
    (tests / "three" / "test_three.py").write_text("def test_new(): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tests))
    done = pytester.runpytest_subprocess("-p", "durations", "-m", "not slow", "-v", "-p", "no:cacheprovider")
    return {line.split("::")[1].split()[0] for line in done.outlines if "PASSED" in line}


def test_slow_tests_and_slow_fixtures_are_left_out(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {
        "files": {
            "one/test_one.py": {"seconds": 3.0, "slow": {"test_slow": 2.0}},
            "two/test_two.py": {"seconds": 9.0, "slow": {"test_slower": 3.0, "test_slowest": 6.0}},
        },
        "fixtures": {"heavy": 5.0},
    }

    assert quick(pytester, monkeypatch, measured) == {"test_fast", "test_slower", "test_new"}


def test_every_folder_of_tests_has_a_quick_test(request: pytest.FixtureRequest) -> None:
    if not any("slow" in item.keywords for item in request.session.items):
        pytest.skip("this run holds no slow test to leave out")
    chosen = {item.path.parent for item in request.session.items if "slow" not in item.keywords}

    assert {item.path.parent for item in request.session.items} == chosen
