"""Which tests are slow, as measured: the order of a whole run, and what `bootstrap.py test --quick` leaves out.

`pytest --record-durations` writes tests/durations.json at the end of a run: the processor seconds of every file that
ran, the names of its slow tests, and the fixtures that are slow to set up; what did not run keeps its figures. From it

- files start in the order of their length, the longest and the unmeasured first, so that parallel processes end
  together;
- every test that is slow, that uses a slow fixture, or whose file was never measured, is marked `slow`, except the
  fastest one of each folder that would have no other. `pytest -m "not slow"` is the quick run.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parent / "durations.json"
SLOW_TEST, SLOW_FIXTURE = 0.4, 1.0
"""Processor seconds from which on a test or a fixture is slow."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help=f"write what tests took into {FILE.name}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: left out by `bootstrap.py test --quick` (see tests/durations.py)")
    if config.getoption("--record-durations"):
        config.pluginmanager.register(_Recorder(config), "duration-recorder")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks that this sets
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    measured: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    mark_slow(items, measured)
    files = measured.get("files", {})
    items.sort(key=lambda item: -float(files.get(_file(item), {}).get("seconds", float("inf"))))  # new files first


def mark_slow(items: list[pytest.Item], measured: dict[str, Any]) -> None:
    """Mark slow tests, but leave each folder of tests one that is not."""
    files, fixtures = measured.get("files", {}), set(measured.get("fixtures", {}))
    slow: dict[str, list[tuple[float, int, pytest.Item]]] = defaultdict(list)
    quick = set[str]()
    for number, item in enumerate(items):
        known = files.get(_file(item))
        seconds = None if known is None else known["slow"].get(_name(item), 0.0)
        folder = str(item.path.parent)
        if seconds == 0.0 and not fixtures & set(getattr(item, "fixturenames", ())):
            quick.add(folder)
        else:
            slow[folder].append((float("inf") if seconds is None else seconds, number, item))
    for folder, members in slow.items():
        for _, _, item in sorted(members)[0 if folder in quick else 1 :]:
            item.add_marker(pytest.mark.slow)


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(FILE.parent).as_posix()


def _name(item: pytest.Item) -> str:
    return _without_parameters(item.nodeid)


def _without_parameters(nodeid: str) -> str:
    """Return the name of a test function; its cases count together, since their names may hold anything."""
    return re.sub(r"\[.*", "", nodeid.partition("::")[2], flags=re.DOTALL)


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for.

    Not the time on the clock, which says more of what else the machine was doing.
    """
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _Recorder:
    """Adds up what tests and fixtures take; with parallel processes, in each of them and then here."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tests: dict[str, float] = {}
        self._fixtures: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        began = _cpu_seconds()
        try:
            return (yield)
        finally:
            self._tests[item.nodeid] = _cpu_seconds() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        began = _cpu_seconds()
        try:
            return (yield)
        finally:
            self._keep_longest({fixturedef.argname: _cpu_seconds() - began})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})
        self._tests |= output.get("tests", {})
        self._keep_longest(output.get("fixtures", {}))

    def _keep_longest(self, fixtures: dict[str, float]) -> None:
        for name, seconds in fixtures.items():
            self._fixtures[name] = max(self._fixtures.get(name, 0.0), seconds)

    def pytest_sessionfinish(self) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:  # one of several processes: the first one writes for all
            output |= {"tests": self._tests, "fixtures": self._fixtures}
            return
        files: dict[str, dict[str, Any]] = {}
        for nodeid, seconds in sorted(self._tests.items()):
            file = nodeid.partition("::")[0].removeprefix("tests/")
            entry = files.setdefault(file, {"seconds": 0.0, "slow": {}})
            entry["seconds"] += seconds
            if seconds >= SLOW_TEST:
                name = _without_parameters(nodeid)
                entry["slow"][name] = round(max(seconds, entry["slow"].get(name, 0.0)), 1)
        for entry in files.values():
            entry["seconds"] = round(entry["seconds"], 1)
        fixtures = {name: round(took, 1) for name, took in sorted(self._fixtures.items()) if took >= SLOW_FIXTURE}
        before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
        here = {file: entry for file, entry in before.get("files", {}).items() if (FILE.parent / file).exists()}
        written = {"files": here | files, "fixtures": before.get("fixtures", {}) | fixtures}
        FILE.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n", encoding="utf-8")
