#!/usr/bin/env python3
"""Set up asl-edge in `.venv` beside this file, then run the demo, the tests or any asl-edge command.

usage:
    python3 bootstrap.py demo [OPTIONS of asl-edge demo]
    python3 bootstrap.py test                      all tests, in parallel processes
    python3 bootstrap.py test --quick              tests of every package
    python3 bootstrap.py test --coverage           all tests, and the share of code that they run
    python3 bootstrap.py test [OPTIONS of pytest]  in one process
    python3 bootstrap.py run COMMAND...            any asl-edge command
    python3 bootstrap.py docs                      build the documentation site into site/
    python3 bootstrap.py setup                     set up only

Needs Python 3.11 or newer and nothing else. Packages come pinned and hash-checked from requirements/.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Environment:
    """A virtual environment beside this file, made from a lock."""

    folder: Path
    lock: Path
    installs_asl_edge: bool = True

    @property
    def bin(self) -> Path:
        """Where its commands are."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / ("python.exe" if os.name == "nt" else "python")

    @property
    def mark(self) -> Path:
        """The file that says what it was made of."""
        return self.folder / f".asl-edge-{self.lock.stem}"

    def fingerprint(self) -> str:
        """What it is made of now: it is set up again when any of that changes."""
        parts = [self.lock.read_bytes(), sys.version.encode()]
        if self.installs_asl_edge:
            parts.append((ROOT / "pyproject.toml").read_bytes())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def is_ready(self) -> bool:
        """Whether it is set up from its lock as it is now."""
        return self.python.exists() and self.mark.exists() and self.mark.read_text() == self.fingerprint()

    def set_up(self) -> None:
        """Make it, or bring it to its lock."""
        print(
            f"Setting up {self.folder} from {self.lock.relative_to(ROOT)} (once; some minutes of download).", flush=True
        )
        if not self.python.exists():
            venv.create(self.folder, with_pip=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        environment = plain_environment()
        subprocess.run([*pip, "--require-hashes", "--requirement", str(self.lock)], env=environment, check=True)
        if self.installs_asl_edge:
            editable = [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
            subprocess.run(editable, env=environment, check=True)
        for mark in self.folder.glob(".asl-edge-*"):
            mark.unlink()
        self.mark.write_text(self.fingerprint())


WORKSHOP = Environment(ROOT / ".venv", ROOT / "requirements" / "workshop.txt")
DEVELOP = Environment(ROOT / ".venv", ROOT / "requirements" / "develop.txt")
"""The same environment with all that WORKSHOP has, and what tests and lint need."""
DOCS = Environment(ROOT / ".venv-docs", ROOT / "requirements" / "docs.txt", installs_asl_edge=False)


def plain_environment() -> dict[str, str]:
    """Return this process's environment, in which assertions count, as tests need them, and text is UTF-8."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"} | {"PYTHONUTF8": "1"}


def set_up(wanted: Environment) -> None:
    """Set up an environment, unless it is ready; DEVELOP is enough for WORKSHOP."""
    if not wanted.is_ready() and not (wanted is WORKSHOP and DEVELOP.is_ready()):
        wanted.set_up()


def run_tests(options: list[str]) -> int:
    """Run pytest; `--quick` and `--coverage` are ours. All tests run in parallel processes, a choice of them in one."""
    quick, coverage = "--quick" in options, "--coverage" in options
    rest = [option for option in options if option not in ("--quick", "--coverage")]
    python = str(DEVELOP.python)
    environment = plain_environment()
    if quick:
        rest = ["-m", "not slow", *rest]
    if quick or coverage or not options:
        # A file's tests stay in one process, for its fixtures; more than four processes would want more memory. The
        # longest files come first (tests/durations.py), not those with the most tests, as pytest-xdist would have it.
        processes = str(min(os.cpu_count() or 1, 4))
        rest = ["--numprocesses", processes, "--dist", "loadfile", "--no-loadscope-reorder", *rest]
    if not coverage:
        return subprocess.run([python, "-m", "pytest", *rest], cwd=ROOT, env=environment, check=False).returncode
    subprocess.run([python, "-m", "coverage", "erase"], cwd=ROOT, check=True)
    measured = [python, "-m", "coverage", "run", "-m", "pytest", *rest]
    code = subprocess.run(measured, cwd=ROOT, env=environment, check=False).returncode
    subprocess.run([python, "-m", "coverage", "combine", "--quiet"], cwd=ROOT, check=True)
    subprocess.run([python, "-m", "coverage", "report"], cwd=ROOT, check=True)
    return code


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return its exit status."""
    if sys.version_info < (3, 11):
        print(
            f"Training with asl-edge needs Python 3.11 or newer, this is {sys.version.split()[0]}.\n"
            "Run it with a newer one: python3.12 bootstrap.py ...   (a device needs only 3.10, see README.md)",
            file=sys.stderr,
        )
        return 2
    environments = {"demo": WORKSHOP, "test": DEVELOP, "run": WORKSHOP, "docs": DOCS, "setup": WORKSHOP}
    if not arguments or arguments[0] not in environments:
        print(__doc__ or f"python3 bootstrap.py {' | '.join(environments)}")  # PYTHONOPTIMIZE=2 removes docstrings
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    what, rest = arguments[0], arguments[1:]
    try:
        set_up(environments[what])
    except subprocess.CalledProcessError as error:
        print(
            f"Setting up failed (exit {error.returncode}); the message of pip is above. "
            f"Fix that and run the same command again.",
            file=sys.stderr,
        )
        return 1
    if what == "setup":
        print(f"Ready: {WORKSHOP.bin / 'asl-edge'}")
        return 0
    if what == "test":
        return run_tests(rest)
    if what == "docs":
        environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        command = [str(DOCS.python), "-m", "mkdocs", "build", "--strict", *rest]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    command = [str(WORKSHOP.python), "-m", "asl_edge", *(["demo"] if what == "demo" else []), *rest]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
