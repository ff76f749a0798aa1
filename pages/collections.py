"""Collections: browse, build, import and delete."""

from __future__ import annotations

from pages.parts import entry, looks, manage


def main() -> None:
    beside = looks.heading(
        "Collections", "The photos that are searched, and what is built from them."
    )
    manage.show(beside)


entry.run(main)
