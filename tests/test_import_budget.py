"""What a process imports: a search with a network that was converted before needs no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import paths
from data.photos import encode_jpeg
from data.store import Collection
from extractors import converted, registry
from extractors.cnn import GlobalNetwork, rescale, to_array, to_tensor
from indexing.build import build

HEAVY = ("torch", "torchvision", "timm", "sklearn", "scipy", "matplotlib", "streamlit")


def imported_by(code: str, home: Path) -> set[str]:
    """Which of ``HEAVY`` a process has imported after running ``code``."""
    code += f"\nimport sys\nprint(*(n for n in {HEAVY} if n in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=paths.PROJECT_ROOT,
        env=os.environ | {"PLAYGROUND_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split("\n")[-2].split())


@pytest.mark.bundled
def test_a_search_with_a_built_network_imports_no_torch(
    home: Path, toy_collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "networks_root", lambda: home / "networks")
    build("toy", ["gem-siamese"], ["flat"])
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode_jpeg(toy_collection.read(toy_collection.photos[0])))
    words = ["--collection", "toy", "--extractor", "gem-siamese", "--image", str(photo)]
    code = f"from scripts.search import main; main({words!r})"
    assert imported_by(code, home) == set()
    # Where nothing was kept, another process converts.
    (kept,) = (home / "networks").iterdir()
    (kept / "manifest.json").unlink()
    assert imported_by(code, home) == set()
    assert (kept / "manifest.json").is_file()
    # The tests above can fail.
    assert "torch" in imported_by(f"import torch\n{code}", home)


def test_openvino_reports_nothing_to_anybody(home: Path) -> None:
    code = "import data; from openvino.tools import ovc; assert 'stub' in repr(ovc.telemetry)"
    assert imported_by(code, home) == set()


def test_looking_at_what_is_built_imports_no_torch(home: Path, toy_collection: Collection) -> None:
    build("toy", ["hog"], ["flat"])
    code = "from indexing.status import collection_status; print(collection_status('toy'))"
    assert imported_by(code, home) == set()
    code = "from extractors import registry; [registry.card(one) for one in registry.names()]"
    assert imported_by(code, home) == set()


@pytest.mark.bundled
@pytest.mark.parametrize("spec", ["gem-siamese", "resnet50:pooling=rmac", "vgg16:pooling=mac"])
def test_arrays_and_torch_give_the_same_vector(spec: str) -> None:
    import torch

    extractor = registry.create(spec)
    assert isinstance(extractor, GlobalNetwork)
    photo = np.random.default_rng(3).integers(0, 256, (90, 130, 3)).astype(np.uint8)
    network = extractor.load()
    ours = extractor.head(to_array([photo]), network)
    with torch.inference_mode():
        theirs = extractor.head(to_tensor([photo]), network)
    assert isinstance(ours, np.ndarray) and isinstance(theirs, torch.Tensor)
    assert float((ours * theirs.numpy()).sum()) >= 0.9999
    assert np.linalg.norm(ours) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("factor", [0.5, 0.7071, 1.4142])
def test_arrays_are_resized_as_torch_does(factor: float) -> None:
    photo = np.random.default_rng(5).integers(0, 256, (97, 131, 3)).astype(np.uint8)
    ours = rescale(to_array([photo]), factor)
    theirs = rescale(to_tensor([photo]), factor).numpy()
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=3e-7)
    whole = np.random.default_rng(5).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    # Exact where the CPU has a fused multiply-add, which torch uses then.
    same = rescale(to_array([whole]), factor) == rescale(to_tensor([whole]), factor).numpy()
    assert same.mean() > 0.6


def test_a_damaged_kept_network_is_converted_again(networks: Path) -> None:
    first = registry.create("gem-siamese:scales=1.0")
    assert isinstance(first, GlobalNetwork)
    photo = np.full((64, 80, 3), 90, np.uint8)
    before = first.extract(photo).vectors
    for path in networks.glob("gem-siamese-*/network-*.bin"):
        path.write_bytes(b"damaged")
    assert converted.find(first.network_key()) is None
    again = registry.create("gem-siamese:scales=1.0").extract(photo).vectors
    assert converted.find(first.network_key()) is not None
    np.testing.assert_array_equal(before, again)
