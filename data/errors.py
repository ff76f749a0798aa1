"""The one exception that people are meant to read."""

from __future__ import annotations


class PlaygroundError(Exception):
    """Something the user can mend.

    The message is complete sentences: what happened, the offending value, the legal values, and
    the command to run next. Scripts print it and exit with status 2; pages show it as an error
    box. Every other exception is a defect of ours.
    """
