"""The run folder: everything that one training leaves behind, and how it is read."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from asl_edge.errors import RunError
from asl_edge.files.atomic import is_leftover
from asl_edge.files.earlier_names import current_or_earlier, with_current_names
from asl_edge.files.folder_lock import LOCK_FILE
from asl_edge.spec import Fit

if TYPE_CHECKING:
    import keras

CONFIG_FILE = "config.json"
ENVIRONMENT_FILE = "environment.json"
HISTORY_FILE = "history.csv"
RESULTS_FILE = "results.json"
BEST_FILE = "best.keras"
CURVES_FILE = "curves.png"
STATE_FILE = "checkpoints/state.npz"
CHECKPOINTS_FOLDER = "checkpoints"
SAMPLES_FOLDER = "samples"
TENSORBOARD_FOLDER = "tensorboard"
MODEL_JSON_FILE = "model.json"
"""The tutorial's pair: the network without its weights, and its weights without the network."""
MODEL_WEIGHTS_FILE = "model.weights.h5"

AUGMENTATION_FILE = "augmentation.png"
"""What the network sees of some images, where training changes them."""

CALIBRATION_FILE = "calibration.json"
"""Temperature and reject threshold, as `asl-edge calibrate` fitted them; export takes them from here."""
ZOOM_FILE = "zoom.json"
"""How the zoom pass locates the hand, as training fitted it; export takes it from here."""
EARLIER_ZOOM_FILE = "framing.json"
"""What earlier versions called it."""
SPELLING_FILE = "spelling.json"
"""How the probabilities of frames become text, as a person tuned it; export takes it from here."""
MODEL_CARD_FILE = "model-card.md"
"""What a person writes about the model; export puts it into the file."""

_OURS = {
    CONFIG_FILE, ENVIRONMENT_FILE, HISTORY_FILE, RESULTS_FILE, BEST_FILE, CURVES_FILE, CHECKPOINTS_FOLDER,
    SAMPLES_FOLDER, TENSORBOARD_FOLDER, MODEL_JSON_FILE, MODEL_WEIGHTS_FILE, AUGMENTATION_FILE,
    "tracking.json", "wandb", "evaluation", CALIBRATION_FILE, ZOOM_FILE, EARLIER_ZOOM_FILE, MODEL_CARD_FILE,
    SPELLING_FILE,
}  # fmt: skip

SampleSet = Literal["test", "train"]


class RunFolder:
    """The folder of one training; it holds everything that evaluation and export need."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        """Content of `config.json`: network, recipe, classes, every hyper-parameter, where the images came from."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open a run that holds at least one finished epoch.

        Raises:
            RunError: there is no such folder, it is not a run folder, or none of its epochs is finished.
        """
        path = Path(path)
        run = cls(path, read_config(path))
        if not run.best_model_path.is_file():
            raise RunError(
                f"{path} has no finished epoch yet ({BEST_FILE} is missing). "
                "Continue with the same `asl-edge train` command and --resume."
            )
        return run

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the network's outputs."""
        return tuple(self.config["classes"])

    @property
    def input_size(self) -> int:
        """Side of the square input, in pixels."""
        return int(self.config["input_size"])

    @property
    def fit(self) -> Fit:
        """How images were made square: crop, stretch or pad."""
        fit: Fit = self.config["fit"]
        return fit

    @property
    def network(self) -> str:
        """Name of the network in the registry."""
        return str(self.config["network"])

    @property
    def best_model_path(self) -> Path:
        """The epoch with the highest validation accuracy, stored under a float32 policy."""
        return self.path / BEST_FILE

    def load_model(self) -> keras.Model:
        """Load the best epoch: an uncompiled float32 model, uint8 (N, S, S, 3) RGB to probabilities (N, C).

        Raises:
            RunError: the file is damaged.
        """
        import keras

        try:
            return keras.models.load_model(self.best_model_path, compile=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.best_model_path} is damaged ({error}). Train again, or --resume.") from error

    def samples(self, which: SampleSet) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Read the images that the run contains for parity checks and calibration.

        Args:
            which: `test` (up to 512) or `train` (up to 256), an equal share of each class.

        Returns:
            Images, uint8 of shape (N, S, S, 3), RGB; their labels, int64 of shape (N,).

        Raises:
            RunError: the files are missing or damaged.
        """
        images_path, classes_path = sample_paths(self.path, which)
        try:
            images = np.load(images_path, allow_pickle=False)
            one_hot = np.load(classes_path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RunError(f"The {which} samples of {self.path} cannot be read ({error}). Train again.") from error
        if images.ndim != 4 or one_hot.shape != (len(images), len(self.classes)):
            raise RunError(
                f"The {which} samples of {self.path} must be images (N, S, S, 3) and classes (N, "
                f"{len(self.classes)}). Received: {images.shape} and {one_hot.shape}. Train again."
            )
        return images, one_hot.argmax(axis=1).astype(np.int64)

    def history(self) -> list[dict[str, float]]:
        """Read `history.csv`: one dict per epoch with epoch, loss, accuracy, val_loss, val_accuracy, ... as numbers."""
        path = self.path / HISTORY_FILE
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            rows = [with_current_names(row) for row in csv.DictReader(file)]
        return [{name: float(value) for name, value in row.items()} for row in rows]


def read_config(path: Path) -> dict[str, Any]:
    """Read `config.json` of the run folder `path`, whether an epoch is finished or not.

    Raises:
        RunError: there is no such folder, it is not a run folder, or the file is damaged.
    """
    if not path.is_dir():
        raise RunError(f"There is no run folder at {path}. Make one: asl-edge train ARRAYS --out {path}")
    try:
        config = with_current_names(json.loads((path / CONFIG_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise RunError(f"{path} is not a run folder: it has no {CONFIG_FILE}.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path / CONFIG_FILE} cannot be read ({error}).") from error
    missing = {"classes", "input_size", "fit", "network"} - set(config if isinstance(config, dict) else ())
    if missing:
        raise RunError(f"{path / CONFIG_FILE} lacks {', '.join(sorted(missing))}. Train again.")
    return dict(config)


def sample_paths(path: Path, which: SampleSet) -> tuple[Path, Path]:
    """Return the paths of the images and the one-hot classes of a sample set of the run folder `path`."""
    if which not in ("test", "train"):
        raise ValueError(f"which must be 'test' or 'train'. Received: {which!r}")
    folder = path / SAMPLES_FOLDER
    images = current_or_earlier(folder / f"{which}_images.npy", f"{which}_pictures.npy")
    return images, folder / f"{which}_classes.npy"


def foreign_files(path: Path) -> list[str]:
    """Return the names of what is in the folder `path` but not part of a run; models exported into it are."""
    config = path / CONFIG_FILE
    try:
        is_run = not config.exists() or "asl_edge_version" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        is_run = False
    if not is_run:
        return [CONFIG_FILE]
    return sorted(
        item.name
        for item in path.iterdir()
        if item.name not in (*_OURS, LOCK_FILE)
        and not item.name.endswith((".onnx", ".parity.json"))
        and not is_leftover(item)
    )
