"""System calls of a process, seen by `strace`, and disks that refuse some of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

_WRITING = re.compile(
    r"O_(WRONLY|RDWR|CREAT|TRUNC|TMPFILE)|^(mkdir|mkdirat|creat|rename\w*|unlink\w*|link\w*|symlink\w*)\("
)
_FAILED = re.compile(r"= -1 E[A-Z]+ ")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
_INTERNET = re.compile(r"^(socket|connect|sendto|sendmsg|getaddrinfo)\(.*(AF_INET|AF_INET6|AF_NETLINK|sin6?_port)")


class Traced(NamedTuple):
    """What a process did."""

    output: str
    sockets: list[str]
    """Its calls that have to do with a network, as strace writes them."""
    opened: set[Path]
    """Files that it opened, for whatever purpose."""
    written: set[Path]
    """Files and folders that it made, changed or removed; not devices, and not files without a name."""


def trace(command: Sequence[str], env: dict[str, str], log: Path) -> Traced:
    """Run a command to its end and return what it did; skip the test where nothing can be traced."""
    _need_strace()
    calls = (
        "trace=network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink"
    )
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "500", "-e", calls, "-o", str(log), *command],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = [line.partition(" ")[2].strip() for line in log.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if not _FAILED.search(line)]
    opened = {Path(match[1]) for line in lines if line.startswith("open") and (match := _PATH.search(line))}
    written = {Path(match[1]) for line in lines if _WRITING.search(line) and (match := _PATH.search(line))}
    nameless = {path for path in written if any(f'"{path}", O_RDWR' in line and "O_TMPFILE" in line for line in lines)}
    written = {path for path in written - nameless if not str(path).startswith("/dev/")}
    return Traced(done.stdout + done.stderr, [line for line in lines if _INTERNET.search(line)], opened, written)


def refusing(call: str, error: str, command: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command for which every system call `call` fails with `error`, as on a disk that lacks it."""
    _need_strace()
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={call}:error={error}", *command],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("processes cannot be traced here")
