"""Measure the live loop: 640x480 frames at 30 per second over HTTP, through the model, to a drawn preview.

    python -m benchmarks.reliability.live_loop [near] [far] [cuts] [busy] [--folder results]

`near` and `busy` take ten minutes each, the others two. The camera is a process of its own on this machine, which draws
the time of capture into each frame, as 48 black and white blocks in the last rows. Delay is from that time to the drawn
preview, so encoding, sending and decoding count. Both processes share the cores; the CPU share is the loop's. Writes
reliability/live-loop.{json,md}; scenarios that are not named keep their results.
"""

from __future__ import annotations

import multiprocessing
import resource
import socket
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asl_edge.data.synthetic.drawing import draw_hand
from asl_edge.runtime.live_loop import spell_frames
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.spelling.event import Event
from asl_edge.runtime.spelling.speller import Speller
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.streams import overlay
from asl_edge.runtime.streams.live.newest_frame import LiveSource
from asl_edge.runtime.streams.live.step import Step
from asl_edge.spec import MOST_CLASSES
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import RESULTS, argument_parser, markdown_table, page, read_result, write_result

NAME = "reliability/live-loop"
WIDTH, HEIGHT, RATE = 640, 480, 30
BITS, BLOCK = 48, 8
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


@dataclass(frozen=True)
class Scenario:
    """What is measured."""

    about: str
    minutes: float
    hand: int = 440
    """Side of the square in which the synthetic hand is drawn, in pixels of the frame."""
    busy: float = 0.0
    """Seconds for which the consumer is busy with each frame."""
    cuts: int = 0
    """So often the stream is cut for two seconds, every five."""


SCENARIOS = {
    "near": Scenario("a hand that fills the frame's height: one pass", 10),
    "far": Scenario("a small hand: two passes", 2, hand=170),
    "cuts": Scenario("the stream is cut 20 times", 1.72, cuts=20),
    "busy": Scenario("the consumer takes 100 ms for each frame", 10, busy=0.1),
}


def scene_of(side: int) -> np.ndarray:
    """Return a frame with a synthetic hand, drawn in a square of this side: uint8 (HEIGHT, WIDTH, 3), BGR."""
    hand = draw_hand("B", np.random.default_rng(3), side)[..., ::-1]
    scene = np.random.default_rng(0).integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    scene = cv2.GaussianBlur(scene, (31, 31), 0)
    top, left = (HEIGHT - BLOCK - side) // 2, (WIDTH - side) // 2
    scene[top : top + side, left : left + side] = hand
    return np.asarray(scene)


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


def camera(server: socket.socket, hand: int, cutting: Any, sent: Any) -> None:
    """Send frames to each connection at the camera's pace; while `cutting` is set, close what is open."""
    scene = scene_of(hand)

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(4096)
                connection.sendall(_HEAD)
                due = time.monotonic()
                while not cutting.is_set():
                    due += 1 / RATE
                    time.sleep(max(0.0, due - time.monotonic()))
                    aside = round(15 * np.sin(sent.value / 20))  # a hand is never quite still
                    frame = stamped(np.roll(scene, aside, axis=1), now())
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
        self.passes = 0

    def write(self, step: Step) -> None:
        """Draw it."""
        canvas = overlay.draw(step.image, step.prediction)
        overlay.spelled(canvas, step.text)
        moment = time.monotonic()
        self.passes += 1 + (step.prediction.crop_box is not None)
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


