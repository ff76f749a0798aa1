"""The published networks here against their authors' own code, on random weights.

    python -m scripts.parity --cirtorch ~/cnnimageretrieval-pytorch [--solar ~/SOLAR]

Each folder is a checkout of https://github.com/filipradenovic/cnnimageretrieval-pytorch and of
https://github.com/tonyngjichun/SOLAR, whose code is run: trust it first. Their networks are made
with seeded random weights, saved in their checkpoint format and opened by ours; photos of several
sizes, whole and cropped, go through both. No weights are downloaded. See docs/parity.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image

from data.base import Box
from data.errors import PlaygroundError
from extractors import pooling, registry, runtime
from extractors.base import RGB
from extractors.training import losses, whitening
from scripts import console

TOLERANCE = 1e-4  # largest difference of a value of a unit vector
SIZES: tuple[tuple[int, int], ...] = ((120, 160), (333, 500), (480, 640), (700, 311))  # H x W px
IMAGE_SIZE = 320
ROOT_2 = 2.0**0.5
SCALES = (1.0, 1 / ROOT_2, 0.5)
NETWORKS: tuple[tuple[str, dict[str, Any], tuple[float, ...]], ...] = (  # spec, theirs, scales
    ("gem-vgg16:whitening=none,", {"architecture": "vgg16"}, SCALES),
    ("gem-resnet101:whitening=none,", {"architecture": "resnet101"}, (1.0,)),
    (
        "gem-tl-resnet50:",
        {"architecture": "resnet50", "whitening": True},
        (1.0, ROOT_2, 1 / ROOT_2),
    ),
    (
        "cirtorch:architecture=vgg16,regional=true,local_whitening=true,",
        {"architecture": "vgg16", "regional": True, "local_whitening": True},
        SCALES,
    ),
    (
        "cirtorch:architecture=resnet50,pooling=rmac,whitening=true,",
        {"architecture": "resnet50", "pooling": "rmac", "whitening": True},
        SCALES,
    ),
)
SOLAR_SCALES = (1.0, ROOT_2, 1 / ROOT_2)
Row = tuple[str, int, float, float]  # what, cases, largest difference, least cosine


def photo(height: int, width: int) -> RGB:
    """Smooth shapes under fine noise, seeded, so that the filter that shrinks it shows."""
    rng = np.random.default_rng(height * 10_000 + width)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = smooth + rng.normal(0, 30, smooth.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def cases() -> Iterator[tuple[RGB, Box | None]]:
    for height, width in SIZES:
        made = photo(height, width)
        yield made, None
        yield made, (width // 7, height // 9, width * 3 // 4, height * 4 // 5)


def shaken(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Seeded BatchNorms that are not the identity, and an attention that does something."""
    generator = torch.Generator().manual_seed(seed)
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.running_mean, -0.2, 0.2),
                (layer.running_var, 0.6, 1.4),
                (layer.weight.data, 0.6, 1.0),
                (layer.bias.data, -0.1, 0.1),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
        elif name.endswith(".v") and isinstance(layer, torch.nn.Conv2d):
            layer.weight.data.normal_(0, 0.02, generator=generator)
    return network.eval()


def compare(
    theirs: Any, package: str, spec: str, scales: Sequence[float], msp: float, folder: Path
) -> Row:
    """One network of theirs against the extractor that opens its checkpoint."""
    data = importlib.import_module("cirtorch.datasets.genericdataset")  # SOLAR's is the same
    network = importlib.import_module(f"{package}.networks.imageretrievalnet")
    path = folder / "checkpoint.pth"
    torch.save({"state_dict": theirs.state_dict(), "meta": theirs.meta}, path)
    ours = registry.create(
        f"{spec}image_size={IMAGE_SIZE},scales={'+'.join(map(str, scales))}",
        weights=f"file:{path}",
    )
    transform = torchvision.transforms.Compose(
        [
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize(theirs.meta["mean"], theirs.meta["std"]),
        ]
    )
    file, worst, cosine, count = folder / "photo.png", 0.0, 1.0, 0
    for pixels, box in cases():
        Image.fromarray(pixels).save(file)
        boxes = None if box is None else [box]
        images = data.ImagesFromList("", [str(file)], IMAGE_SIZE, boxes, transform)
        with torch.inference_mode():
            tensor = images[0][None]
            if len(scales) == 1:
                vector = network.extract_ss(theirs, tensor)
            else:
                vector = network.extract_ms(theirs, tensor, list(scales), msp)
        found = ours.extract(pixels, box).vectors[0]
        worst = max(worst, float(np.abs(found - vector.numpy()).max()))
        cosine = min(cosine, float(found @ vector.numpy()))
        count += 1
    return spec.rstrip(":,"), count, worst, cosine


def networks(folder: Path) -> Iterator[Row]:
    package = importlib.import_module("cirtorch.networks.imageretrievalnet")
    for spec, parameters, scales in NETWORKS:
        torch.manual_seed(0)
        made = package.init_network({"pretrained": False, **parameters})
        plain = made.meta["whitening"] or made.meta["regional"] or len(scales) == 1
        msp = 1.0 if plain else made.pool.p.item()
        yield compare(shaken(made), "cirtorch", spec, scales, msp, folder)


def solar(folder: Path) -> Row:
    package = importlib.import_module("solar_global.networks.imageretrievalnet")
    plain = torchvision.models.resnet101
    try:  # their constructor downloads ImageNet's weights otherwise
        torchvision.models.resnet101 = lambda **_: plain(weights=None)
        torch.manual_seed(0)
        made = package.init_network(
            {"whitening": True, "pretrained": False, "pretrained_type": "", "soa": True}
        )
    finally:
        torchvision.models.resnet101 = plain
    return compare(shaken(made), "solar_global", "solar:", SOLAR_SCALES, 1.0, folder)


