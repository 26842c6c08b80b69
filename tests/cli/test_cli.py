"""The command line as a whole: what holds for every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

import asl_edge
from asl_edge import cli
from asl_edge.__main__ import command
from asl_edge.cli import COMMANDS, main
from asl_edge.errors import AslEdgeError, UserError

HEAVY = (
    "tensorflow",
    "keras",
    "jax",
    "torch",
    "onnx",
    "onnxruntime",
    "tf2onnx",
    "cv2",
    "numpy",
    "sklearn",
    "matplotlib",
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_main(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `main` and return exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(done.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def failing_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the command `doctor` raise what the fixture is called with."""

    def install(error: BaseException) -> None:
        import asl_edge.cli.doctor

        def doctor() -> None:
            raise error

        monkeypatch.setattr(asl_edge.cli.doctor, "doctor", doctor)

    return install


def test_version(run_main: Run) -> None:
    assert run_main("--version") == (0, f"asl-edge {asl_edge.__version__}\n", "")


def test_nothing_shows_the_help(run_main: Run) -> None:
    _, out, err = run_main()
    assert "Usage: asl-edge" in out + err
    assert "predict" in out + err


@pytest.mark.parametrize("words", [["evalute"], ["data", "prepar"], ["--colour"], ["doctor", "--colour"]])
def test_what_is_unknown_is_a_mistake(run_main: Run, words: list[str]) -> None:
    code, out, err = run_main(*words)
    assert code == 2
    assert not out
    assert f"No such {'option' if words[-1].startswith('--') else 'command'}" in err
    assert words[-1] in err


