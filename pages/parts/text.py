"""Text of others, shown as text."""

from __future__ import annotations

import re
from urllib.parse import quote

_ADDRESS = re.compile(r"https?://[^\s,;()<>]*[^\s,;()<>.:]")
_MARKS = frozenset(r"\`*_{}[]()<>#+|~$:!")
# Streamlit makes links of addresses after the escapes are gone. A character without width keeps
# it from seeing one; what is copied holds it.
_JOINER = "\u2060"
_IN_LINKS = re.compile(r"(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?=@[\w\\-]+\.)")


def plain(text: str) -> str:
    """The text with every Markdown mark escaped: names and messages are shown as they are.

    Addresses stay text, too: a foreign one must not become a link.
    """
    marked = "".join(f"\\{char}" if char in _MARKS else char for char in text)
    return _IN_LINKS.sub(_JOINER, marked)


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
