"""What earlier versions of asl-edge called things in the files that they wrote, so that those files stay readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_RENAMED = {
    "accuracy_when_answered": "selective_accuracy",
    "accuracy_when_answered_interval_95": "selective_accuracy_interval_95",
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
    "right_of": "correct_per_class",
    "same_pictures": "same_images",
    "second_look": "zoom",
    "small_at_one": "small_without_zoom",
    "small_at_two": "small_with_zoom",
    "test_pictures": "test_images",
    "whole_at_one": "whole_without_zoom",
    "whole_at_two": "whole_with_zoom",
}
"""Key as 0.1 development versions wrote it -> key today."""

_CHOSEN_BY_PEOPLE = frozenset(("evaluation", "made_with"))
"""Keys of dictionaries by names that are not ours (of sources, of packages): a source may be called `pictures`."""

_BY_CLASS = frozenset(("correct_per_class", "right_of", "counts"))
"""Keys of figures by class: a class may be called `region`."""

_RENAMED_VALUES = {
    ("recipe", "drawn"): "synthetic",
    ("recipe", "strangers"): "signer-independent",
    ("start_from", "box"): "pretrained",
    ("augmentation", "strangers"): "signer-independent",
}
"""Key and value as earlier versions wrote them -> value today. People may still use the earlier names."""


def with_current_names(values: Any) -> Any:
    """Return parsed JSON with the keys and names of earlier versions renamed, at every depth; the rest is unchanged."""
    if isinstance(values, dict):
        return {current_key(key): current_value(key, _below(key, value)) for key, value in values.items()}
    if isinstance(values, list):
        return [with_current_names(value) for value in values]
    return values


def _below(key: str, value: Any) -> Any:
    if key in _BY_CLASS:
        return value
    if key in _CHOSEN_BY_PEOPLE and isinstance(value, dict):
        return {name: with_current_names(inner) for name, inner in value.items()}
    return with_current_names(value)


def current_key(key: str) -> str:
    """Return the current name of a key that an earlier version wrote; a key that was not renamed is unchanged."""
    return _RENAMED.get(key, key)


def current_value(key: str, value: Any) -> Any:
    """Return the current name where `value` is what an earlier version called it, under the key `key`; else `value`."""
    return _RENAMED_VALUES.get((key, value), value) if isinstance(value, str) else value


def current_or_earlier(path: Path, earlier: str) -> Path:
    """Return `path`, or the file of the name `earlier` next to it where only that one exists."""
    before = path.with_name(earlier)
    return before if before.exists() and not path.exists() else path