def test_help_imports_nothing_heavy() -> None:
    """Every --help in one process, since starting one for each would take long; what is imported stays imported."""
    code = f"""
import contextlib, io, sys
from asl_edge.cli import COMMANDS, GROUPS, main
for path in ["", *GROUPS, *COMMANDS]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([*path.split(), "--help"])
    assert "Usage" in out.getvalue(), path
    heavy = sorted(set({HEAVY!r}) & set(sys.modules))
    assert not heavy, f"asl-edge {{path}} --help imports {{heavy}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "asl_edge", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"asl-edge {asl_edge.__version__}\n", "")


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (UserError("Name [one] of these: A."), 2, "Error: Name [one] of these: A.\n"),
            (AslEdgeError("It did not agree."), 1, "Error: It did not agree.\n"),
        ],
    )
    def test_sentence_and_exit_code(
        self,
        run_main: Run,
        failing_command: Callable[[BaseException], None],
        error: BaseException,
        code: int,
        said: str,
    ) -> None:
        failing_command(error)
        assert run_main("doctor") == (code, "", said)

    def test_ctrl_c_is_130_without_a_traceback(
        self, run_main: Run, failing_command: Callable[[BaseException], None]
    ) -> None:
        failing_command(KeyboardInterrupt())
        code, out, err = run_main("doctor")
        assert (code, out) == (130, "")
        assert err == "Stopped. No file was left half-written; run the command again.\n"

    @pytest.mark.parametrize(
        ("command", "error", "said"),
        [
            ("train", KeyboardInterrupt(), "Stopped. No file was left half-written; run the command again.\n"),
            ("train", typer.Exit(130), ""),  # within the epochs: `train` has said what the run keeps
            ("predict", KeyboardInterrupt(), ""),  # every line that stands is an answer
        ],
    )
    def test_ctrl_c_where_a_command_may_say_it_itself(
        self, run_main: Run, monkeypatch: pytest.MonkeyPatch, command: str, error: BaseException, said: str
    ) -> None:
        def stopped() -> None:
            raise error

        monkeypatch.setattr(import_module(f"asl_edge.cli.{command}"), command, stopped)
        assert run_main(command) == (130, "", said)

    def test_ctrl_c_while_the_command_is_imported(self, run_main: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def stopped(name: str) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, "import_module", stopped)
        code, out, err = run_main("doctor")
        assert (code, out) == (130, "")
        assert err.startswith("Stopped.")

    def test_ctrl_c_while_the_command_line_is_imported(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Finder:
            @staticmethod
            def find_spec(name: str, *_: object) -> None:
                if name == "asl_edge.cli":
                    raise KeyboardInterrupt

        monkeypatch.delitem(sys.modules, "asl_edge.cli")
        monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
        with pytest.raises(SystemExit) as ended:
            command()
        assert ended.value.code == 130
        assert capsys.readouterr() == ("", "")

    def test_unexpected_exception_is_one_sentence_and_the_way_to_the_traceback(
        self, run_main: Run, failing_command: Callable[[BaseException], None]
    ) -> None:
        failing_command(ZeroDivisionError("division by zero"))
        code, out, err = run_main("doctor")
        assert (code, out) == (1, "")
        assert err.startswith("Error: ZeroDivisionError: division by zero\n")
        assert "This is a bug in asl-edge" in err
        assert "--debug" in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                MemoryError("Unable to allocate 9 TiB"),
                "Memory ran out (Unable to allocate 9 TiB). Close other programs",
            ),
            (PermissionError(13, "Permission denied", "x/y"), "Permission denied: x/y. The system refused it."),
            (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer. The system refused it."),
            (
                ImportError("libGL.so.1: cannot open shared object file: No such file or directory"),
                "Install what it needs: sudo apt install libgl1 libglib2.0-0, or use opencv-python-headless instead.",
            ),
            (ImportError("cannot import name 'a' from 'b'"), "Install asl-edge again, in an environment of its own."),
        ],
    )
    def test_what_the_machine_causes_is_not_called_a_bug(
        self, run_main: Run, failing_command: Callable[[BaseException], None], error: Exception, message: str
    ) -> None:
        failing_command(error)
        code, _, err = run_main("doctor")
        assert code == 1
        assert message in err
        assert "This is a bug" not in err
        assert "--debug" in err

    @pytest.mark.parametrize("error", [ValueError("x" * 9999), UserError("x " * 9999), AslEdgeError("x\n" * 99)])
    def test_no_message_is_longer_than_a_screen(
        self, run_main: Run, failing_command: Callable[[BaseException], None], error: Exception
    ) -> None:
        failing_command(error)
        _, _, err = run_main("doctor")
        assert len(err) < 1800
        assert err.count("\n") < 24
        assert "--debug" in err

    @pytest.mark.parametrize("words", [["--debug", "doctor"], ["doctor", "--debug"]])
    @pytest.mark.parametrize("error", [ZeroDivisionError("x"), UserError("x"), AslEdgeError("x")])
    def test_debug_before_or_after_the_command_lets_the_exception_through(
        self, failing_command: Callable[[BaseException], None], words: list[str], error: Exception
    ) -> None:
        failing_command(error)
        with pytest.raises(type(error)) as raised:
            main(words)
        assert raised.value is error

    def test_debug_changes_nothing_where_nothing_fails(self, run_main: Run) -> None:
        code, out, _ = run_main("doctor", "--help", "--debug")
        assert code == 0
        assert "Usage: asl-edge doctor" in out


def test_reader_that_went_away_is_no_failure() -> None:
    """As in `asl-edge ... | head -1`: the pipe is closed before the command has written all it has."""
    code = """
import sys
import asl_edge.cli.doctor
from asl_edge.cli import main
def doctor() -> None:
    for _ in range(100_000):
        print("a line that nobody reads")
asl_edge.cli.doctor.doctor = doctor
main(["doctor"])
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "a line that nobody reads\n"
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert said == ""


posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and /dev/full are other there")


def run_with_output(output: int, *words: object) -> tuple[int, str]:
    """Run `asl-edge` with its standard output sent to a descriptor; return exit code and standard error."""
    command = [sys.executable, "-m", "asl_edge", *map(str, words)]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


_IN_FORKS = """
import json, os, sys, tempfile
import cv2, matplotlib.figure, onnxruntime
import asl_edge.cli.benchmark, asl_edge.cli.evaluate, asl_edge.cli.predict
from asl_edge.cli import main
output, ended = int(sys.argv[1]), []
for words in json.loads(sys.argv[2]):
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(output, 1)
            os.dup2(said.fileno(), 2)
            sys.argv[1:] = words
            main(words)  # and ends as any process does
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ended.append([code, os.pread(said.fileno(), 1 << 24, 0).decode()])
print(json.dumps(ended))
"""
"""Runs each of several command lines in a process that has imported what they need, which takes longest."""


def run_several_with_output(output: int, *commands: Sequence[object]) -> list[tuple[int, str]]:
    """As `run_with_output`, of several command lines."""
    lines = [[str(word) for word in words] for words in commands]
    command = [sys.executable, "-c", _IN_FORKS, str(output), json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=[output])
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in json.loads(done.stdout)]


