"""What image libraries print about damaged files: the reason of an error, with the right file, and nothing else."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.errors import ImageError
from asl_edge.imaging import decoder_messages
from asl_edge.imaging.decoder_messages import Listening, is_harmless
from asl_edge.imaging.preprocess import load
from asl_edge.process import stderr_diversion


@pytest.fixture(params=[stderr_diversion.StreamDiversion, stderr_diversion.DescriptorDiversion])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type:
    """Each way to divert standard error, where this system has it."""
    chosen: type = request.param
    if chosen is stderr_diversion.StreamDiversion and not stderr_diversion._is_gnu():
        pytest.skip("not the GNU C library")
    monkeypatch.setattr(decoder_messages, "_redirection", decoder_messages._Redirection())
    monkeypatch.setattr(decoder_messages, "diversion_to", chosen)
    return chosen


def print_in_c(text: bytes) -> None:
    """Print to standard error as a library written in C does."""
    if not stderr_diversion._is_gnu():
        os.write(2, text)
        return
    library = ctypes.CDLL(None)
    library.fputs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    library.fputs(text, ctypes.c_void_p.in_dll(library, "stderr").value)


def jpeg(seed: int = 0, side: int = 96) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", image)[1])


def without_its_middle(data: bytes) -> bytes:
    start = data.index(b"\xff\xda") + 14
    return data[: start + 400] + data[-90:]


def padded(data: bytes) -> bytes:
    return data[:-2] + bytes(3) + data[-2:]


def test_damage_is_a_reason_and_not_a_line(way: type, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match="damaged: Corrupt JPEG data: premature end of data segment"):
        load(without_its_middle(jpeg()), 32)
    assert load(padded(jpeg()), 32).shape == (32, 32, 3), "webcams pad their frames"
    jfif = jpeg()
    load(jfif[:11] + b"\x09" + jfif[12:], 32)  # unknown JFIF revision: of no interest to anybody
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("harmless", [False, True])
def test_only_the_damaged_of_many_threads_are_refused(
    harmless: bool, way: type, capfd: pytest.CaptureFixture[str]
) -> None:
    data = [jpeg(number) for number in range(60)]
    damaged = {number for number in range(60) if number % 4 == 1}
    for number in damaged:
        data[number] = without_its_middle(data[number])
    if harmless:
        data = [content if number in damaged else padded(content) for number, content in enumerate(data)]

    def refused(number: int) -> bool:
        try:
            load(data[number], 32)
        except ImageError:
            return True
        return False

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(refused, range(60)))

    assert {number for number, result in enumerate(results) if result} == damaged
    assert capfd.readouterr().err == ""


def test_what_others_write_meanwhile_still_arrives(way: type, capfd: pytest.CaptureFixture[str]) -> None:
    with Listening() as outer:
        sys.stderr.write("from Python\n")
        sys.stderr.flush()
        print_in_c(b"Corrupt JPEG data: premature end of data segment\nfrom native code\n")
        with Listening():  # another thread's
            pass
        assert "from native code" in capfd.readouterr().err, "as soon as anything is decoded, not at the end"
        print_in_c(b"and more")
    assert not outer.certain
    assert outer.damage(b"") == "Corrupt JPEG data: premature end of data segment"
    assert capfd.readouterr().err == "and more"
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"


@pytest.mark.skipif(not stderr_diversion._is_gnu(), reason="the descriptor itself is diverted there")
def test_other_threads_and_their_children_keep_their_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with Listening() as heard:
        sys.stderr.write("Python, ")
        sys.stderr.flush()
        subprocess.run(["/bin/sh", "-c", "echo child >&2"], check=True)
        assert capfd.readouterr().err == "Python, child\n", "at once, and where it belongs"
        print_in_c(b"Premature end of JPEG file\n")
    assert heard.damage(b"")
    assert capfd.readouterr().err == ""


def test_without_a_standard_error_nothing_fails(way: type) -> None:
    before = os.dup(2)
    os.close(2)
    try:
        assert load(jpeg(), 32).shape == (32, 32, 3)
        if way is stderr_diversion.StreamDiversion:
            with pytest.raises(ImageError, match="premature end"):
                load(without_its_middle(jpeg()), 32)
        else:
            assert load(without_its_middle(jpeg()), 32).shape == (32, 32, 3), "which nobody can know then"
    finally:
        os.dup2(before, 2)
        os.close(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_meanwhile_can_speak_and_decode(way: type) -> None:
    read, write = os.pipe()
    begun, done = threading.Event(), threading.Event()

    def decode() -> None:
        with Listening():
            begun.set()
            done.wait(10)

    before = os.dup(2)
    os.dup2(write, 2)
    thread = threading.Thread(target=decode)
    thread.start()
    begun.wait(10)
    child = os.fork()
    if child == 0:
        with Listening() as heard:
            print_in_c(b"Premature end of JPEG file\n")
        print_in_c(b"heard\n" if heard.damage(b"") else b"deaf\n")
        os._exit(0)
    os.waitpid(child, 0)
    done.set()
    thread.join()
    os.dup2(before, 2)
    os.close(before)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"heard\n"


def test_harmless() -> None:
    assert is_harmless("Corrupt JPEG data: 3 extraneous bytes before marker 0xd9", b"pixels\0\0\0\xff\xd9")
    assert not is_harmless("Corrupt JPEG data: 4 extraneous bytes before marker 0xd9", b"pixels\0\0\0\xff\xd9")
    assert not is_harmless("Premature end of JPEG file", b"pixels\0\0\0\xff\xd9")


def test_prepare_predict_evaluate_and_adapt_have_one_rule(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from asl_edge.data.prepare.prepare import PrepareConfig, prepare
    from asl_edge.data.prepare.split import SplitPlan
    from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data
    from asl_edge.runtime.adapt import adapt
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.streams.sources import items

    folder = tmp_path / "in"
    for number in range(6):
        for label in "AB":
            (folder / label).mkdir(parents=True, exist_ok=True)
            content = jpeg(ord(label) + 9 * number)
            content = {2: without_its_middle, 3: padded}.get(number, bytes)(content)
            (folder / label / f"{label}{number}.jpg").write_bytes(content)

    skipped: dict[str, list[tuple[str, str]]] = {}
    report = prepare(PrepareConfig((folder,), tmp_path / "out", size=32, split=SplitPlan(fractions=(0.5, 0.25, 0.25))))
    skipped["prepare"] = [(path, reason) for path, reason in report.skipped]
    data = open_labelled_data(folder, Wanted(("A", "B"), 32, "crop"))
    assert sum(len(batch.labels) for batch in data.batches(4)) == 10
    skipped["evaluate"] = data.skipped
    with Predictor() as predictor:
        skipped["predict"] = []
        list(
            predictor.stream(
                items([str(folder)]), on_skip=lambda path, why: skipped["predict"].append((path, str(why)))
            )
        )
        # Reading is what this is about; fitting takes seconds.
        monkeypatch.setattr(
            "asl_edge.runtime.adapt.fit", lambda *_: ((np.zeros((9, 29)), np.zeros(29), 1.0), 0.0, 0.0, 0.0)
        )
        _, adapted = adapt(predictor, [folder], draw=lambda label, count, side: [])
    skipped["adapt"] = list(adapted.skipped)

    assert {Path(path).name for path, _ in skipped["predict"]} == {"A2.jpg", "B2.jpg"}
    assert all(reason.startswith("damaged: ") for _, reason in skipped["predict"])
    assert all(sorted(found) == sorted(skipped["predict"]) for found in skipped.values()), skipped
    assert "JPEG" not in capfd.readouterr().err
