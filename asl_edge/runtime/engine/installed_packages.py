"""Installed distributions, by their metadata: nothing is imported, so broken packages are found too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

# Distributions that install the same folder: pip does not warn, the last one wins, and uninstalling one breaks the
# other, since its files are gone.
_RUNTIMES = frozenset(
    (
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "onnxruntime-directml",
        "onnxruntime-qnn",
        "onnxruntime-rocm",
        "onnxruntime-migraphx",
        "onnxruntime-cann",
        "onnxruntime-training",
        "onnxruntime-vitisai",
        "ort-nightly",
        "ort-nightly-gpu",
    )
)
_OPENCVS = frozenset(
    ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
)


@dataclass(frozen=True)
class Clash:
    """Distributions that overwrite each other's files."""

    names: tuple[str, ...]
    problem: str
    remedy: str


def version_of(name: str) -> str | None:
    """Return the version of the installed distribution `name`, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def installed_names() -> set[str]:
    """Return the normalised names (PEP 503) of all installed distributions."""
    # A distribution that was removed by hand leaves metadata without a name.
    names = (distribution.metadata["Name"] for distribution in metadata.distributions())
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names if name}


def installed_runtimes(installed: Iterable[str] | None = None) -> list[str]:
    """Return the installed distributions that bring ONNX Runtime."""
    return sorted(_RUNTIMES.intersection(installed_names() if installed is None else installed))


def installed_opencvs(installed: Iterable[str] | None = None) -> list[str]:
    """Return the installed distributions that bring OpenCV through pip."""
    return sorted(_OPENCVS.intersection(installed_names() if installed is None else installed))


def runtime_clash(installed: Iterable[str] | None = None) -> Clash | None:
    """Return what is wrong when several distributions bring ONNX Runtime, else None.

    Args:
        installed: names of the installed distributions; None to look.
    """
    names = installed_runtimes(installed)
    if len(names) < 2:
        return None
    special = [name for name in names if name != "onnxruntime"]
    return Clash(
        tuple(names),
        f"{' and '.join(names)} are installed together; they overwrite each other's files and the last one wins.",
        f"Remove them all, then install the one you want: pip uninstall -y {' '.join(names)} && "
        f"pip install {special[0] if special else names[0]}",
    )


def opencv_clash(installed: Iterable[str] | None = None) -> Clash | None:
    """Return what is wrong when several distributions bring OpenCV, else None."""
    names = installed_opencvs(installed)
    if len(names) < 2:
        return None
    wanted = next((name for name in names if "headless" not in name), names[0])
    return Clash(
        tuple(names),
        f"{' and '.join(names)} are installed together; they overwrite each other's files and the last one wins.",
        f"Remove them all, then install one: pip uninstall -y {' '.join(names)} && pip install {wanted}",
    )
