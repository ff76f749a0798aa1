"""The door of ``/learn`` for the first request after a start; see ``parts/entry.py``."""

from pages.parts.entry import open_app

open_app()
