"""The exceptions that the library raises; the command line turns them into a sentence and an exit code."""

from __future__ import annotations

import errno

_OF_THE_PATH = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
    )
)
"""What the system says of a path that is wrong or not permitted; everything else is a failure of the machine."""


class AslEdgeError(Exception):
    """Something failed that the message explains. Exit code 1."""

    exit_code = 1


class UserError(AslEdgeError):
    """Something the user can fix: a path, an option, a package. Exit code 2."""

    exit_code = 2


class ImageError(UserError):
    """One image cannot be read; the message is the reason, without the file's name."""


class ReadFailure(ImageError):  # noqa: N818 - the failure of reading, next to ImageError, which is about what is read
    """One image cannot be read although nothing need be wrong with what was named. Exit code 1.

    A connection was lost, a disk fails, a camera is busy, memory ran out.
    """

    exit_code = 1


def unreadable(error: OSError | ValueError) -> ImageError:
    """Return what the system's refusal to read an image is: a mistake in its path, or a failure."""
    reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    mistake = isinstance(error, ValueError) or error.errno in _OF_THE_PATH
    return ImageError(reason) if mistake else ReadFailure(reason)


class DataError(UserError):
    """Images or arrays that do not fit what was asked of them."""


class ModelError(UserError):
    """A model file that is missing, damaged or of another kind."""


class RunError(UserError):
    """A run folder that is missing, incomplete or in the way."""


class MissingPackageError(UserError):
    """A package that this command needs is not installed; the message holds the command that installs it."""


class ProviderError(UserError):
    """An execution provider that was asked for is unknown or does not really work here."""


class ParityError(AslEdgeError):
    """An exported model does not agree with the model it was made from."""


class TrainingError(AslEdgeError):
    """Training cannot continue: the loss is not a number, the disk is full, the arrays changed."""
