"""One process at a time trains into a run folder: a lock that the system releases when the process ends."""

from __future__ import annotations

import contextlib
import errno
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from asl_edge.errors import RunError
from asl_edge.files.folder_lock import LOCK_FILE, locked_file

_ATTEMPTS = 5


class RunLock:
    """The right to write to a run folder, from `take` to the end of the block.

    On disks without locks it keeps nobody out.
    """

    def __init__(self, run: Path) -> None:
        """Name the folder, which may not exist yet."""
        self._run = run
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RunLock:
        """Begin without the lock."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock and remove its file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # the folder may be gone
                (self._run / LOCK_FILE).unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def take(self) -> None:
        """Take the lock; take it again where the folder has been made again since.

        Raises:
            RunError: another process has it, or the folder cannot be written to.
            OSError: the disk is full.
        """
        if self._file is not None:
            self._file.close()
        for attempt in range(_ATTEMPTS):
            try:
                self._file = locked_file(self._run, "ab")
                return
            except BlockingIOError:
                if attempt + 1 < _ATTEMPTS:
                    time.sleep(0.1)  # `is_taken` may hold it for a moment
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise  # a full disk is explained elsewhere
                raise RunError(
                    f"{self._run} cannot be written to ({error.strerror or error}). Make it writable, or copy it to "
                    "another disk and continue there."
                ) from error
        raise RunError(
            f"Another process is training into {self._run}. Wait until it has ended, or stop it; or name another "
            "folder with --out."
        )


def is_taken(run: Path) -> bool:
    """Tell whether a process is training into `run`."""
    try:
        file = locked_file(run, "rb")
    except BlockingIOError:
        return True
    except OSError:
        return False
    if file is not None:
        file.close()
    return False
