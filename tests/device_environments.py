"""Virtual environments with `asl-edge[cpu]` and nothing else: the oldest declared packages and the newest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_SEVERAL = """
import json, os, sys, tempfile
from asl_edge.cli import main
ended, printed = [], os.dup(1)
for words in json.loads(sys.argv[1]):
    files = [tempfile.TemporaryFile() for _ in range(2)]
    for descriptor, file in zip((1, 2), files):
        os.dup2(file.fileno(), descriptor)
    try:
        main(words)
        code = 0
    except SystemExit as error:
        code = error.code or 0
    sys.stdout.flush(), sys.stderr.flush()
    ended.append([code, *(os.pread(file.fileno(), 1 << 24, 0).decode() for file in files)])
os.dup2(printed, 1)
print(json.dumps(ended))
"""
"""Runs several command lines in one process and prints, as JSON, the exit code and the output of each."""

ROOT = Path(__file__).resolve().parent.parent
OLDEST = ROOT / "requirements" / "device-oldest.txt"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with `asl-edge[cpu]` and nothing else."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def run(self, *words: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment far from the repository, so that only what is installed is found."""
        program = self.bin / str(words[0])
        done = subprocess.run(
            [str(program), *map(str, words[1:])],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            check=False,
        )
        assert done.returncode == expect, f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run_asl_edge(self, *commands: Sequence[object]) -> list[subprocess.CompletedProcess[str]]:
        """Run commands of `asl-edge` in one process, which spares importing everything for each of them."""
        lines = [[str(word) for word in words] for words in commands]
        ended = json.loads(self.run("python", "-c", _SEVERAL, json.dumps(lines)).stdout)
        return [
            subprocess.CompletedProcess(words, code, out, err)
            for words, (code, out, err) in zip(lines, ended, strict=True)
        ]


@contextmanager
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Environment | str]]]:
    """Make the oldest and the newest environment side by side; a text where one cannot be made says why."""
    wheels = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(wheels), str(ROOT)], check=True)
    (wheel,) = wheels.iterdir()
    with ThreadPoolExecutor() as pool:
        folders = {name: tmp_path_factory.mktemp(f"device-{name}") / "venv" for name in ("oldest", "newest")}
        yield {name: pool.submit(make, name, folder, wheel) for name, folder in folders.items()}


def make(name: str, folder: Path, wheel: Path) -> Environment | str:
    python = find_python("3.10") if name == "oldest" else find_python("3.13", "3.12", "3.11")
    if python is None:
        return f"there is no Python for the {name} environment here"
    environment = Environment(folder)
    # Its pip is this environment's, which spares the slowest part of making one.
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    pip += ["--python", str(environment.bin / "python")]
    constraints = ["--constraint", str(OLDEST)] if name == "oldest" else []
    command = [*pip, "install", "--prefer-binary", "--no-compile", *constraints, f"{wheel}[cpu]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return environment
    reach = [*pip, "download", "--no-deps", "--dest", str(folder), "rich==13.0.0"]
    if subprocess.run(reach, capture_output=True, check=False).returncode:
        return "the package index cannot be reached"
    raise AssertionError(f"asl-edge[cpu] does not install: {done.stderr}")


def find_python(*versions: str) -> str | None:
    """Return a Python of the first of `versions` that really runs; pyenv's shims stand there also when none does."""
    for version in versions:
        candidates = [["py", f"-{version}"]] if os.name == "nt" else [[f"python{version}"]]
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        candidates += [[str(path)] for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)]
        candidates.append([sys.executable])
        for candidate in candidates:
            code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys._base_executable, sep='\\n')"
            try:
                done = subprocess.run([*candidate, "-c", code], capture_output=True, text=True, check=False)
            except OSError:
                continue
            if done.returncode == 0 and done.stdout.splitlines()[0] == version:
                return done.stdout.splitlines()[1]
    return None
