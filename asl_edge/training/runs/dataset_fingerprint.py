"""Where the images of a run came from, and whether they are still the same when it is resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asl_edge.data.arrays import FILES, SPLITS, sha256_of
from asl_edge.errors import DataError, TrainingError

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays


def describe_arrays(arrays: PreparedArrays) -> dict[str, Any]:
    """Return the entry `data` of `config.json`: sources, split, counts, and a fingerprint of the files.

    With a manifest the fingerprint is the SHA-256 of every file as the manifest records it; without one it is the size
    of the image files and the SHA-256 of the (small) class files.
    """
    manifest = arrays.manifest or {}
    return {
        "sources": manifest.get("sources", []),
        "split": manifest.get("split", manifest.get("options", {}).get("split")),
        "counts": _counts(arrays),
        "bgr": arrays.bgr,
        "fingerprint": _fingerprint(arrays),
    }


def check_unchanged(arrays: PreparedArrays, recorded: dict[str, Any], classes: list[str]) -> None:
    """Check that arrays are those that a run began with.

    Raises:
        TrainingError: they are not.
    """
    now = describe_arrays(arrays)
    if list(arrays.classes) != classes:
        raise TrainingError(
            f"The run began with the classes {','.join(classes)}. Received: {','.join(arrays.classes)}. "
            "Resume with the same arrays, or train into a new folder."
        )
    changed = [name for name in ("counts", "bgr", "fingerprint") if now[name] != recorded.get(name)]
    if changed:
        raise TrainingError(
            f"The arrays in {arrays.folder} are not those that the run began with ({', '.join(changed)} differ). "
            "Resume with the same arrays, or train into a new folder."
        )


def _counts(arrays: PreparedArrays) -> dict[str, int]:
    counts = {}
    for name in SPLITS:
        try:
            counts[name] = len(arrays.split(name))
        except DataError:
            counts[name] = 0
    return counts


def _fingerprint(arrays: PreparedArrays) -> dict[str, Any]:
    if arrays.manifest is not None:
        return {name: entry["sha256"] for name, entry in sorted(arrays.manifest["files"].items())}
    fingerprint: dict[str, Any] = {}
    for images, classes in FILES.values():
        if (arrays.folder / images).exists():
            fingerprint[images] = (arrays.folder / images).stat().st_size
            fingerprint[classes] = sha256_of(arrays.folder / classes)
    return fingerprint
