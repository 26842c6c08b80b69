from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.videos import jpeg, mp4
from read_only import read_only

from asl_edge.cli import main
from asl_edge.labels import CLASSES
from asl_edge.runtime.streams.live.readers import has_gstreamer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def predict(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["predict", *map(str, words)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return predict


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, label in enumerate("ABCA"):
        image = np.zeros((30, 40, 3), np.uint8)
        image[..., 2 - "ABC".index(label)] = 230
        cv2.imwrite(str(folder / f"{label}_{number}.png"), image)
    return folder


def test_the_table(run: Run, colour_model: Path, images: Path) -> None:
    code, out, err = run(images, "--model", colour_model)

    assert code == 0
    heading, *lines = out.splitlines()
    assert heading.split() == ["letter", "confidence", "next", "ms", "image"]
    assert [line.split()[0] for line in lines] == ["A", "A", "B", "C"]
    assert "4 classified" in err
    assert "on cpu" in err


def test_json_and_csv(run: Run, colour_model: Path, images: Path) -> None:
    code, out, err = run(images / "B_1.png", "--model", colour_model, "--json", "--top-k", "2")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["label"], answer["accepted"], len(answer["top"])) == ("B", True, 2)
    assert answer["source"] == str(images / "B_1.png")

    code, out, err = run(images, "--model", colour_model, "--csv")
    assert (code, err) == (0, "")
    assert [row["label"] for row in csv.DictReader(io.StringIO(out))] == ["A", "A", "B", "C"]


def test_bad_images_are_named_and_the_rest_goes_on(run: Run, colour_model: Path, images: Path) -> None:
    (images / "A_9.png").write_bytes(b"broken")

    code, out, err = run(images, images / "gone.jpg", "--model", colour_model, "--json")

    assert code == 1
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["A", "A", "B", "C"]
    assert f"Skipped {images / 'A_9.png'}: not an image" in err
    assert f"Skipped {images / 'gone.jpg'}: no such file" in err


def test_nothing_readable(run: Run, colour_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    code, out, err = run(tmp_path / "empty", tmp_path / "*.bmp", "--model", colour_model)

    assert (code, out) == (2, "")
    assert "no image in this folder" in err
    assert "no file matches this pattern" in err


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux only")
def test_a_failure_to_read_is_not_the_users_mistake(run: Run, colour_model: Path, images: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/a.jpg"
    for name in ("disk.jpg", "disk.mp4"):
        (images / name).symlink_to("/proc/self/mem")  # a regular file whose first page is an I/O error to read

    for source in (images / "disk.jpg", images / "disk.mp4", closed):
        code, out, err = run(source, "--model", colour_model)
        assert (code, out) == (1, ""), source
        assert "Input/output error" in err or "Connection refused" in err
    assert run(images / "disk.jpg", images / "gone.jpg", "--model", colour_model)[0] == 1, "a failure is among them"
    for mistake in (images / "gone.jpg", images / "gone.mp4", f"{images}/\0.jpg", "x" * 300):
        assert run(mistake, "--model", colour_model)[:2] == (2, ""), mistake


def test_not_sure(run: Run, colour_model: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((9, 9, 3), 99, np.uint8))

    code, out, err = run(tmp_path / "grey.png", tmp_path / "grey.png", "--model", colour_model, "--threshold", "0.5")
    assert code == 0
    assert out.splitlines()[1].startswith("not sure")
    assert "2 classified, 2 not sure" in err
    _, out, _ = run(tmp_path / "grey.png", "--model", colour_model, "--threshold", "0.5", "--json")
    assert json.loads(out)["accepted"] is False


def test_a_list_on_standard_input(run: Run, colour_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{images / 'C_2.png'}\n{images / 'A_0.png'}\n"))

    code, out, _ = run("-", "--model", colour_model, "--json")
    assert code == 0
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["C", "A"]


def test_a_video(run: Run, colour_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "hands.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(20):
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[..., 2 if number < 10 else 0] = 255
        writer.write(frame)
    writer.release()

    code, out, _ = run(path, "--model", colour_model, "--json", "--save", tmp_path / "out.avi")

    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [answer["frame"] for answer in answers] == list(range(20))
    assert "".join(answer["label"] for answer in answers) == "A" * 10 + "C" * 10
    assert (tmp_path / "out.avi").stat().st_size > 1000


def test_predictions_are_saved_beside_what_is_printed(
    run: Run, colour_model: Path, video: Path, tmp_path: Path
) -> None:
    lines, rows = tmp_path / "out.jsonl", tmp_path / "out.csv"
    code, out, _ = run(video, "--model", colour_model, "--json", lines, "--save", rows)

    assert code == 0
    assert out.startswith("letter"), "the table is printed as without files"
    assert len(lines.read_text().splitlines()) == len(rows.read_text().splitlines()) - 1 == len(out.splitlines()) - 1
    assert json.loads(lines.read_text().splitlines()[0])["frame"] == 0


def test_json_before_an_image_prints_and_never_replaces_it(run: Run, colour_model: Path, tmp_path: Path) -> None:
    image = tmp_path / "hand.png"
    cv2.imwrite(str(image), np.full((32, 32, 3), 90, np.uint8))
    before = image.read_bytes()
    code, out, _ = run("--json", image, "--model", colour_model)
    assert (code, json.loads(out)["source"]) == (0, str(image))
    assert image.read_bytes() == before


@pytest.mark.parametrize("source", ["csi://0", "gst:videotestsrc ! appsink", "csi://front"])
def test_cameras_without_a_number(run: Run, colour_model: Path, source: str) -> None:
    if has_gstreamer():
        pytest.skip("this OpenCV has GStreamer")
    code, out, err = run(source, "--model", colour_model)
    assert (code, out) == (2, "")
    assert "GStreamer" in err or "csi:// takes the number" in err


def test_a_saved_video_plays_as_fast_as_its_source(run: Run, colour_model: Path, video: Path, tmp_path: Path) -> None:
    code, _, _ = run(video, "--model", colour_model, "--save", tmp_path / "out.mp4")

    assert code == 0
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_a_video_is_not_saved_over_itself(run: Run, colour_model: Path, video: Path) -> None:
    before = video.read_bytes()

    code, out, err = run(video, "--model", colour_model, "--save", video)

    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {video} is the same file as the source")
    assert video.read_bytes() == before


@pytest.mark.parametrize(
    ("place", "message"), [("afile/x.mp4", "afile is not a folder"), ("ro/x.mp4", "permission denied")]
)
def test_a_video_where_none_can_be_written(
    run: Run, colour_model: Path, video: Path, tmp_path: Path, place: str, message: str
) -> None:
    (tmp_path / "afile").touch()
    with read_only(tmp_path / "ro"):
        code, out, err = run(video, "--model", colour_model, "--save", tmp_path / place)

    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", [[], ["--json"], ["--csv"]])
def test_an_empty_list_is_a_mistake(
    run: Run, colour_model: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    code, out, err = run("-", "--model", colour_model, *option)

    assert code == 2
    assert out == ("source,frame,label,confidence,accepted,top,ms,crop_box\n" if "--csv" in option else "")
    assert err == "Skipped -: no path on standard input\n"


def test_a_pipe_in_a_folder_is_not_waited_for(run: Run, colour_model: Path, images: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes in folders")
    os.mkfifo(images / "pipe.jpg")

    code, out, err = run(images, "--model", colour_model, "--json")

    assert code == 1
    assert len(out.splitlines()) == 4
    assert f"Skipped {images / 'pipe.jpg'}: neither a file nor a folder" in err


def test_a_name_with_a_line_end_is_one_line(run: Run, colour_model: Path, images: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows allows no such names")
    (images / "A_0.png").rename(images / "A\n0.png")
    (images / "A\n9.png").write_bytes(b"broken")

    _, out, err = run(images, "--model", colour_model)

    assert len(out.splitlines()) == 1 + 4
    assert r"A\n0.png" in out
    assert r"A\n9.png: not an image" in err


def test_libraries_say_nothing_of_damaged_files(colour_model: Path, images: Path, tmp_path: Path) -> None:
    """In a process of its own: what the libraries may say is settled when OpenCV is loaded."""
    whole = cv2.imencode(".tiff", np.zeros((40, 40, 3), np.uint8))[1].tobytes()
    (tmp_path / "tag.tiff").write_bytes(whole[:-40] + b"\xff" * 40)
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x10\0mdat" + bytes(900))
    words = [tmp_path / "tag.tiff", tmp_path / "cut.mp4", images / "A_0.png", "--model", colour_model, "--json"]

    with _command(*map(str, words)) as process:
        out, err = process.communicate(timeout=60)
    assert len(out.splitlines()) in (1, 2)
    lines = err.decode().splitlines()
    assert any(
        line.startswith(f"Skipped {tmp_path / 'cut.mp4'}: cut short: its index (moov) is missing") for line in lines
    )
    assert [line for line in lines if not line.startswith("Skipped ")] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "--csv"], "--json and --csv exclude each other"),
        (["--provider", "tpu"], "Unknown provider 'tpu'"),
        (["--provider", "xnnpack"], "has no xnnpack; it has"),
        (["--show"], "--show and saving a video are for videos"),
        (["--save", "x.mp4"], "--show and saving a video are for videos"),
    ],
)
def test_options_that_cannot_be(run: Run, colour_model: Path, words: list[str], message: str) -> None:
    code, out, err = run("a.jpg", "--model", colour_model, *words)

    assert (code, out) == (2, "")
    assert message in err


def test_a_model_that_is_none(run: Run, tmp_path: Path) -> None:
    code, _, err = run("a.jpg", "--model", tmp_path / "nope.onnx")

    assert code == 2
    assert err.startswith("Error: There is no model file")
    assert "asl-edge export" in err


def test_the_zoom_pass_can_be_left_out(run: Run, tmp_path: Path) -> None:
    from asl_edge.data.synthetic import synthesize

    synthesize(tmp_path / "drawn", per_class=2, classes=("L", "Y"), size=160, workers=1, clip_frames=1)
    far = tmp_path / "far"
    far.mkdir()
    for path in (tmp_path / "drawn").rglob("*.jpg"):
        canvas = np.full((400, 400, 3), 140, np.uint8)
        canvas[120:280, 120:280] = cv2.resize(cv2.imread(str(path)), (160, 160))
        cv2.imwrite(str(far / f"{path.stem}.png"), canvas)

    def answers(*words: str) -> dict[str, float]:
        code, out, _ = run(far, "--json", "--threshold", 0, *words)
        assert code == 0
        return {line["source"]: line["confidence"] for line in map(json.loads, out.splitlines())}

    assert len(answers()) == 4
    assert answers() != answers("--no-zoom")
    assert answers("--zoom") == answers()
    assert answers("--no-second-look") == answers("--no-zoom")


def test_without_a_model_the_pretrained_one_predicts(run: Run, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    code, out, err = run(tmp_path / "a.png", "--json", "--threshold", "0")

    assert (code, err) == (0, "")
    assert json.loads(out)["label"] in CLASSES


def test_only_the_device_tier_is_imported(colour_model: Path, images: Path) -> None:
    code = (
        "import sys; from asl_edge.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = 'tensorflow keras onnx tf2onnx sklearn matplotlib pandas rich PIL'.split()\n"
        "print('loaded', [name for name in heavy if name in sys.modules])"
    )
    words = ["predict", str(images / "A_0.png"), "--model", str(colour_model)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "loaded []"


posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes are other there")


@posix
def test_answers_stream_while_the_list_is_written(colour_model: Path, images: Path) -> None:
    with _command("-", "--model", str(colour_model), "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("A_0.png", "C_2.png"):
            process.stdin.write(f"{images / name}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == name[0]
        process.stdin.close()
        assert process.wait(20) == 0


@posix
def test_a_reader_that_goes_away_is_no_failure(colour_model: Path, images: Path) -> None:
    with _command(*[str(images)] * 500, "--model", str(colour_model)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


@posix
def test_ctrl_c_is_tidy(colour_model: Path, images: Path) -> None:
    with _command("-", "--model", str(colour_model)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{images / 'A_0.png'}\n".encode())
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert b"Traceback" not in process.stderr.read()


@posix
def test_names_that_are_no_text(colour_model: Path, images: Path) -> None:
    name = os.fsencode(images) + b"/\xff\xe9.png"
    with open(name, "wb") as file:  # noqa: PTH123
        file.write((images / "B_1.png").read_bytes())

    with _command("-", "--model", str(colour_model), "--json") as process:
        out, err = process.communicate(name + b"\n", timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out)["label"] == "B"


def _command(*words: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", "asl_edge", "predict", *words], stdin=pipe, stdout=pipe, stderr=pipe)


def test_what_a_folder_holds_besides_is_counted(run: Run, colour_model: Path, images: Path) -> None:
    (images / "clip.mp4").write_bytes(mp4([jpeg()]))
    (images / "notes.txt").write_text("notes")
    (images / "D_5").write_bytes((images / "A_0.png").read_bytes())
    (images / "@eaDir").mkdir()
    (images / "@eaDir" / "A_0.png").write_bytes((images / "A_0.png").read_bytes())
    (images / "E_6.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))

    code, out, err = run(images, "--model", colour_model, "--csv")

    assert (code, len(out.splitlines())) == (1, 1 + 5)
    assert err.splitlines() == [
        f"Skipped {images / 'E_6.heic'}: HEIC, which OpenCV does not read; save it as JPEG",
        "Left out: 1 video (name it to classify its frames), 1 file that is not an image, 1 folder of thumbnails or "
        "deleted files.",
    ]


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_video_that_was_cut_is_a_failure_that_counts_frames(
    run: Run, colour_model: Path, tmp_path: Path, option: str
) -> None:
    content = mp4([jpeg(number) for number in range(20)])
    (tmp_path / "clip.mp4").write_bytes(content[: len(content) // 2])

    code, out, err = run(tmp_path / "clip.mp4", "--model", colour_model, option)

    classified = len(out.splitlines()) - (option == "--csv")
    assert code == 1
    assert 0 < classified < 20
    assert err == (
        f"Skipped {tmp_path / 'clip.mp4'}: damaged or cut short: {20 - classified} of its 20 frames are missing\n"
    )


def test_an_image_on_standard_input(
    run: Run, colour_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((images / "B_1.png").read_bytes())))
    code, out, err = run("-", "--model", colour_model, "--json")
    assert (code, err) == (0, "")
    assert (json.loads(out)["source"], json.loads(out)["label"]) == ("-", "B")

    names = b"\0".join(os.fsencode(images / name) for name in ("C_2.png", "A_0.png", "no.png")) + b"\0"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    code, out, err = run("-", "--model", colour_model, "--json")
    assert code == 1
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["C", "A"]
    assert err == f"Skipped {images / 'no.png'}: no such file\n"
