"""The command line as a whole: what holds for every command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import asl_edge
from asl_edge import cli
from asl_edge.cli import COMMANDS, GROUPS, main
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


@pytest.mark.parametrize("path", [*COMMANDS, *GROUPS])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(run_main: Run, path: str, option: str) -> None:
    code, out, err = run_main(*path.split(), option)
    assert (code, err) == (0, "")
    assert f"Usage: asl-edge {path}" in out
    summary = out.splitlines()[3].strip()
    assert summary.endswith((".", ":", ",")) or len(summary) > 40


def test_help_lists_every_command_with_a_sentence(run_main: Run) -> None:
    _, out, _ = run_main("--help")
    _, data, _ = run_main("data", "--help")
    for path in COMMANDS:
        listing = data if path.startswith("data ") else out
        (line,) = [line for line in listing.splitlines() if line.strip(" │").startswith(f"{path.split()[-1]} ")]
        assert len(line.strip(" │").split()) > 3


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

    def test_unexpected_exception_is_one_sentence_and_the_way_to_the_traceback(
        self, run_main: Run, failing_command: Callable[[BaseException], None]
    ) -> None:
        failing_command(ZeroDivisionError("division by zero"))
        code, out, err = run_main("doctor")
        assert (code, out) == (1, "")
        assert err.startswith("Error: ZeroDivisionError: division by zero\n")
        assert "--debug" in err
        assert "Traceback" not in err

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
    assert process.wait(timeout=60) in (0, 1)
    assert "Traceback" not in said
    assert "Error" not in said


def test_only_the_command_that_is_run_is_imported() -> None:
    code = (
        "import sys; from asl_edge.cli import main\n"
        "try: main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(' '.join(name for name in sys.modules if name.startswith('asl_edge.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert set(done.stderr.split()) == {"asl_edge.cli", "asl_edge.cli.predict", "asl_edge.errors"}


def test_every_command_file_is_a_command() -> None:
    modules = {module for module, _ in COMMANDS.values()}
    assert len(modules) == len(COMMANDS)
    application: Any = cli.build_app()
    assert len(application.registered_commands) == sum(" " not in path for path in COMMANDS)