def difference(what: str, pairs: Iterator[tuple[Any, Any]]) -> Row:
    found = [
        (np.asarray(ours, np.float64).ravel(), np.asarray(theirs, np.float64).ravel())
        for ours, theirs in pairs
    ]
    worst = max(float(np.abs(a - b).max()) / max(1.0, float(np.abs(b).max())) for a, b in found)
    lengths = [max(1e-30, float(np.linalg.norm(a) * np.linalg.norm(b))) for a, b in found]
    cosine = min(float(a @ b) / length for (a, b), length in zip(found, lengths, strict=True))
    return what, len(found), worst, cosine


def poolings() -> Iterator[Row]:
    layers = importlib.import_module("cirtorch.layers.functional")
    shapes = [(h, w) for h in range(1, 33, 3) for w in range(1, 33, 2)]
    maps = [torch.rand(2, 7, h, w, generator=torch.manual_seed(h * w)) for h, w in shapes]
    for kind in pooling.POOLINGS:
        theirs: Callable[..., torch.Tensor] = getattr(layers, kind)
        yield difference(kind, ((pooling.pool(x, kind), theirs(x).flatten(1)) for x in maps))


def learned() -> Iterator[Row]:
    theirs = importlib.import_module("cirtorch.utils.whiten")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(400, 12)) * np.linspace(3, 0.3, 12)).astype(np.float32)
    queries, positives = np.arange(0, 400, 2), np.arange(1, 400, 2)

    def applied(ours: whitening.Whitening, m: Any, p: Any) -> tuple[Any, Any]:
        # Eigenvectors are known but for their sign.
        return np.abs(ours.apply(x)), np.abs(theirs.whitenapply(x.T.astype(np.float64), m, p).T)

    columns: NDArray[np.float64] = x.T.astype(np.float64)
    pca, (m, p) = whitening.pca_whitening(x), theirs.pcawhitenlearn(columns)
    yield difference("PCA-w", iter([applied(pca, m, p)]))
    yield difference("PCA-w, P itself", iter([(np.abs(pca.P), np.abs(p))]))
    lw = whitening.learned_whitening(x, queries, positives)
    lw_theirs = theirs.whitenlearn(columns, queries, positives)
    yield difference("Lw", iter([applied(lw, *lw_theirs)]))


def tuple_losses(package: str, names: Sequence[str]) -> Iterator[Row]:
    layers = importlib.import_module(f"{package}.layers.functional")
    label, x = tuples()
    for name in names:
        # Theirs are sums over the batch's five tuples, SOLAR's triplets excepted.
        share = 1 if package == "solar_global" else 5
        theirs = getattr(layers, f"{name}_loss")(x.T, label, margin=0.7) / share
        ours = losses.tuple_loss(name, 0.7)(x.reshape(5, 7, 16))
        yield difference(f"{name} loss ({package})", iter([(ours, theirs)]))


def second_order() -> Row:
    """SOLAR's sum of both terms, with the weight of its README."""
    layers = importlib.import_module("solar_global.layers.functional")
    label, x = tuples()
    theirs = layers.triplet_loss(x.T, label, margin=1.25)
    theirs = theirs + losses.SECOND_ORDER * layers.sos_loss(x.T, label)
    ours = losses.tuple_loss("second-order")(x.reshape(5, 7, 16))
    return difference("second-order loss (solar_global)", iter([(ours, theirs)]))


def tuples() -> tuple[torch.Tensor, torch.Tensor]:
    """Five tuples of seven unit vectors, and what each is: -1 query, 1 positive, 0 negative."""
    label = torch.tensor([-1.0, 1, 0, 0, 0, 0, 0] * 5)
    x = torch.randn(35, 16, generator=torch.manual_seed(0))
    return label, torch.nn.functional.normalize(x, dim=1)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cirtorch", required=True, type=Path, help="the checkout's folder")
    parser.add_argument("--solar", type=Path, help="the checkout's folder; without: left out")
    console.json_flag(parser)
    arguments = parser.parse_args(argv)
    for folder, package in ((arguments.cirtorch, "cirtorch"), (arguments.solar, "solar_global")):
        if folder is None:
            continue
        if not (folder.expanduser() / package).is_dir():
            raise PlaygroundError(f"There is no folder {package} in {folder}. Clone it first.")
        sys.path.insert(0, str(folder.expanduser().resolve()))
    # Exact comparisons need torch in fp32.
    os.environ["PLAYGROUND_RUNTIME"] = "torch"
    runtime.cpu_has_bfloat16 = lambda: False
    Image.ANTIALIAS = Image.Resampling.LANCZOS  # type: ignore[attr-defined]  # gone in Pillow 10
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        rows += [*networks(Path(temporary)), *poolings(), *learned()]
        rows += tuple_losses("cirtorch", ("contrastive", "triplet"))
        if arguments.solar is not None:
            rows.append(solar(Path(temporary)))
            rows += tuple_losses("solar_global", ("triplet",))
            rows.append(second_order())
    if arguments.json:
        keys = ("what", "cases", "largest_difference", "least_cosine")
        console.print_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        console.print_table(
            ("what", "cases", "largest difference", "least cosine"),
            [(what, count, f"{worst:.1e}", f"{cos:.7f}") for what, count, worst, cos in rows],
        )
    return int(any(row[2] > TOLERANCE for row in rows))


if __name__ == "__main__":
    console.run(main)
