"""A folder of synthetic images with one folder per class, like a person's own photographs."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from asl_edge.data.prepare.parallel import MAX_WORKERS, worker_count
from asl_edge.data.synthetic.drawing import checked_label, checked_size, draw_frame
from asl_edge.data.synthetic.scene import USUAL, Framing, Variety, random_scene
from asl_edge.errors import AslEdgeError, DataError
from asl_edge.files.atomic_folder import content, whole_folder
from asl_edge.imaging.preprocess import opencv
from asl_edge.labels import CLASSES, MOTION_LETTERS
from asl_edge.process.signals import children_without_interrupts, sigterm_as_interrupt

CLIP_FRAMES = 10
"""Consecutive frames that show one person in one place, as in a video: a random split leaks them, blocks do not."""

_IN_PROCESS_IMAGES = 300
"""Fewer images than this are drawn before worker processes would have started."""

_MAX_PROCESSES = 61 if os.name == "nt" else MAX_WORKERS
"""Python cannot wait for more than 61 processes on Windows."""


@dataclass(frozen=True)
class SynthesisReport:
    """What `synthesize` wrote."""

    folder: Path
    classes: tuple[str, ...]
    per_class: int
    images: int
    size: int
    """Side of each image, in pixels."""
    seed: int
    size_bytes: int
    seconds: float
    images_per_second: float
    workers: int
    motion_letters: tuple[str, ...]
    """Classes among these that are signed as a movement, shown in their hold shape."""


class _Clip(NamedTuple):
    folder: str
    label: str
    number: int
    first: int
    """Number of its first image, from 1."""
    frames: int
    seed: int
    size: int
    framing: Framing
    variety: Variety


# Ten parameters: all but `per_class` are independent and have defaults, so nobody passes them together.
def synthesize(  # noqa: PLR0913
    out: str | os.PathLike[str],
    *,
    per_class: int,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    size: int = 224,
    clip_frames: int = CLIP_FRAMES,
    framing: Framing = "any",
    variety: Variety = USUAL,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> SynthesisReport:
    """Write synthetic images of hands to `out/A/A1.jpg`, `out/A/A2.jpg` and so on, all of them or none.

    Consecutive images of a class are frames of one clip: the same person, pose habit, place and camera.

    Args:
        out: folder to make; it must be empty or not exist.
        per_class: images per class.
        classes: names in any case; default all 29.
        seed: same seed, same bytes, whatever the number of workers.
        size: side of the images in pixels, 32 to 1024.
        clip_frames: images per clip; with 1 every image shows another person in another place.
        framing: `any` draws hands near and far, `guide` hands that fill the image, as inside the guide box of video.
        variety: how much people and places differ.
        workers: processes that draw; default one per core, or only this one when there is little to draw. More than
            one needs the usual `if __name__ == "__main__":` in the calling script.
        on_progress: called with the number of images just finished.

    Returns:
        What was written, and how fast.

    Raises:
        DataError: an unknown or repeated class, a number out of range, or `out` exists and is not an empty folder.
        AslEdgeError: a worker process died.
        MissingPackageError: OpenCV is not installed.
    """
    opencv()
    final = Path(out)
    names = _checked_classes(classes)
    checked_size(size)
    if framing not in get_args(Framing):
        raise DataError(f"The framing must be one of {', '.join(get_args(Framing))}. Received: {framing!r}")
    _refuse_out_of_range(per_class, clip_frames, seed, workers)
    _refuse_existing(final)

    started = time.perf_counter()
    total = per_class * len(names)
    if workers is None:
        workers = 1 if total < _IN_PROCESS_IMAGES else min(worker_count(None), _MAX_PROCESSES)
    with sigterm_as_interrupt(), _folder_in_one_piece(final) as folder:
        for name in names:
            (folder / name).mkdir()
        clips = [
            _Clip(str(folder), name, first // clip_frames, first + 1, frames, seed, size, framing, variety)
            for name in names
            for first, frames in _runs(per_class, clip_frames)
        ]
        size_bytes = sum(_draw_all(clips, min(workers, len(clips)), on_progress))
    seconds = time.perf_counter() - started
    return SynthesisReport(
        folder=final,
        classes=names,
        per_class=per_class,
        images=total,
        size=size,
        seed=seed,
        size_bytes=size_bytes,
        seconds=seconds,
        images_per_second=total / seconds,
        workers=min(workers, len(clips)),
        motion_letters=tuple(name for name in names if name in MOTION_LETTERS),
    )


def _checked_classes(classes: Sequence[str] | None) -> tuple[str, ...]:
    names = CLASSES if classes is None else tuple(checked_label(name) for name in classes)
    if not names or len(set(names)) != len(names):
        raise DataError(f"Name at least one class, and each class once. Received: {', '.join(names) or 'none'}")
    return names


def _refuse_out_of_range(per_class: int, clip_frames: int, seed: int, workers: int | None) -> None:
    if per_class < 1:
        raise DataError(f"At least one image per class must be rendered. Received: {per_class}")
    if clip_frames < 1:
        raise DataError(f"A clip must have at least one frame. Received: {clip_frames}")
    if seed < 0:
        raise DataError(f"The seed must be 0 or more. Received: {seed}")
    if workers is not None and workers < 1:
        raise DataError(f"At least one worker is needed. Received: {workers}")
    if workers is not None and workers > _MAX_PROCESSES:
        raise DataError(f"There can be at most {_MAX_PROCESSES} workers. Received: {workers}")


def _refuse_existing(out: Path) -> None:
    if out.resolve() == Path.cwd():
        raise DataError("The images need a folder of their own. Name a new one with --out, such as --out hands.")
    if out.is_dir():
        if content(out):
            raise DataError(f"The folder {out} exists and is not empty. Choose another --out, or delete it first.")
    elif out.exists():
        raise DataError(f"{out} exists and is not a folder. Choose another --out.")


@contextlib.contextmanager
def _folder_in_one_piece(final: Path) -> Iterator[Path]:
    try:
        # They can be drawn again in minutes, so many small files are not worth the time to sync each of them.
        with whole_folder(final, synced=False) as folder:
            yield folder
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{final} cannot be written ({reason}). Choose another --out, or make room.") from error


def _runs(per_class: int, clip_frames: int) -> list[tuple[int, int]]:
    """Return the first image (from 0) and the number of images of each clip of a class."""
    return [(first, min(clip_frames, per_class - first)) for first in range(0, per_class, clip_frames)]


def _draw_all(clips: list[_Clip], workers: int, on_progress: Callable[[int], None] | None) -> Iterator[int]:
    """Draw the clips and yield the size in bytes of each."""
    if workers == 1:
        for clip in clips:
            written = _draw_clip(clip)
            if on_progress is not None:
                on_progress(clip.frames)
            yield written
        return
    # Processes, not threads: the many small NumPy steps of an image hold the interpreter's lock. Spawned, as on
    # Windows and macOS, since a fork is not safe next to the threads of OpenCV.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_worker)
    try:
        waiting: dict[Future[int], _Clip] = {}
        queue = iter(clips)
        while True:
            with children_without_interrupts():
                for clip in itertools.islice(queue, workers * 4 - len(waiting)):
                    waiting[pool.submit(_draw_clip, clip)] = clip
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                clip = waiting.pop(future)
                written = future.result()
                if on_progress is not None:
                    on_progress(clip.frames)
                yield written
    except BrokenProcessPool as error:
        raise AslEdgeError(
            "A worker process ended before its work was done. In your own script, call synthesize() under "
            '`if __name__ == "__main__":` or pass workers=1. If it is, memory may have run out.'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows; see children_without_interrupts
    opencv().setNumThreads(1)


def _draw_clip(clip: _Clip) -> int:
    """Draw and write the images of one clip; return their bytes. The images depend on the clip only."""
    cv2 = opencv()
    rng = np.random.default_rng([clip.seed, CLASSES.index(clip.label), clip.number])
    scene = random_scene(clip.label, rng, clip.size, clip.framing, clip.variety)
    written = 0
    for number in range(clip.first, clip.first + clip.frames):
        image = draw_frame(scene, rng, clip.size).image
        quality = int(rng.integers(80, 96))
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        # The whole folder appears at once, so its files need no temporary names.
        Path(clip.folder, clip.label, f"{clip.label}{number}.jpg").write_bytes(data)
        written += len(data)
    return written
