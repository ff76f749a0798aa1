"""The benchmarks, by name. Each is a source of photos, see data.base."""

from __future__ import annotations

from data.benchmark import Benchmark
from data.sources.distractors import DistractorSource
from data.sources.dupimage import DupImage
from data.sources.flickrlogos import FlickrLogos32, FlickrLogos47
from data.sources.gldv1 import GoogleLandmarksV1
from data.sources.holidays import Holidays
from data.sources.instre import Instre
from data.sources.neural_codes import NeuralCodesTraining
from data.sources.oxford import Oxford5k, Oxford105k, Paris6k, Paris106k
from data.sources.revisited import ROxford5k, RParis6k
from data.sources.sculptures import Sculptures6k
from data.sources.sfm import Sfm30k, Sfm120k
from data.sources.smvs import Smvs
from data.sources.ukbench import UkBench
from data.sources.zubud import ZuBuD

BENCHMARKS: dict[str, type[Benchmark]] = {
    source.kind: source
    for source in (
        ROxford5k,
        RParis6k,
        Oxford5k,
        Paris6k,
        Oxford105k,
        Paris106k,
        Holidays,
        UkBench,
        Instre,
        ZuBuD,
        Smvs,
        FlickrLogos32,
        FlickrLogos47,
        DupImage,
        Sculptures6k,
        GoogleLandmarksV1,
        Sfm120k,
        Sfm30k,
        NeuralCodesTraining,
        DistractorSource,
    )
}
