"""Live sources, from real servers on this machine that stop, stall and send rubbish."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from factories.videos import jpeg

from asl_edge.errors import ImageError, ReadFailure, UserError
from asl_edge.runtime.streams.live.frame import Region, rotated
from asl_edge.runtime.streams.live.newest_frame import LiveSource
from asl_edge.runtime.streams.live.readers import LiveOptions, csi_pipeline, has_gstreamer, open_reader

QUICK = LiveOptions(silent_seconds=0.15, opening_seconds=1.0, shortest_wait=0.02, longest_wait=0.05)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
Script = Callable[[socket.socket, int], None]


def part(content: bytes) -> bytes:
    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content + b"\r\n"


@contextlib.contextmanager
def camera(script: Script) -> Iterator[str]:
    """A camera on this machine that treats each connection, which are counted from 0, as the script does."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as connections:
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket, number: int) -> None:
            with contextlib.suppress(OSError), connection:
                connection.recv(4096)
                connection.sendall(HEAD)
                script(connection, number)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = connections.enter_context(server.accept()[0])
                    threads.append(threading.Thread(target=serve, args=(connection, len(threads)), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
        accepting.join(2)
        for thread in threads:
            thread.join(2)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def settled(measure: Callable[[], int], most: int) -> bool:
    end = time.monotonic() + 2
    while measure() > most and time.monotonic() < end:
        time.sleep(0.01)
    return measure() <= most


def stop_within_frame(connection: socket.socket, number: int) -> None:
    connection.sendall(part(jpeg(number)) + part(jpeg(number))[:200])


def hang_within_frame(connection: socket.socket, number: int) -> None:
    stop_within_frame(connection, number)
    connection.recv(1)  # until the other side closes it


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")  # noqa: PTH112
@pytest.mark.parametrize("script", [stop_within_frame, hang_within_frame])
def test_a_source_that_is_lost_comes_back_without_leaks(script: Script) -> None:
    with camera(script) as address, LiveSource(address, QUICK) as source:
        source.next_frame(2)  # what is opened once for the whole process, such as a place for OpenCV's messages
    time.sleep(0.05)
    with camera(script) as address:
        before = threading.active_count(), descriptors()
        with LiveSource(address, QUICK) as source:
            frames = [source.next_frame(2) for _ in range(5)]
            assert source.reconnects >= 4
        assert all(frame is not None and frame.image.shape == (64, 64, 3) for frame in frames)
        # The camera's own side holds a thread and a descriptor per connection until it notices.
    assert settled(threading.active_count, before[0])
    assert settled(descriptors, before[1])


def test_a_slow_consumer_gets_the_newest_frame() -> None:
    sent: list[float] = []

    def fast(connection: socket.socket, _: int) -> None:
        content = part(jpeg())
        for _ in range(60):
            sent.append(time.monotonic())
            connection.sendall(content)
            time.sleep(0.01)

    with camera(fast) as address, LiveSource(address, QUICK) as source:
        delays = []
        for _ in range(5):
            frame = source.next_frame(2)
            assert frame is not None
            delays.append(time.monotonic() - frame.time)
            last = frame.number
            time.sleep(0.08)
        dropped = source.dropped
    assert max(delays) < 0.08
    assert last >= 10
    assert dropped >= last - 5


def test_half_a_jpeg_an_empty_frame_and_another_size_are_survived() -> None:
    step = threading.Event()

    def rough(connection: socket.socket, _: int) -> None:
        connection.sendall(part(jpeg(1)))
        step.wait(2)
        good = jpeg(2)
        connection.sendall(part(good[: len(good) // 2]) + part(b"") + part(jpeg(3, side=96)))
        connection.recv(1)

    with camera(rough) as address, LiveSource(address, LiveOptions(silent_seconds=2)) as source:
        first = source.next_frame(2)
        step.set()
        sizes = set()
        while 96 not in sizes:  # of half a JPEG some decoders make an image
            frame = source.next_frame(2)
            assert frame is not None
            sizes.add(frame.image.shape[0])
        assert source.reconnects == 0
    assert first is not None
    assert first.image.shape[0] == 64


def test_what_never_sends_a_frame_raises_in_time() -> None:
    def silent(connection: socket.socket, _: int) -> None:
        connection.recv(1)

    quick = LiveOptions(opening_seconds=0.2)
    with camera(silent) as address, LiveSource(address, quick) as source, pytest.raises(ReadFailure, match="0.2 s"):
        next(iter(source))
    with LiveSource("http://127.0.0.1:1/", QUICK) as source, pytest.raises(ReadFailure, match="does not answer"):
        next(iter(source))


def test_a_reader_that_hangs_for_ever_is_abandoned() -> None:
    hanging = threading.Event()

    class Hangs:
        """As OpenCV does with a camera that was unplugged: one frame, and `read` does not return."""

        def __init__(self) -> None:
            self.frames = 0

        def read(self) -> np.ndarray | None:
            self.frames += 1
            if self.frames > 1:
                hanging.wait(5)
                return None
            return np.zeros((8, 8, 3), np.uint8)

        def interrupt(self) -> None:
            """Nothing helps."""

        def close(self) -> None:
            """Nothing to free."""

    with LiveSource("camera", QUICK, lambda *_: Hangs()) as source:
        assert all(source.next_frame(2) is not None for _ in range(3))
        assert source.reconnects == 2
        hanging.set()


def test_regions_and_rotation() -> None:
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[0, 0] = 255
    assert Region.parse("10, 5,20,30").of(frame).shape == (30, 20, 3)
    assert Region.parse("auto").of(frame) is frame
    assert Region.parse("centre").of(frame).shape == (40, 40, 3)
    turned = rotated(frame, 90)
    assert turned.shape == (60, 40, 3)
    assert turned[0, 39].all(), "clockwise: the top left corner is at the top right"
    with pytest.raises(UserError, match="outside the frame of 60x40"):
        Region.parse("90,0,5,5").of(frame)
    for wrong in ("", "1,2,3", "1,2,0,4", "left", "1,2,3,-4"):
        with pytest.raises(UserError, match="--roi"):
            Region.parse(wrong)


def test_pipelines() -> None:
    pipeline = csi_pipeline(1, LiveOptions(size=(640, 480), frames_per_second=30))
    assert "sensor-id=1 " in pipeline
    assert "width=640,height=480,framerate=30/1" in pipeline
    assert pipeline.endswith("appsink drop=true max-buffers=1 sync=false")
    with pytest.raises(UserError, match="csi://"):
        open_reader("csi://front", QUICK)
    if not has_gstreamer():
        with pytest.raises(UserError, match="without GStreamer"):
            open_reader("csi://0", QUICK)
    else:
        with pytest.raises(ImageError):
            open_reader("gst:no-such-element ! appsink", QUICK)


def test_while_a_stream_is_silent_it_counts_as_lost_and_keys_can_act() -> None:
    goes_on = threading.Event()

    def script(connection: socket.socket, number: int) -> None:
        if number:
            goes_on.wait(5)
        connection.sendall(part(jpeg(number)))
        goes_on.wait(5)

    with camera(script) as address, LiveSource(address, QUICK) as source:
        ticks = source.ticks(0.02)
        assert next(ticks) is not None
        assert not source.lost
        end = time.monotonic() + 5
        while not source.lost and time.monotonic() < end:
            assert next(ticks) is None
        assert source.lost
        goes_on.set()
        assert any(frame is not None for frame in itertools.islice(ticks, 200))
        assert not source.lost

    assert list(source.ticks(0.02)) == []