def measure(scenario: Scenario) -> dict[str, Any]:
    """Run the loop and return what was measured; times in milliseconds unless their names say otherwise."""
    context = multiprocessing.get_context("spawn")  # a fork has no threads of OpenCV, but waits for them
    cutting, sent = context.Event(), context.Value("q", 0, lock=False)
    server = socket.create_server(("127.0.0.1", 0))
    process = context.Process(target=camera, args=(server, scenario.hand, cutting, sent), daemon=True)
    process.start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()
    preview = Preview(scenario.busy)
    cuts: list[tuple[float, float]] = []
    with Predictor(None, batch_size=1, top_k=MOST_CLASSES, wait_actively=False) as predictor:
        speller = Speller(SpellingSpec.of_model(predictor.spec), predictor.spec.classes)
        # What is opened once for the whole process, such as OpenCV's threads, is no leak.
        warm_up = iter(range(RATE))
        with LiveSource(address) as source:
            spell_frames(source, predictor, speller, [Preview(0)], keys=lambda: next(warm_up, None) is None)
        speller.clear()
        time.sleep(1)
        before, first = _threads_and_descriptors(), sent.value
        with LiveSource(address) as source:
            if scenario.cuts:
                threading.Thread(target=cut, args=(cutting, scenario.cuts, cuts), daemon=True).start()
            start, cpu = time.monotonic(), time.process_time()
            end = start + scenario.minutes * 60
            spell_frames(source.ticks(), predictor, speller, [preview], keys=lambda: time.monotonic() >= end)
            wall, cpu = time.monotonic() - start, time.process_time() - cpu
            last = sent.value
        time.sleep(1)
        after = _threads_and_descriptors()
    process.terminate()
    delays = np.array(preview.delays[RATE:] or preview.delays)
    shown = np.array(preview.shown_at)
    return {
        "about": scenario.about,
        "seconds": wall,
        "passes": preview.passes / max(len(shown), 1),
        "sent": last - first,
        "shown": len(shown),
        "dropped": source.dropped,
        "reconnects": source.reconnects,
        "delay": {name: float(np.percentile(delays, share)) for name, share in _SHARES.items()},
        "delay_by_tenth_p50": [float(np.median(part)) for part in np.array_split(delays, 10) if len(part)],
        "cpu_share_of_one_core": cpu / wall,
        "rss_megabytes": preview.megabytes,
        "cuts": len(cuts),
        "back_after_seconds": [float(shown[shown > back].min(initial=np.inf) - back) for _, back in cuts],
        "threads_and_descriptors": {"before": before, "after": after},
        "machine": describe_machine(),
    }


_SHARES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}


def _threads_and_descriptors() -> list[int]:
    return [len(list(Path(f"/proc/self/{name}").iterdir())) for name in ("task", "fd")]


def main() -> None:
    """Measure the scenarios, and write them."""
    parser = argument_parser(__doc__)
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--minutes", type=float, help="instead of a scenario's own, to try the script")
    parser.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args()
    names = options.scenario or list(SCENARIOS)
    if set(names) - set(SCENARIOS):
        parser.error(f"the scenarios are {', '.join(SCENARIOS)}")
    known = (options.folder / f"{NAME}.json").is_file()
    values = read_result(NAME, folder=options.folder) if known else {}
    for name in names:
        scenario = SCENARIOS[name]
        values[name] = measure(replace(scenario, minutes=options.minutes or scenario.minutes))
        print(name, values[name]["delay"], flush=True)
    write_result(NAME, values, markdown(values), folder=options.folder)


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows, notes = [], []
    for name in (name for name in SCENARIOS if name in values):
        one = values[name]
        memory, tenths = one["rss_megabytes"], one["delay_by_tenth_p50"]
        grown = f"{np.median(memory[-10:]) - np.median(memory[5:15]):+.1f}" if len(memory) > 30 else ""
        rows.append(
            [
                f"{name}: {one['about']}",
                f"{one['seconds'] / 60:.1f}",
                f"{one['passes']:.2f}",
                f"{one['sent']:,}",
                f"{one['dropped']:,}",
                *(f"{one['delay'][share]:.1f}" for share in ("p50", "p95", "p99")),
                f"{tenths[0]:.1f} / {tenths[-1]:.1f}",
                f"{one['cpu_share_of_one_core']:.0%}",
                grown,
            ]
        )
        before, after = one["threads_and_descriptors"]["before"], one["threads_and_descriptors"]["after"]
        note = f"- {name}: {before[0]} threads and {before[1]} file descriptors before, {after[0]} and {after[1]} after"
        if one["cuts"]:
            worst, middle = max(one["back_after_seconds"]), float(np.median(one["back_after_seconds"]))
            note += (
                f"; cut {one['cuts']} times, opened again {one['reconnects']} times; the first frame is shown "
                f"{middle:.2f} s (median; {worst:.2f} s at most) after the stream returns"
            )
        notes.append(f"{note}. {machine_line(one['machine'])}")
    return page(
        "# The live loop: from a camera to a drawn preview",
        "",
        "640x480 JPEGs at 30 frames per second over HTTP from another process of the same machine, the pretrained "
        "model, a preview with hand, letter and text. Delay in ms from the capture of a frame to its drawn preview, "
        "with the encoding and sending of the camera's side. CPU: share of one core, of the loop's process alone. "
        "Memory: growth of the resident memory in MB, from the tenth second to the end.",
        "",
        *markdown_table(
            [
                "scenario",
                "minutes",
                "passes a frame",
                "sent",
                "dropped",
                "p50",
                "p95",
                "p99",
                "p50, first / last tenth",
                "CPU",
                "memory",
            ],
            rows,
        ),
        "",
        *notes,
    )


if __name__ == "__main__":
    main()
