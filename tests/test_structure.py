"""The shape of the code: files in a folder, parameters, length of functions, names of files; read, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("asl_edge", "benchmarks", "pretrained")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

FEWEST_FILES, MOST_FILES = 3, 15
FULLER_FOLDERS = {
    "asl_edge/training/augmentation": "one file per change of an image, and the layer that applies them",
    "benchmarks/speed": "one file per benchmark, as `python -m` starts them",
}
"""Folders with one file more than `MOST_FILES` (with `__init__.py`), and why."""

MOST_PARAMETERS = 8
LONGEST_BODY = 60
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "stuff", "tools"}
PURE_CALLS = {"isinstance", "issubclass", "callable", "len", "all", "any", "hasattr", "bool", "set", "sorted"}
"""What an `assert` of the package may call; `python -O` drops asserts, and what they do with them."""


class Function(NamedTuple):
    """A function as it stands in a file."""

    name: str
    line: int
    parameters: int
    """All but `self` and `cls`."""
    lines: int
    """Lines of the body, without its docstring."""
    explained: bool
    """Whether a comment stands at its head: above it or its decorators, or on the line of `def`."""


def functions_of(source: str) -> Iterator[Function]:
    """Yield every function, method and nested function of a file."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [argument.arg for argument in arguments]
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        above = lines[first - 2].strip() if first > 1 else ""
        yield Function(
            node.name,
            node.lineno,
            len(names) - (names[:1] in (["self"], ["cls"])),
            body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0,
            above.startswith("#") or " # " in lines[node.lineno - 1].replace("# noqa", ""),
        )


def impure_asserts_of(source: str) -> list[int]:
    """Return the lines of asserts that call anything but `PURE_CALLS`, or assign."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert)
        and any(
            isinstance(part, (ast.NamedExpr, ast.Await, ast.Yield))
            or (isinstance(part, ast.Call) and getattr(part.func, "id", None) not in PURE_CALLS)
            for part in ast.walk(node.test)
        )
    ]


def folders() -> list[Path]:
    """Return the folders with Python files."""
    return sorted({path.parent for path in MODULES})


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_holds_3_to_15_files(folder: Path) -> None:
    files = [path for path in MODULES if path.parent == folder]
    packages = [path for path in folders() if path.parent == folder]
    more = 1 if folder.relative_to(ROOT).as_posix() in FULLER_FOLDERS else 0

    assert len(files) + len(packages) >= FEWEST_FILES, "a folder that holds next to nothing: move its files up"
    assert len(files) <= MOST_FILES + more, "more than one subject? make a folder for one of them"


def test_folders_named_as_exceptions_are_exceptions() -> None:
    fuller = {
        folder.relative_to(ROOT).as_posix() for folder in folders() if len(list(folder.glob("*.py"))) > MOST_FILES
    }

    assert fuller == FULLER_FOLDERS.keys()


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_named_after_what_they_hold(package: str) -> None:
    paths = [path.relative_to(ROOT) for path in MODULES if path.is_relative_to(ROOT / package)]

    assert paths
    assert not [path for path in paths if EMPTY_NAMES & {part.removesuffix(".py").strip("_") for part in path.parts}]


@pytest.mark.parametrize("package", PACKAGES)
def test_long_functions_and_parameter_lists_say_why(package: str) -> None:
    faults = []
    for path in MODULES:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(f"{package}/"):
            continue
        for function in functions_of(path.read_text(encoding="utf-8")):
            place = f"{name}:{function.line}: {function.name}"
            # A parameter of a command is one of its options, which Typer reads from the signature.
            most = None if name.startswith("asl_edge/cli/") else MOST_PARAMETERS
            if most is not None and function.parameters > most and not function.explained:
                faults.append(f"{place} has {function.parameters} parameters, and no comment says why")
            if function.lines > LONGEST_BODY and not function.explained:
                faults.append(f"{place} has {function.lines} lines, and no comment says why")

    assert not faults, "\n".join(faults)


def test_no_assert_of_the_package_has_an_effect() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        if path.is_relative_to(ROOT / "asl_edge")
        for line in impure_asserts_of(path.read_text(encoding="utf-8"))
    ]

    assert not faults, f"`python -O` drops what these asserts call: {faults}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b, *, c): pass\n", ("f", 3, 1, False)),
        ("class C:\n    def f(self, a, /, b):\n        '''Doc.'''\n        a\n        b\n", ("f", 2, 2, False)),
        ("# All of them are needed.\n@decorated\ndef f(a): pass\n", ("f", 1, 1, True)),
        ("def f(  # each has a default\n    a=1,\n): pass\n", ("f", 1, 1, True)),
        ("def f(  # noqa: PLR0913\n    a=1,\n): pass\n", ("f", 1, 1, False)),
        ("def f():\n    '''Only a docstring.'''\n", ("f", 0, 0, False)),
    ],
)
def test_functions_are_measured(source: str, expected: tuple[str, int, int, bool]) -> None:
    (function,) = functions_of(source)

    assert (function.name, function.parameters, function.lines, function.explained) == expected


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("assert x is not None\nassert isinstance(x, int) and len(y) > 2\n", []),
        ("assert x.save()\n", [1]),
        ("\nassert save(x)\n", [2]),
        ("assert (y := x)\n", [1]),
    ],
)
def test_asserts_with_effects_are_found(source: str, lines: list[int]) -> None:
    assert impure_asserts_of(source) == lines
