"""Precision, recall and F1 per class, by scikit-learn (extra `report`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asl_edge.errors import MissingPackageError
from asl_edge.evaluation.report import ClassFigures


def per_class_figures(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: Sequence[str]
) -> tuple[ClassFigures, ...]:
    """Return the figures of every class among the labels or the predictions, in the order of the classes.

    Args:
        labels: int64 array of shape (N,), the true column of each image.
        predicted: int64 array of shape (N,), the predicted column.
        classes: names of the columns.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.metrics import precision_recall_fscore_support
    except ImportError as error:
        raise MissingPackageError("Figures per class need scikit-learn: pip install 'asl-edge[report]'") from error
    columns = np.union1d(labels, predicted)
    figures = precision_recall_fscore_support(labels, predicted, labels=columns, zero_division=0.0)
    return tuple(
        ClassFigures(classes[column], float(precision), float(recall), float(f1), int(support))
        for column, precision, recall, f1, support in zip(columns, *figures, strict=True)
    )
