"""The lessons in their order. A new one is a file and a row here."""

from __future__ import annotations

from pages.learn.lesson import Lesson
from pages.learn.lessons import camera, cells, codes, crop, local, million, rerank

LESSONS: dict[str, Lesson] = {
    one.LESSON.name: one.LESSON for one in (crop, camera, local, cells, codes, million, rerank)
}
"""Name in the address to the lesson."""
