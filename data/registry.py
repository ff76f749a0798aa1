"""The benchmarks, by name. Each is a source of photos, see data.base."""

from __future__ import annotations

from data.benchmark import Benchmark
from data.distractors import DistractorSource
from data.holidays import Holidays
from data.instre import Instre
from data.oxford import Oxford5k, Paris6k
from data.revisited import ROxford5k, RParis6k
from data.ukbench import UkBench

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
