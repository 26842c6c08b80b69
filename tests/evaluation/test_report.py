from __future__ import annotations

import numpy as np

from asl_edge.evaluation.report import most_confused


def test_confused_pairs_come_by_count_then_by_class() -> None:
    confusion = np.array([[8, 2, 0], [5, 5, 0], [0, 2, 2]])
    pairs = most_confused(confusion, ("A", "B", "C"))
    assert [(pair.label, pair.predicted, pair.count, pair.share) for pair in pairs] == [
        ("B", "A", 5, 0.5),
        ("A", "B", 2, 0.2),
        ("C", "B", 2, 0.5),
    ]


def test_no_mistake_is_no_pair() -> None:
    assert most_confused(np.diag([3, 0, 1]), ("A", "B", "C")) == ()
