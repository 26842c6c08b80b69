"""The exceptions that the library raises; the command line turns them into a sentence and an exit code."""

from __future__ import annotations


class AslEdgeError(Exception):
    """Something failed that the message explains. Exit code 1."""

    exit_code = 1


class UserError(AslEdgeError):
    """Something the user can fix: a path, an option, a package. Exit code 2."""

    exit_code = 2


class ImageError(UserError):
    """One image cannot be read; the message is the reason, without the file's name."""


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
