"""The people whose frames are composed: images by person and letter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asl_edge.data.prepare.discovery import natural_key
from asl_edge.labels import canonical
from pretrained.landmarks.sources import VALIDATION_SIGNERS

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
AUGMENTED = "aug_"
"""Prefix of the images of dev-rooms that are augmented; they are left out."""


@dataclass(frozen=True)
class Person:
    """One person, or the people of one room-to-room collection."""

    name: str
    images: dict[str, list[Path]]
    """By class, `nothing` among them."""
    others: list[Path]
    """Hands in no letter of the alphabet."""

    def spells(self, word: str) -> bool:
        """Whether there are frames of every letter of a word."""
        return all(letter in self.images for letter in word)


def dev_people(data: Path) -> list[Person]:
    """Return the people that results are reported for: dev-wall, dev-rooms (not augmented) and those of dev-webcam."""
    folders = [data / "dev-wall", data / "dev-rooms", *sorted((data / "dev-webcam").iterdir())]
    return [_person(data, folder) for folder in folders if folder.is_dir()]


def tuning_people(data: Path) -> list[Person]:
    """Return the people that decoders are tuned on: the validation signers, whom the model's training left out."""
    return [_person(data, data / "signers" / name) for name in VALIDATION_SIGNERS]


def _person(data: Path, folder: Path) -> Person:
    images: dict[str, list[Path]] = {}
    for below in sorted(folder.iterdir()):
        name = canonical(below.name)
        files = _images(below) if name is not None else []
        if name is not None and files:
            images[name] = files
    extra = data / "signers-extra" / folder.name
    others = [path for below in sorted(extra.iterdir()) for path in _images(below)] if extra.is_dir() else []
    return Person(folder.name, images, [path for path in others if "nohand" not in path.parent.name])


def _images(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
    return sorted(
        (path for path in files if not path.name.startswith(AUGMENTED)), key=lambda path: natural_key(path.name)
    )
