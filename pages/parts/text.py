"""Text of others, shown as text."""

from __future__ import annotations

import re
from urllib.parse import quote

_ADDRESS = re.compile(r"https?://[^\s,;()<>]*[^\s,;()<>.:]")
_MARKS = frozenset(r"\`*_{}[]()<>#+|~$:!")


def plain(text: str) -> str:
    """The text with every Markdown mark escaped: names and messages are shown as they are."""
    return "".join(f"\\{char}" if char in _MARKS else char for char in text)


def linked(text: str) -> str:
    """Like ``plain``, with web addresses as links."""
    parts, at = [], 0
    for found in _ADDRESS.finditer(text):
        parts += [plain(text[at : found.start()]), f"<{found[0]}>"]
        at = found.end()
    return "".join([*parts, plain(text[at:])])


def address(url: str) -> str:
    """A web address that stays one between angle brackets, whatever it holds."""
    return quote(url, safe="%/:?#[]@!$&'*+,;=~")


def photos(count: int) -> str:
    """ "1 photo", "1,204 photos"."""
    return f"{count:,} photo{'' if count == 1 else 's'}"
