"""The sources of photos, by name."""

from __future__ import annotations

from data.archive import ZipSource
from data.benchmark import Benchmark
from data.demo import DemoSource
from data.distractors import DistractorSource
from data.errors import Invalid
from data.folder import FolderSource
from data.glr21 import Glr21Source
from data.holidays import Holidays
from data.instre import Instre
from data.oxford import Oxford5k, Paris6k
from data.revisited import ROxford5k, RParis6k
from data.ukbench import UkBench
from data.upload import UploadSource

SourceClass = (
    type[DemoSource]
    | type[FolderSource]
    | type[Glr21Source]
    | type[UploadSource]
    | type[ZipSource]
    | type[Benchmark]
)
BENCHMARKS: dict[str, type[Benchmark]] = {
    source.kind: source
    for source in (
        ROxford5k,
        RParis6k,
        Oxford5k,
        Paris6k,
        Holidays,
        UkBench,
        Instre,
        DistractorSource,
    )
}
SOURCES: dict[str, SourceClass] = {
    source.kind: source
    for source in (DemoSource, FolderSource, Glr21Source, UploadSource, ZipSource)
} | BENCHMARKS


def source_class(kind: str) -> SourceClass:
    """The class of a source by its registry name.

    Raises:
        PlaygroundError: there is no such source.
    """
    if kind not in SOURCES:
        raise Invalid(f"{kind!r} is no source of photos. Legal: {', '.join(SOURCES)}.")
    return SOURCES[kind]
