"""Pack what the demo comes with: small descriptors, indexes, evaluations, maps and trade-offs.

    python -m scripts.prebuild_demo

Everything is made in a folder of its own (``--home``, 0.4 GB), from the weights that the project
ships, and packed into ``data/demo/prebuilt``. Stopped and started again it goes on where it was.
Run it after a change of the demo, of an extractor that is packed, or of its weights: until then the
app builds that extractor itself. Times are kept with the rest, so let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from data import paths
from data.demo import PREBUILT, DemoSource, ensure_demo
from data.store import Collection
from evaluation.rows import folder_of
from evaluation.run import evaluate
from evaluation.tradeoffs import padding
from evaluation.tradeoffs.rows import points_path
from evaluation.tradeoffs.run import measure_grid
from extractors import registry as extractor_registry
from indexing import embedding, prebuilt
from indexing import registry as index_registry
from indexing.artefacts import extractor_folder, index_folder, load_vectors
from indexing.build import build
from indexing.progress import Silent, Terminal
from scripts.console import Progress, run

# Small ones; DELF's local features would take 50 MB, HOG's 7 MB, and HOG is built in seconds.
EXTRACTORS = ("gem-siamese", "bovw", "resnet50", "vgg16")
# Their rotations, random numbers that nothing packs, would take a third of the pack.
LEFT_OUT = "lsh"
MEASURED = "gem-siamese"
SIZES = "real,10k,100k"


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.prebuild_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--home", type=Path, help="where to build (artifacts/prebuild)")
    result.add_argument("--extractors", default=",".join(EXTRACTORS), help="specs between commas")
    result.add_argument(
        "--sizes", default=SIZES, help=f"of the trade-offs of {MEASURED}; empty: none"
    )
    result.add_argument("--quiet", action="store_true", help="no progress bars")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    home = arguments.home or paths.artifacts_root() / "prebuild"
    with _at(home):
        demo = ensure_demo()
        specs = map(extractor_registry.canonical, extractor_registry.expand(arguments.extractors))
        parts = {spec: _made(demo.name, spec, arguments) for spec in specs}
        for spec, places in parts.items():  # last: UMAP's threads are in the way of other processes
            places += _maps(demo, spec)
        manifest = prebuilt.make(demo, DemoSource().describe()["content"], parts, PREBUILT)
    packed = manifest["files"][prebuilt.FILE]["bytes"]
    print(f"{PREBUILT}: {packed:,} bytes, {manifest['unpacked']:,} unpacked")
    return 0


@contextlib.contextmanager
def _at(home: Path) -> Iterator[None]:
    before = os.environ.get("PLAYGROUND_HOME")
    os.environ["PLAYGROUND_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("PLAYGROUND_HOME")
        if before is not None:
            os.environ["PLAYGROUND_HOME"] = before


def _made(name: str, spec: str, arguments: argparse.Namespace) -> list[Path]:
    """Everything of one extractor; the places of what is packed of it."""
    steps = Silent() if arguments.quiet else Terminal()
    indexes = [one for one in index_registry.basic() if one != LEFT_OUT]
    build(name, [spec], [], progress=steps)
    prebuilt.to_half(name, spec)
    build(name, [spec], indexes, progress=steps)
    places = [extractor_folder(name, spec), *(index_folder(name, spec, one) for one in indexes)]
    with Progress("search", quiet=arguments.quiet) as progress:
        evaluate(name, [spec], indexes, progress=progress)
    found = folder_of(name) / extractor_registry.slug(spec)
    places += sorted(path.parent for path in found.glob("*/*/manifest.json"))
    if spec == MEASURED and arguments.sizes:
        sizes = [padding.parse_size(part) for part in arguments.sizes.split(",")]
        with Progress("step", quiet=arguments.quiet) as progress:
            measure_grid(name, spec, sizes, quick=True, progress=progress)
        places.append(points_path(name, spec))
    return places


def _maps(demo: Collection, spec: str) -> list[Path]:
    vectors, _ = load_vectors(demo, spec)
    for method in embedding.METHODS:
        if embedding.load(demo.name, spec, method, vectors) is None:
            embedding.make(demo.name, spec, method, vectors)
    return [embedding.folder_of(demo.name, spec, method) for method in embedding.METHODS]


if __name__ == "__main__":
    run(main)
