"""The page sees the pixels, and looks at the part of the image, that asl-edge does."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asl_edge
from asl_edge.imaging.preprocess import to_square
from asl_edge.runtime.landmark_zoom import LandmarkZoom

PAGE = Path(asl_edge.__file__).parent / "export/targets/browser/page"
NODE = shutil.which("node") or ""
FITS = ("crop", "pad", "stretch")

pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")


def see(told: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("see.mjs")), str(PAGE)],
        input=json.dumps({"squares": [], "zoom": {}, "hands": []} | told),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(640, 480, 384), (384, 384, 128), (640, 480, 128), (200, 200, 128), (256, 256, 128), (90, 70, 128)],
)
def test_squares_are_opencvs(width: int, height: int, size: int) -> None:
    """A few numbers may differ by 1, since OpenCV rounds as the processor's instructions do."""
    rgb = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    coded = base64.b64encode(rgb.tobytes()).decode()
    squares = [{"width": width, "height": height, "rgb": coded, "size": size, "fit": fit} for fit in FITS]

    seen = see({"squares": squares})["pixels"]

    for fit, pixels in zip(FITS, seen, strict=True):
        got = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(size, size, 3)
        difference = np.abs(got.astype(int) - to_square(rgb, size, fit))
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 0.005 * difference.size


def test_crop_boxes_are_pythons() -> None:
    random = np.random.default_rng(3)
    shape = random.normal(0, 0.25, (300, 21, 3)) * random.uniform(0.05, 1, (300, 1, 1))
    points = (shape + random.uniform(0, 1, (300, 1, 3))).astype(np.float32)
    hand = random.uniform(0.3, 1, (300, 2)).astype(np.float32)
    zoom = LandmarkZoom()
    hands = [{"landmarks": p.ravel().tolist(), "hand": h.tolist()} for p, h in zip(points, hand, strict=True)]

    boxes = np.array(see({"zoom": zoom.to_dict(), "hands": hands})["boxes"])

    expected = zoom.crop_boxes({"landmarks": points, "hand": hand}, None)
    assert np.count_nonzero(expected[:, 2] < 1) > 50
    np.testing.assert_allclose(boxes[:, :3], expected, atol=1e-6)
    np.testing.assert_array_equal(np.float32(boxes[:, 3]), zoom.zoom_weights(expected))
