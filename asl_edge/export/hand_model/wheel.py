"""MediaPipe's wheel: which one, where from, and the files that are taken out of it.

Nothing of it is in this repository. The networks are the same bytes in the wheels for every system, so one wheel does
for all, and each file is checked by its own SHA-256 whatever wheel it comes from.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from asl_edge.errors import AslEdgeError, DataError, MissingPackageError
from asl_edge.files.bounded_zip import open_zip, read_member
from asl_edge.files.regular_file import open_regular
from asl_edge.process.printable import on_one_line

_LARGEST_WHEEL = 2**27
_MOST_DIRECTORY_BYTES = 2**22
_SECONDS = 60
_BLOCK = 2**20
_BY_HAND = (
    "Or download the wheel elsewhere (pip download --no-deps mediapipe==0.10.21, or its page on PyPI; the one for any "
    "system does) and name it: --wheel FILE"
)


@dataclass(frozen=True)
class Member:
    """A file in the wheel."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """A release whose wheels hold the networks."""

    requirement: str
    """As pip takes it."""
    sha256: str
    """Of the wheel that pip is asked for."""
    platform: str
    """Of that wheel, as pip's `--platform` takes it; it is only unpacked, so it need not be this machine's."""
    python: str
    """Of that wheel, as pip's `--python-version` takes it."""
    palm: Member
    hand: Member
    licence: Member


MEDIAPIPE = Release(
    requirement="mediapipe==0.10.21",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    platform="manylinux_2_28_x86_64",
    python="3.11",
    palm=Member(
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        2_339_846,
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    hand=Member(
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        5_478_917,
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
    licence=Member(
        "mediapipe-0.10.21.dist-info/LICENSE",
        12_331,
        "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
    ),
)
"""The last release whose wheels hold the networks."""


@contextlib.contextmanager
def opened_wheel(release: Release, given: str | None) -> Iterator[Path]:
    """Yield the path of a wheel: a file that was named, one from an address, or pip's, which is deleted afterwards.

    Args:
        release: which one.
        given: a path or an http(s) address; None asks pip, from the package index that the user has configured.

    Raises:
        DataError: it cannot be fetched, or it is another file than expected.
        MissingPackageError: there is no pip in this environment.
    """
    if given is not None and "://" not in given:
        yield Path(given)
        return
    with TemporaryDirectory(prefix="asl-edge-") as folder:
        yield _by_pip(release, Path(folder)) if given is None else _by_address(given, Path(folder))


def read_members(wheel: Path, release: Release) -> dict[Member, bytes]:
    """Return the content of palm detector, hand landmark network and licence.

    Raises:
        DataError: the file is not such a wheel, or a member of it is not the one expected.
    """
    try:
        with open_regular(wheel) as file, open_zip(file, _MOST_DIRECTORY_BYTES) as archive:
            return {member: _read(archive, member, wheel) for member in (release.palm, release.hand, release.licence)}
    except OSError as error:
        raise DataError(f"{wheel} cannot be read ({error.strerror or error}). Name a wheel: --wheel FILE") from error
    except ValueError as error:
        raise DataError(f"{wheel} is not a wheel, or is damaged: {error}. Needed: {release.requirement}.") from error


def _read(archive: object, member: Member, wheel: Path) -> bytes:
    from zipfile import ZipFile

    assert isinstance(archive, ZipFile)
    try:
        info = archive.getinfo(member.name)
    except KeyError:
        raise DataError(
            f"{wheel} holds no {member.name}. Name a wheel of mediapipe 0.10.21; later ones have no networks in them."
        ) from None
    content = read_member(archive, info) if info.file_size == member.size_bytes else b""
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise DataError(f"{member.name} in {wheel} is not that of mediapipe 0.10.21 (its SHA-256 differs). Not used.")
    return content


def _by_pip(release: Release, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{release.requirement} --hash=sha256:{release.sha256}\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-input"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements)),
        *("--platform", release.platform, "--python-version", release.python, "--implementation", "cp"),
        *("--dest", str(folder)),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    if result.returncode:
        _refuse(result.stderr, release)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DataError(f"pip did not leave one wheel of {release.requirement}. {_BY_HAND}")
    return wheels[0]


def _refuse(printed: str, release: Release) -> None:
    """Raise what pip's refusal means."""
    if "No module named pip" in printed:
        raise MissingPackageError(
            f"pip is not in this environment. Install it (uv pip install pip, python -m ensurepip). {_BY_HAND}"
        )
    if "DO NOT MATCH THE HASHES" in printed or "do not match the hashes" in printed:
        raise DataError(
            f"The package index gave another file for {release.requirement} than expected (its SHA-256 differs). "
            f"It was not used. {_BY_HAND}"
        )
    lines = [line for line in printed.splitlines() if line.startswith("ERROR")] or printed.splitlines() or ["it failed"]
    offline = "NewConnectionError" in printed or "Could not find a version" in printed or "timed out" in printed
    first = on_one_line(lines[0].removeprefix("ERROR: "))[:300]
    reason = "there is no network, or the package index does not have it" if offline else "pip failed"
    kind = AslEdgeError if offline else DataError
    raise kind(f"{release.requirement} cannot be downloaded: {reason} ({first}). {_BY_HAND}")


def _by_address(address: str, folder: Path) -> Path:
    if not address.startswith(("https://", "http://")):
        raise DataError(f"{address} is neither a file nor an address. Name a wheel: --wheel FILE")
    path = folder / "downloaded.whl"
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer, path.open("wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                if file.tell() > _LARGEST_WHEEL:
                    raise DataError(
                        f"{address} sends more than {_LARGEST_WHEEL / 1e6:.0f} MB, which no such wheel has."
                    )
    except (OSError, urllib.error.URLError, ValueError) as error:
        reason = on_one_line(str(getattr(error, "reason", None) or error))
        raise AslEdgeError(f"{address} cannot be downloaded ({reason}). {_BY_HAND}") from error
    return path
