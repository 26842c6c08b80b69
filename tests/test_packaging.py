"""What pip and a fresh machine rely on: declared dependencies, locks, the lazy public API, the name of our tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement

import asl_edge

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def locked(lock: Path) -> list[Requirement]:
    lines = re.sub(r"\\\n", " ", lock.read_text(encoding="utf-8")).splitlines()
    return [Requirement(line.split(" --hash=")[0].strip()) for line in lines if re.match(r"[A-Za-z0-9]", line)]


def test_the_base_install_is_numpy_typer_and_rich_alone() -> None:
    names = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert names == {"numpy", "typer", "rich"}


def test_what_a_device_brings_itself_is_not_pinned_from_above() -> None:
    device = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["cpu"]
    bounds = {(item := Requirement(text)).name: {part.operator for part in item.specifier} for text in device}
    for name in ("numpy", "opencv-python", "onnxruntime"):
        assert bounds[name] == {">="}, name


@pytest.mark.parametrize(
    "lock", [ROOT / "requirements" / name for name in ("workshop.txt", "develop.txt", "docs.txt")], ids=str
)
def test_locks_are_hashed_and_name_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links", text)
    requirements = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", text) if re.match(r"[A-Za-z0-9]", entry)]
    assert requirements
    for entry in requirements:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


@pytest.mark.parametrize("extra", ["cpu", "train", "report"])
def test_the_workshop_lock_fits_what_pyproject_declares(extra: str) -> None:
    pins: dict[str, list[str]] = {}
    for requirement in locked(ROOT / "requirements" / "workshop.txt"):
        (pin,) = requirement.specifier
        pins.setdefault(requirement.name.lower(), []).append(pin.version)
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra]:
        declared = Requirement(text)
        if declared.name == "asl-edge":
            continue
        assert pins.get(declared.name.lower()), f"{declared.name} is not in the lock"
        for version in pins[declared.name.lower()]:
            assert declared.specifier.contains(version), f"{declared} against the locked {version}"


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, asl_edge; print([m for m in ('numpy', 'cv2', 'onnxruntime', 'keras') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_public_names_load_on_first_use() -> None:
    assert set(asl_edge.__all__) <= set(dir(asl_edge))
    for name in asl_edge.__all__:
        assert getattr(asl_edge, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        asl_edge.Nonsense  # noqa: B018


def test_python_m_asl_edge_is_the_command() -> None:
    run = subprocess.run([sys.executable, "-m", "asl_edge", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"asl-edge {asl_edge.__version__}\n"


def test_our_tests_are_not_shadowed_by_the_package_that_tf2onnx_leaves_behind() -> None:
    # importlib mode names modules by their path from the root, so `tests` of site-packages never gets in between.
    assert Path(sys.modules[__name__].__file__ or "").resolve() == Path(__file__).resolve()
    assert __name__.endswith("test_packaging")
