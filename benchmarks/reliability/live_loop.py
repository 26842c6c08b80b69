"""Measure the live loop: 640x480 frames at 30 per second over HTTP, through a model, to a drawn preview.

    python -m benchmarks.reliability.live_loop --minutes 10 --out live.json
    python -m benchmarks.reliability.live_loop --minutes 10 --busy-ms 100 --out slow.json
    python -m benchmarks.reliability.live_loop --cuts 20 --out cuts.json

The loop as it is, with a consumer that is busy for 100 ms with each frame, and with a stream that is cut 20 times. The
camera is a process of its own on this machine, which draws the time of capture into each frame, as 48 black and white
blocks in the last rows. Delay is from that time to the drawn preview, so encoding, sending and decoding count. Both
processes share the cores; the CPU share is the loop's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import socket
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asl_edge.runtime.live_loop import spell_frames
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.spelling.event import Event
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.streams import overlay
from asl_edge.runtime.streams.live.newest_frame import LiveSource
from asl_edge.runtime.streams.live.step import Step
from asl_edge.spec import MOST_CLASSES

WIDTH, HEIGHT, RATE = 640, 480, 30
BITS, BLOCK = 48, 8
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def stamped(image: np.ndarray, microseconds: int) -> np.ndarray:
    """Return a frame with a time in blocks of its last rows."""
    bits = np.array([(microseconds >> bit) & 1 for bit in range(BITS)], np.uint8) * 255
    image[-BLOCK:, : BITS * BLOCK] = np.repeat(bits, BLOCK)[None, :, None]
    return image


def stamp_of(image: np.ndarray) -> int:
    """Return the time in a frame."""
    row = image[-BLOCK // 2, BLOCK // 2 : BITS * BLOCK : BLOCK, 1] > 127
    return sum(1 << bit for bit, value in enumerate(row) if value)


def now() -> int:
    """Return microseconds of the clock that all processes of a machine share."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def camera(server: socket.socket, cutting: Any, sent: Any) -> None:
    """Send frames to each connection at the camera's pace; while `cutting` is set, close what is open."""
    scene = np.random.default_rng(0).integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.ellipse(scene, (320, 240), (70, 110), 20, 0, 360, (120, 150, 200), cv2.FILLED)
    scene = cv2.GaussianBlur(scene, (5, 5), 0)

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(4096)
                connection.sendall(_HEAD)
                due = time.monotonic()
                while not cutting.is_set():
                    due += 1 / RATE
                    time.sleep(max(0.0, due - time.monotonic()))
                    frame = stamped(np.roll(scene, sent.value % 60, axis=1), now())
                    content = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                    connection.sendall(head.encode() + content + b"\r\n")
                    sent.value += 1
            except OSError:
                return

    cv2.setNumThreads(1)
    while True:
        connection, _ = server.accept()
        if cutting.is_set():
            connection.close()
        else:
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


class Preview:
    """Draws each frame as the window does, and keeps the delay since its capture."""

    def __init__(self, busy: float) -> None:
        self._busy = busy
        self._sampled = 0.0
        self.delays: list[float] = []
        self.shown_at: list[float] = []
        self.megabytes: list[float] = []

    def write(self, step: Step) -> None:
        """Draw it."""
        canvas = overlay.draw(step.image, step.prediction)
        overlay.spelled(canvas, step.text)
        moment = time.monotonic()
        self.delays.append((now() - stamp_of(step.image)) / 1000)
        self.shown_at.append(moment)
        if moment - self._sampled >= 1:
            self._sampled = moment
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.megabytes.append(pages * resource.getpagesize() / 1e6)
        if self._busy:
            time.sleep(self._busy)

    def finish(self, text: str, events: tuple[Event, ...]) -> None:
        """Do nothing."""


def cut(cutting: Any, times: int, cuts: list[tuple[float, float]]) -> None:
    """Cut the stream for two seconds, again and again; keep when it was cut and when it returned."""
    for _ in range(times):
        time.sleep(3)
        cutting.set()
        gone = time.monotonic()
        time.sleep(2)
        cutting.clear()
        cuts.append((gone, time.monotonic()))
    time.sleep(3)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the loop and return what was measured; times in milliseconds unless their names say otherwise."""
    context = multiprocessing.get_context("fork")
    cutting, sent = context.Event(), context.Value("q", 0, lock=False)
    server = socket.create_server(("127.0.0.1", 0))
    process = context.Process(target=camera, args=(server, cutting, sent), daemon=True)
    process.start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()
    preview = Preview(options.busy_ms / 1000)
    cuts: list[tuple[float, float]] = []
    seconds = options.cuts * 5 + 3 if options.cuts else options.minutes * 60
    with Predictor(options.model, batch_size=1, threads=options.threads, top_k=MOST_CLASSES) as predictor:
        speller = Speller(SpellingSpec.of_model(predictor.spec), predictor.spec.classes)
        # What is opened once for the whole process, such as OpenCV's threads, is no leak.
        warm_up = iter(range(RATE))
        with LiveSource(address) as source:
            spell_frames(source, predictor, speller, [Preview(0)], keys=lambda: next(warm_up, None) is None)
        speller.clear()
        time.sleep(1)
        before = _threads_and_descriptors()
        first = sent.value
        with LiveSource(address) as source:
            if options.cuts:
                threading.Thread(target=cut, args=(cutting, options.cuts, cuts), daemon=True).start()
            start, cpu = time.monotonic(), time.process_time()
            spell_frames(source, predictor, speller, [preview], keys=lambda: time.monotonic() - start >= seconds)
            wall, cpu = time.monotonic() - start, time.process_time() - cpu
            last = sent.value
        time.sleep(1)
        after = _threads_and_descriptors()
    process.terminate()
    delays = np.array(preview.delays[RATE:] or preview.delays)
    shown = np.array(preview.shown_at)
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "seconds": wall,
        "busy_ms": options.busy_ms,
        "sent": last - first,
        "shown": len(shown),
        "dropped": source.dropped,
        "reconnects": source.reconnects,
        "delay": {name: float(np.percentile(delays, share)) for name, share in _SHARES.items()},
        "delay_by_tenth_p50": [float(np.median(part)) for part in np.array_split(delays, 10) if len(part)],
        "cpu_share_of_one_core": cpu / wall,
        "rss_megabytes": preview.megabytes,
        "back_after_seconds": [float(shown[shown > back].min(initial=np.inf) - back) for _, back in cuts],
        "threads_and_descriptors": {"before": before, "after": after},
        "delays": [round(float(delay), 2) for delay in delays],
    }


_SHARES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}


def _threads_and_descriptors() -> list[int]:
    return [len(list(Path(f"/proc/self/{name}").iterdir())) for name in ("task", "fd")]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())


def main() -> None:
    """Measure and write the raw data; print the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--busy-ms", type=float, default=0, help="how long the consumer is busy with each frame")
    parser.add_argument("--cuts", type=int, default=0, help="cut the stream so often, instead of --minutes")
    parser.add_argument("--model", default=None)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    result = measure(options)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "delays"}, indent=1))


if __name__ == "__main__":
    main()
