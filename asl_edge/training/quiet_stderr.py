"""Standard error without the start-up notes of native code."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what native code writes to standard error out of sight; it is shown after all if the block fails.

    Ctrl-C is no failure: what was kept does not explain it.

    TensorFlow's libraries announce missing GPU drivers and CPU features before any log level can be set.
    """
    try:
        sys.stderr.flush()
        descriptor = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no usable standard error (a GUI process): nothing to keep quiet
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        except KeyboardInterrupt:
            failed = False
            raise
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os.dup2(descriptor, 2)
            os.close(descriptor)
            if failed:
                kept.seek(0)
                os.write(2, kept.read())
