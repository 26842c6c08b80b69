#!/usr/bin/env python3
"""Set up asl-edge in `.venv` beside this file, then run the demo, the tests or any asl-edge command.

usage:
    python3 bootstrap.py demo [OPTIONS of asl-edge demo]
    python3 bootstrap.py test [OPTIONS of pytest]
    python3 bootstrap.py run COMMAND...   any asl-edge command
    python3 bootstrap.py setup            set up only

Needs Python 3.11 or newer and nothing else. Packages come pinned and hash-checked from requirements/.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCKS = {"workshop": ROOT / "requirements" / "workshop.txt", "develop": ROOT / "requirements" / "develop.txt"}


def fingerprint(lock: Path) -> str:
    """What an environment set up from `lock` was made of: it is made anew when any of it changes."""
    parts = [lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def set_up(name: str) -> None:
    """Make `.venv` from the lock `name`, unless it stands already."""
    marks = {other: ENVIRONMENT / f".asl-edge-{other}" for other in LOCKS}
    enough = [name] if name == "develop" else ["workshop", "develop"]  # develop holds all that workshop does
    for other in enough:
        if PYTHON.exists() and marks[other].exists() and marks[other].read_text() == fingerprint(LOCKS[other]):
            return
    print(
        f"Setting up {ENVIRONMENT} from {LOCKS[name].relative_to(ROOT)} (once; some minutes of download).", flush=True
    )
    if not PYTHON.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(LOCKS[name])], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)
    for mark in marks.values():
        mark.unlink(missing_ok=True)
    marks[name].write_text(fingerprint(LOCKS[name]))


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return its exit status."""
    if sys.version_info < (3, 11):
        print(
            f"asl-edge's workshop needs Python 3.11 or newer, this is {sys.version.split()[0]}.\n"
            "Run it with a newer one: python3.12 bootstrap.py ...   (a device needs only 3.10, see README.md)",
            file=sys.stderr,
        )
        return 2
    commands = {"demo", "test", "run", "setup"}
    if not arguments or arguments[0] not in commands:
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    what, rest = arguments[0], arguments[1:]
    try:
        set_up("develop" if what == "test" else "workshop")
    except subprocess.CalledProcessError as error:
        print(
            f"Setting up failed (exit {error.returncode}); pip's own words are above. "
            f"Mend that and run the same command again.",
            file=sys.stderr,
        )
        return 1
    if what == "setup":
        print(f"Ready: {BIN / 'asl-edge'}")
        return 0
    run = {"demo": ["-m", "asl_edge", "demo"], "test": ["-m", "pytest"], "run": ["-m", "asl_edge"]}[what]
    if what == "test":
        os.chdir(ROOT)
        if not rest:  # all of them: side by side, each file's in one process; more than four would want more memory
            rest = ["--numprocesses", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile"]
    return subprocess.run([str(PYTHON), *run, *rest], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
