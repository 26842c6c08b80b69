from __future__ import annotations

import sys

import numpy as np
import pytest

from asl_edge.errors import MissingPackageError
from asl_edge.evaluation.per_class import per_class_figures


def test_figures_as_counted_by_hand() -> None:
    labels, predicted = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 2, 3, 2, 2])
    a, c, d = per_class_figures(labels, predicted, ("A", "B", "C", "D"))  # B is nowhere
    assert (a.name, a.precision, a.recall, a.support) == ("A", 1.0, 0.5, 4)
    assert a.f1 == pytest.approx(2 / 3)
    assert (c.name, c.precision, c.recall, c.support) == ("C", pytest.approx(2 / 3), 1.0, 2)
    assert (d.name, d.precision, d.recall, d.f1, d.support) == ("D", 0.0, 0.0, 0.0, 0)


def test_without_scikit_learn_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingPackageError, match=r"asl-edge\[report\]"):
        per_class_figures(np.array([0]), np.array([0]), ("A", "B"))
