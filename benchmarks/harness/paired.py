"""The accuracies of two readers of the same images, one beside the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def paired_difference(right: npt.NDArray[np.bool_], theirs: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return how much more often one is right than the other, with 95% interval.

    Normal approximation of the difference of paired proportions (Agresti, "Categorical Data Analysis", 2013, 11.1).

    Args:
        right: (N,), where the one is right.
        theirs: (N,), where the other is.
    """
    gained, lost, count = int((right & ~theirs).sum()), int((theirs & ~right).sum()), len(right)
    difference = (gained - lost) / count
    half = 1.96 * math.sqrt(max(gained + lost - (gained - lost) ** 2 / count, 0)) / count
    interval = [difference - half, difference + half]
    return {"difference": difference, "difference_interval": interval, "gained": gained, "lost": lost}
