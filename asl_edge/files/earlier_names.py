"""What earlier versions of asl-edge called things in the files that they wrote, so that those files stay readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_RENAMED = {
    "calibration_pictures": "calibration_images",
    "clear_pictures": "clear_images",
    "close_pictures": "close_images",
    "framing": "zoom",
    "joules_per_picture": "joules_per_image",
    "labelled_pictures": "labelled_images",
    "pictures": "images",
    "pictures_from": "images_from",
    "pictures_per_second": "images_per_second",
    "region": "crop_box",
    "same_pictures": "same_images",
    "second_look": "zoom",
    "test_pictures": "test_images",
}
"""Key as 0.1 development versions wrote it -> key today."""

_CHOSEN_BY_PEOPLE = frozenset(("evaluation", "made_with"))
"""Keys of dictionaries by names that are not ours (of sources, of packages): a source may be called `pictures`."""


def with_current_names(values: Any) -> Any:
    """Return parsed JSON with the keys of earlier versions renamed, at every depth; anything else stays as it is."""
    if isinstance(values, dict):
        return {_RENAMED.get(key, key): _below(key, value) for key, value in values.items()}
    if isinstance(values, list):
        return [with_current_names(value) for value in values]
    return values


def _below(key: str, value: Any) -> Any:
    if key in _CHOSEN_BY_PEOPLE and isinstance(value, dict):
        return {name: with_current_names(inner) for name, inner in value.items()}
    return with_current_names(value)


def current_or_earlier(path: Path, earlier: str) -> Path:
    """Return `path`, or the file of the name `earlier` next to it where only that one exists."""
    before = path.with_name(earlier)
    return before if before.exists() and not path.exists() else path
