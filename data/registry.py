"""The sources of photos, by name."""

from __future__ import annotations

from data.archive import ZipSource
from data.demo import DemoSource
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.glr21 import Glr21Source
from data.upload import UploadSource

SourceClass = (
    type[DemoSource] | type[FolderSource] | type[Glr21Source] | type[UploadSource] | type[ZipSource]
)
SOURCES: dict[str, SourceClass] = {
    source.kind: source
    for source in (DemoSource, FolderSource, Glr21Source, UploadSource, ZipSource)
}


def source_class(kind: str) -> SourceClass:
    """The class of a source by its registry name.

    Raises:
        PlaygroundError: there is no such source.
    """
    if kind not in SOURCES:
        raise PlaygroundError(f"{kind!r} is no source of photos. Legal: {', '.join(SOURCES)}.")
    return SOURCES[kind]