@posix
class TestOutputThatCannotBeWritten:
    """Nobody reads any more (`| true`), or the disk is full (`> /dev/full`)."""

    @pytest.fixture
    def closed_pipe(self) -> Iterator[int]:
        read, write = os.pipe()
        os.close(read)
        yield write
        os.close(write)

    @pytest.fixture
    def full_disk(self) -> Iterator[int]:
        full = os.open("/dev/full", os.O_WRONLY)
        yield full
        os.close(full)

    @pytest.fixture
    def images(self, tmp_path: Path, write_images: Callable[..., Path]) -> Path:
        return write_images(tmp_path / "images")

    @pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"], ["--help"], ["doctor", "--help"]])
    def test_a_reader_that_is_gone(self, closed_pipe: int, words: list[str]) -> None:
        assert run_with_output(closed_pipe, *words) == (0, "")

    def test_the_report_of_an_evaluation_and_the_plot_of_a_benchmark_are_written_all_the_same(
        self, closed_pipe: int, colour_model: Path, images: Path, tmp_path: Path
    ) -> None:
        quick = ("--rounds", 1, "--runs", 2, "--warmup", 0)
        commands: dict[Path, tuple[object, ...]] = {}
        for option in ((), ("--json",)):
            report = tmp_path / f"report{''.join(option)}"
            commands[report / "confusion.png"] = ("evaluate", colour_model, images, *option, "--out", report)
        for option in ((), ("--json",), ("--csv",), ("--markdown",)):
            plot = tmp_path / f"plot{''.join(option)}.png"
            commands[plot] = ("benchmark", colour_model, *option, *quick, "--plot", plot)
        ended = run_several_with_output(closed_pipe, *commands.values())
        for (written, words), (code, err) in zip(commands.items(), ended, strict=True):
            assert code == 0, words
            assert "Error" not in err, words
            assert written.is_file(), words

    def test_arrays_are_prepared_all_the_same(self, closed_pipe: int, images: Path, tmp_path: Path) -> None:
        code, err = run_with_output(closed_pipe, "data", "prepare", images, "--out", tmp_path / "a", "--size", 32)
        assert code == 0
        assert "Error" not in err
        assert (tmp_path / "a" / "manifest.json").is_file()

    @pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"], ["--help"], ["--version"]])
    def test_a_full_disk_is_one_sentence(self, full_disk: int, words: list[str]) -> None:
        code, err = run_with_output(full_disk, *words)
        assert code == 1
        assert err == (
            "Error: No space left on device: the output is incomplete. Free some space, or write to another disk.\n"
        )

    def test_a_full_disk_while_predicting_and_evaluating(
        self, full_disk: int, colour_model: Path, images: Path
    ) -> None:
        commands = [
            (*words, *option)
            for words in (("predict", images, "--model", colour_model), ("evaluate", colour_model, images))
            for option in ((), ("--json",))
        ]
        for words, (code, err) in zip(commands, run_several_with_output(full_disk, *commands), strict=True):
            assert code == 1, words
            assert "Error: No space left on device" in err
            assert "This is a bug" not in err
            assert "Exception ignored" not in err


def test_only_the_command_that_is_run_is_imported() -> None:
    code = (
        "import sys; from asl_edge.cli import main\n"
        "try: main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(' '.join(name for name in sys.modules if name.startswith('asl_edge.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert set(done.stderr.split()) == {
        "asl_edge._version",
        "asl_edge.cli",
        "asl_edge.cli.options",
        "asl_edge.cli.predict",
        "asl_edge.errors",
    }


def test_every_command_file_is_a_command() -> None:
    modules = {module for module, _ in COMMANDS.values()}
    assert len(modules) == len(COMMANDS)
    application: Any = cli.build_app()
    assert len(application.registered_commands) == sum(" " not in path for path in COMMANDS)


def test_predict_ends_at_once_and_loses_nothing(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    for number in range(40):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 40, 3), number, np.uint8))
    (tmp_path / "bad.png").write_bytes(b"no image")
    words = [sys.executable, "-m", "asl_edge", "predict", str(tmp_path), "--csv"]

    with (tmp_path / "out.csv").open("wb") as out:
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1, "one of them could not be read"
    assert b"bad.png" in done.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + 40
    if Path("/dev/full").exists():
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 1
        assert b"No space left on device" in done.stderr
        assert b"Traceback" not in done.stderr
