"""Arrays, image files and videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture
def colour_arrays(tmp_path: Path) -> Path:
    """Prepared arrays without a manifest: 48 + 15 + 15 noisy images of 32x32, A red, B green, C blue."""
    folder = tmp_path / "arrays"
    write_colour_arrays(folder)
    return folder


@pytest.fixture(scope="session")
def shared_colour_arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arrays of `colour_arrays`, for tests that only read them."""
    folder = tmp_path_factory.mktemp("colour") / "arrays"
    write_colour_arrays(folder)
    return folder


def write_colour_arrays(folder: Path, seed: int = 0) -> None:
    """Write the arrays of `colour_arrays`."""
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(seed)
    for split, count in (("train", 48), ("validation", 15), ("test", 15)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 160, (count, 32, 32, 3), dtype=np.uint8)
        images[np.arange(count), :, :, labels] += 90
        np.save(folder / f"{split}_set.npy", images)
        np.save(folder / f"{split}_classes.npy", np.eye(3, dtype=np.float32)[labels])


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Half a second of red."""
    import cv2
    import numpy as np

    path = tmp_path / "hands.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(5):
        writer.write(np.full((64, 96, 3), (0, 0, 255), np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="session")
def film_hand() -> Callable[..., Path]:
    """Gives `film(path, label, frames=40, seed=0)`: a video of 96x64 pixels, a drawn hand in its centre square."""
    import cv2
    import numpy as np

    from asl_edge.data.synthetic.drawing import draw_frame
    from asl_edge.data.synthetic.scene import random_scene

    def film(path: Path, label: str, frames: int = 40, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        scene = random_scene(label, rng, 64)
        codec = cv2.VideoWriter_fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        writer = cv2.VideoWriter(str(path), codec, 10, (96, 64))
        for _ in range(frames):
            frame = np.zeros((64, 96, 3), np.uint8)
            frame[:, 16:80] = draw_frame(scene, rng, 64).image[..., ::-1]
            writer.write(frame)
        writer.release()
        return path

    return film


@pytest.fixture(scope="session")
def write_images() -> Callable[..., Path]:
    """Gives `write(folder, classes="ABC", per_class=12, name="{label}/{label}{number}.png", seed=0)`.

    It writes noisy images of 40x30 pixels, all different, with a colour for each class, and returns `folder`.
    """
    import numpy as np

    from asl_edge.imaging.preprocess import opencv

    cv2 = opencv()

    def write(
        folder: Path,
        classes: Sequence[str] = "ABC",
        per_class: int = 12,
        name: str = "{label}/{label}{number}.png",
        seed: int = 0,
    ) -> Path:
        rng = np.random.default_rng(seed)
        for label in classes:
            tint = np.frombuffer(label.encode().ljust(3, b"x")[:3], np.uint8) // 3
            for number in range(1, per_class + 1):
                coarse = rng.integers(0, 170, (6, 8, 3), dtype=np.uint8) + tint
                path = folder / name.format(label=label, number=number)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cv2.imencode(path.suffix, cv2.resize(coarse, (40, 30)))[1].tobytes())
        return folder

    return write
