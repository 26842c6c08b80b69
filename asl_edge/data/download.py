"""Kaggle's ASL alphabet, downloaded with the kagglehub package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asl_edge.errors import DataError, MissingPackageError

DATASET = "grassknoted/asl-alphabet"
"""87,000 images of 200x200 pixels in 29 classes, 1.1 GB."""

_PAGE = f"https://www.kaggle.com/datasets/{DATASET}"
_BY_HAND = f"Or download the zip yourself from {_PAGE}: `asl-edge data prepare` reads it without unpacking."


def download(to: Path) -> Path:
    """Download Kaggle's ASL alphabet into `to` and return the folder of the images.

    Raises:
        MissingPackageError: kagglehub is not installed.
        DataError: `to` is not an empty folder, there is no network, Kaggle requires credentials, or the disk is full.
    """
    try:
        import kagglehub
    except ImportError as error:
        raise MissingPackageError(
            f"kagglehub is needed to download from Kaggle. Install it: pip install 'asl-edge[download]'. {_BY_HAND}"
        ) from error
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise DataError(f"{to} exists and is not an empty folder. Choose another --to.")
    try:
        return Path(kagglehub.dataset_download(DATASET, output_dir=str(to)))
    except KeyboardInterrupt:
        raise
    except Exception as error:  # kagglehub raises its own, those of requests and OSError
        raise DataError(_explain(error)) from error


def _explain(error: BaseException) -> str:
    """Return one sentence with the remedy for what kagglehub raised."""
    names = {kind.__name__ for cause in _causes(error) for kind in type(cause).__mro__}
    status: Any = getattr(getattr(error, "response", None), "status_code", None)
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if status in (401, 403) or names & {"UnauthenticatedError", "CredentialError"}:
        return (
            "Kaggle requires credentials. Create a token at https://www.kaggle.com/settings and save it as "
            f"~/.kaggle/kaggle.json, or set KAGGLE_USERNAME and KAGGLE_KEY. {_BY_HAND}"
        )
    if names & {"ConnectionError", "Timeout", "NewConnectionError", "gaierror"}:
        return f"Kaggle cannot be reached: there is no network, or a proxy or firewall blocks it. {_BY_HAND}"
    return f"Kaggle's download failed: {first_line} {_BY_HAND}"


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
