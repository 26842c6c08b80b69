"""Find the 21 landmarks of every image with MediaPipe, in an environment of its own.

    python -m venv mediapipe-env && mediapipe-env/bin/pip install -r pretrained/landmarks/requirements-mediapipe.txt
    mediapipe-env/bin/python pretrained/landmarks/mediapipe_teacher.py DATA --out DATA/landmarks.npz

It imports nothing of asl-edge, since MediaPipe needs older packages. MediaPipe 0.10.21 is the last release whose wheel
holds the models (Apache-2.0); they stay where pip put them and never enter this repository. Each image is padded by a
quarter of its side with its edge, since the palm detector needs room around a hand; a second try on the unpadded image
follows where nothing is found. Images keep the pixels that they are stored with: no EXIF rotation is expected.

The file has one row per image: `files` (path below DATA, with `/`), `xy` float16 (N, 21, 3) in pixels of the stored
image (x, y, and depth in the same unit), `handedness` float16 (the score; negative for what MediaPipe calls left, which
is a right hand in an unmirrored image) and `found` (bool). A run that was interrupted continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PAD = 0.25
SMALLEST = 256
"""Images are enlarged to this side at least, before padding."""
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp"))
_SAVE_EVERY = 2000


def images_below(data: Path) -> Iterator[str]:
    """Yield the paths of all images below a folder, in a fixed order."""
    for path in sorted(data.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            yield path.relative_to(data).as_posix()


def landmarks_of(hands: Any, image: Any) -> tuple[Any, float] | None:
    """Return the points (21, 3) in pixels of an image and the signed score of its side, or None.

    Args:
        hands: `mediapipe.solutions.hands.Hands` in static mode.
        image: uint8 RGB (H, W, 3).
    """
    import cv2

    height, width = image.shape[:2]
    scale = max(1.0, SMALLEST / min(height, width))
    if scale > 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
    for share in (PAD, 0.0):
        across, down = round(image.shape[1] * share), round(image.shape[0] * share)
        padded = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_REPLICATE)
        result = hands.process(padded)
        if not result.multi_hand_landmarks:
            continue
        sides = [one.classification[0] for one in result.multi_handedness]
        best = int(np.argmax([side.score for side in sides]))
        points = np.array([(p.x, p.y, p.z) for p in result.multi_hand_landmarks[best].landmark])
        points *= (padded.shape[1], padded.shape[0], padded.shape[1])
        points[:, :2] -= (across, down)
        score = sides[best].score
        return points / scale, -score if sides[best].label == "Left" else score
    return None


class Rows:
    """The rows of the file while it grows."""

    def __init__(self, out: Path) -> None:
        """Continue with what `out` or an interrupted run left."""
        self._out, self._partial = out, out.with_suffix(".partial.npz")
        self.files: list[str] = []
        self._points: list[Any] = []
        self._sides: list[float] = []
        if self._partial.is_file():
            with np.load(self._partial) as stored:
                self.files = [str(name) for name in stored["files"]]
                self._points, self._sides = list(stored["xy"]), list(stored["handedness"])

    def add(self, name: str, found: tuple[Any, float] | None) -> None:
        """Add what was found in an image."""
        points, side = found or (np.zeros((21, 3)), 0.0)
        self.files.append(name)
        self._points.append(points.astype(np.float16))
        self._sides.append(side)
        if len(self.files) % _SAVE_EVERY == 0:
            self.write(self._partial)

    def write(self, path: Path) -> None:
        """Write all rows, in one step."""
        temporary = path.with_name(f".{path.name}.tmp.npz")
        sides = np.array(self._sides, np.float16)
        np.savez(temporary, files=np.array(self.files), xy=np.stack(self._points), handedness=sides, found=sides != 0)
        temporary.replace(path)

    def finish(self) -> None:
        """Write the file and remove what was kept for an interruption."""
        self.write(self._out)
        self._partial.unlink(missing_ok=True)


def main() -> None:
    """Find landmarks in all images of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        import cv2
        import mediapipe  # type: ignore[import-not-found]
    except ImportError as error:
        sys.exit(f"{error}. Run this in the environment that the head of this file describes.")
    rows = Rows(options.out)
    done = set(rows.files)
    hands = mediapipe.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=1, model_complexity=1, min_detection_confidence=0.2
    )
    with hands:
        for name in images_below(options.data):
            if name in done:
                continue
            image = cv2.imread(str(options.data / name), cv2.IMREAD_COLOR)
            rows.add(name, None if image is None else landmarks_of(hands, image[:, :, ::-1].copy()))
    rows.finish()
    print(f"{options.out}: {len(rows.files)} images")


if __name__ == "__main__":
    main()
