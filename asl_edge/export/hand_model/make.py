"""`make_hand_model`: from a wheel to the folder that `--hand-model` names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from asl_edge.errors import ParityError
from asl_edge.export.graph.toolchain import versions
from asl_edge.export.hand_model.conversion import HAND_OUTPUTS, PALM_OUTPUTS, TfliteNetwork, converted
from asl_edge.export.hand_model.wheel import MEDIAPIPE, Member, Release, opened_wheel, read_members
from asl_edge.files import atomic
from asl_edge.files.atomic_folder import check_place, whole_folder
from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.engine.session import OpenRequest, open_session
from asl_edge.runtime.hand_landmarks import spans
from asl_edge.runtime.hand_model.folder import (
    ABOUT_FILE,
    FILES,
    HAND_FILE,
    LICENSE_FILE,
    NOTICE_FILE,
    PALM_FILE,
    VERSION,
    default_folder,
)
from asl_edge.runtime.hand_model.hand_finder import HandFinder

TOLERANCE = 0.005
"""Largest distance of a point between TFLite and ONNX, in spans of the hand."""
_COMPARED = 8
_SIDE = 384
_SHOWN_WELL = "BCFLUVWY"
"""Letters whose synthetic hands are usually found."""

_NOTICE = """\
{palm} and {hand} are the networks palm_detection_full and hand_landmark_full of MediaPipe
({requirement}, https://github.com/google-ai-edge/mediapipe), Copyright The MediaPipe Authors, licensed under the
Apache License, Version 2.0 (see {licence}, which came with them).

Changed: asl-edge converted them on this machine from TensorFlow Lite to ONNX with tf2onnx, with float32 weights in
place of float16 ones and other names for inputs and outputs, and left out the output of points in metres. Nothing was
trained.
"""


@dataclass(frozen=True)
class HandModelReport:
    """What was made."""

    folder: Path
    compared: int
    """Synthetic hands that both the TFLite and the ONNX networks find."""
    largest_difference: float
    """Largest distance between a point of the two, in spans of the hand."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        difference = float(f"{self.largest_difference:.3g}")
        return {"folder": str(self.folder), "compared": self.compared, "largest_difference": difference}


def make_hand_model(
    out: Path | None = None,
    *,
    wheel: str | None = None,
    overwrite: bool = False,
    release: Release | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> HandModelReport:
    """Fetch the public hand model, convert it, compare it with its source, and write its folder.

    Args:
        out: the folder to make; None for the user's cache, where `--hand-model` looks.
        wheel: path or http(s) address of a wheel of `mediapipe==0.10.21`; None downloads it with pip.
        overwrite: replace an earlier hand model there.
        release: which wheel; None for MediaPipe's.
        on_stage: called with what is done next.

    Raises:
        DataError: the wheel is another one or cannot be fetched, or `out` is in the way.
        MissingPackageError: pip, tf2onnx, onnx or TensorFlow is not installed.
        ParityError: the converted networks find other points than their sources.
    """
    folder, release = default_folder() if out is None else out, release or MEDIAPIPE
    check_place(folder, overwrite=overwrite, ours=FILES)
    tell = on_stage or (lambda _: None)
    tell("Fetching the wheel" if wheel is None or "://" in wheel else "Reading the wheel")
    with opened_wheel(release, wheel) as path:
        members = read_members(path, release)
    with TemporaryDirectory(prefix="asl-edge-") as work:
        sources = [_put(members, member, Path(work)) for member in (release.palm, release.hand)]
        tell("Converting")
        networks = {
            name: converted(source, outputs)
            for name, source, outputs in zip((PALM_FILE, HAND_FILE), sources, (PALM_OUTPUTS, HAND_OUTPUTS), strict=True)
        }
        tell("Comparing")
        compared, largest = _compared(networks[PALM_FILE], networks[HAND_FILE], sources[0], sources[1])
    about = {
        "version": VERSION,
        "source": release.requirement,
        "sha256_of_sources": {member.name: member.sha256 for member in members},
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in networks.items()},
        "compared": {"hands": compared, "largest_difference_spans": largest},
        "made_with": versions(),
    }
    names = {"palm": PALM_FILE, "hand": HAND_FILE, "licence": LICENSE_FILE}
    with whole_folder(folder, last=ABOUT_FILE) as building:
        for name, content in networks.items():
            (building / name).write_bytes(content)
        (building / LICENSE_FILE).write_bytes(members[release.licence])
        atomic.write_text(building / NOTICE_FILE, _NOTICE.format(requirement=release.requirement, **names))
        atomic.write_json(building / ABOUT_FILE, about)
    return HandModelReport(folder, compared, largest)


def _put(members: dict[Member, bytes], member: Member, folder: Path) -> Path:
    path = folder / Path(member.name).name
    path.write_bytes(members[member])
    return path


def _compared(palm: bytes, hand: bytes, palm_source: Path, hand_source: Path) -> tuple[int, float]:
    """Find synthetic hands with both; return how many were found, and the largest distance of a point in spans.

    Raises:
        ParityError: they differ, or find no hand at all.
    """
    request = OpenRequest(provider="cpu")
    ours = HandFinder(open_session(palm, request).session, open_session(hand, request).session)
    theirs = HandFinder(TfliteNetwork(palm_source, PALM_OUTPUTS), TfliteNetwork(hand_source, HAND_OUTPUTS))
    found, largest = 0, 0.0
    for number in range(_COMPARED):
        image = _synthetic_hand(number)
        one, other = ours.find(image), theirs.find(image)
        if (one is None) != (other is None):
            raise ParityError("The converted hand model finds a hand where its source does not, or the reverse.")
        if one is not None and other is not None:
            distance = np.linalg.norm(one.points - other.points, axis=1).max() / spans(other.points[None])[0]
            found, largest = found + 1, max(largest, float(distance))
    if not found:
        raise ParityError("Neither the converted hand model nor its source finds a hand in any synthetic image.")
    if not largest <= TOLERANCE:
        raise ParityError(
            f"The converted hand model finds points {largest:.1%} of a hand's span away from those of its source; "
            f"{TOLERANCE:.1%} is allowed. Nothing was written."
        )
    return found, largest


def _synthetic_hand(number: int) -> Image:
    from asl_edge.data.synthetic.drawing import draw_hand

    return draw_hand(_SHOWN_WELL[number % len(_SHOWN_WELL)], np.random.default_rng((77, number)), _SIDE)
