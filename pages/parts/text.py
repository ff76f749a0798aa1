"""Text of others, shown as text."""

from __future__ import annotations

_MARKS = frozenset(r"\`*_{}[]()<>#+|~$:!")


def plain(text: str) -> str:
    """The text with every Markdown mark escaped: names and messages are shown as they are."""
    return "".join(f"\\{char}" if char in _MARKS else char for char in text)


def photos(count: int) -> str:
    """ "1 photo", "1,204 photos"."""
    return f"{count:,} photo{'' if count == 1 else 's'}"
