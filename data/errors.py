"""The exceptions that people are meant to read."""

from __future__ import annotations


class PlaygroundError(Exception):
    """Something the user can mend.

    Scripts print it and exit with status 2; pages show it as an error box. Every other exception
    is a defect of ours.

    Args:
        message: complete sentences: what happened, the offending value, the legal values. One that
            ends in a colon leads to the command by itself.
        command: that helps, and nothing else.
        then: what the text says behind the command.
    """

    def __init__(self, message: str = "", *, command: str | None = None, then: str = "") -> None:
        super().__init__(message)
        self.command, self.then = command, then

    def __str__(self) -> str:
        message = super().__str__()
        if self.command is None:
            return message
        lead = "" if message.endswith(":") else " Run:"
        return f"{message}{lead} {self.command}{self.then}"


class NotFound(PlaygroundError):  # noqa: N818 (read as a word, like BadPhoto)
    """There is nothing of that name, or it has not been built yet."""


class Invalid(PlaygroundError):  # noqa: N818
    """What was given is not legal."""


class Conflict(PlaygroundError):  # noqa: N818
    """What is there stands against it: in use, there already, changed since, or damaged."""
