"""The skin tones that synthetic hands have and that copy-paste augmentation gives to real ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SKIN_TONES: npt.NDArray[np.float64] = np.array(
    [(242, 208, 190), (232, 188, 166), (222, 170, 146), (208, 152, 124), (188, 130, 100), (158, 104, 78),
     (126, 80, 60), (98, 62, 47), (74, 47, 37)], np.float64,
)  # fmt: skip
"""float64 (9, 3): sRGB of backs of hands, 0 to 255, from very light to very dark (after the Monk Skin Tone scale)."""

PALM_TONE: npt.NDArray[np.float64] = np.array((226, 168, 150), np.float64)
"""float64 (3,), sRGB: the tone that palms tend to; they hold little pigment, so they differ less than backs."""

NAIL_TONE: npt.NDArray[np.float64] = np.array((232, 186, 172), np.float64)
"""float64 (3,), sRGB: the tone that nails tend to."""
