"""Words that have a standard term, in what a person reads: Markdown, and the strings of the program.

The glossary is in CONTRIBUTING.md. Names of files, keys and options that earlier versions used are allowed where they
are read back.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TERMS = {
    r"pictures?": "image",
    r"anew": "again, from scratch",
    r"mend(s|ed|ing)?": "fix",
    r"rightly": "correctly",
    r"in the box": "pretrained",
    r"strangers?": "unseen signers",
    r"drawn (hands?|images?|people|person)": "synthetic hands",
    r"looks? (again|twice|once)": "zoom pass",
    r"(first|second|one|two|another) looks?": "zoom pass",
    r"sittings?": "session",
    r"goes on": "continues",
    r"by way of": "with",
    r"papers": "documents",
    r"(?<!there )(is|are) no (model|file|folder|image|bundle|spec|number|video|camera|class|run|network|zip)\b":
        "is not a ...",
    r"(one|images|frames|runs|folder|line|row|batch) an? (class|image|second|core|source|line|epoch|round)": "per ...",
    r"read (correctly|right|wrong)": "classified",
}  # fmt: skip
"""Pattern of whole words, in any case, and what to write instead."""

CODE = [
    *sorted((ROOT / "asl_edge").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "pretrained").rglob("*.py")),
    ROOT / "bootstrap.py",
]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "export").rglob("*.md")),
    *sorted(path for folder in ("benchmarks", "requirements", "pretrained") for path in (ROOT / folder).glob("*.md")),
]

EARLIER_NAMES = {
    "asl_edge/files/earlier_names.py",  # JSON keys of earlier versions
    "asl_edge/runtime/pretrained.py",  # `box`
    "CONTRIBUTING.md",  # the glossary names what not to write
}
_NAMES = re.compile(r"`[^`\n]*`|\bstrangers\.py\b")
"""Names in code, such as a recipe or an option, are not prose."""


def strings_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string constant with a space in it: docstrings, messages, help texts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value


def passages_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of what a person reads in a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from strings_of(text)
    else:
        without_code = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.S | re.M)
        yield from enumerate(without_code.splitlines(), 1)


def faults_of(path: Path) -> list[str]:
    """Return a sentence for every word with a standard term."""
    found = []
    for line, text in passages_of(path):
        for pattern, term in TERMS.items():
            for match in re.finditer(rf"\b{pattern}\b", _NAMES.sub("", text), re.IGNORECASE):
                found.append(f"{path.relative_to(ROOT)}:{line}: {match[0]!r}; say: {term}")
    return found


BASELINE = ROOT / "tests" / "vocabulary_baseline.txt"
"""Faults that are still allowed, as `COUNT PATH`; a file that is not named may have none. It only gets shorter."""


def allowed() -> dict[str, int]:
    lines = BASELINE.read_text(encoding="utf-8").splitlines() if BASELINE.exists() else []
    return {path: int(count) for count, path in (line.split(" ", 1) for line in lines)}


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_standard_terms(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name not in EARLIER_NAMES:
        faults = faults_of(path)
        assert len(faults) <= allowed().get(name, 0), "\n".join(faults)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Mend the picture", ["mend", "picture"]),
        ("The model in the box reads strangers' hands", ["in the box", "strangers"]),
        ("x.onnx is no model; 10 images a second", ["is no model", "images a second"]),
        ("there is no model here", []),
        ("recipe `strangers`", []),
        ("an amendment", []),
    ],
)
def test_the_check_finds_whole_words(text: str, found: list[str]) -> None:
    prose = _NAMES.sub("", text)
    matches = [match[0].lower() for pattern in TERMS for match in re.finditer(rf"\b{pattern}\b", prose, re.IGNORECASE)]

    assert sorted(matches) == sorted(found)


def test_strings_are_read_and_comments_are_not() -> None:
    source = '"""A docstring."""\n# a comment\nraise ValueError(f"no {1} such thing")\nname = "key"\n'

    assert [text.strip() for _, text in strings_of(source)] == ["A docstring.", "such thing"]
