"""Collections: browse, build, import and delete."""

from __future__ import annotations

from pages.collections import manage
from pages.parts import looks


def main() -> None:
    beside = looks.heading(
        "Collections", "The photos that are searched, and what is built from them."
    )
    manage.show(beside)


main()
