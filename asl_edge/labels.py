"""The alphabet: class names, their order, and which letters are motions."""

from __future__ import annotations

from collections.abc import Iterable

from asl_edge.errors import DataError

LETTERS: tuple[str, ...] = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
NOTHING = "nothing"
"""The class of images without a hand."""
COMMANDS: tuple[str, ...] = ("del", NOTHING, "space")
CLASSES: tuple[str, ...] = LETTERS + COMMANDS
"""All 29 classes in alphabet order: A to Z, then `del`, `nothing`, `space`."""

MOTION_LETTERS: frozenset[str] = frozenset("JZ")
"""Signed as a movement; one image shows only their hold shape."""

STATIC_LETTERS: tuple[str, ...] = tuple(letter for letter in LETTERS if letter not in MOTION_LETTERS)
"""The 24 letters that one image can show."""

_ORDER = {name: rank for rank, name in enumerate(CLASSES)}
_BY_FOLDED_NAME = {name.casefold(): name for name in CLASSES} | {"delete": "del"}


def canonical(name: str) -> str | None:
    """Return the class that `name` means, in any case (`a` is `A`, `SPACE` is `space`), or None if it means none."""
    return _BY_FOLDED_NAME.get(name.strip().casefold())


def in_alphabet_order(names: Iterable[str]) -> list[str]:
    """Return the class names `names` without repeats, A to Z first, then `del`, `nothing`, `space`."""
    return sorted(set(names), key=_ORDER.__getitem__)


def parse_classes(text: str) -> list[str]:
    """Parse a list such as `A,B,space`, which chooses the classes and their order.

    Raises:
        DataError: a name is not a class of the alphabet, a class is named twice, or there is none.
    """
    chosen: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name = canonical(part)
        if name is None:
            raise DataError(f"Unknown class {part!r}. The classes are A to Z, del, nothing and space.")
        if name in chosen:
            raise DataError(f"Class {name} is named twice in {text!r}. Name each class once.")
        chosen.append(name)
    if not chosen:
        raise DataError(f"No class in {text!r}. Name them like this: A,B,C")
    return chosen
