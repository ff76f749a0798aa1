"""Foreign checkpoints, at their true shapes, against forward passes written here with torchvision.

The networks' weights are random; what is tested is that names, shapes, meta and arithmetic are
those of the published formats (facts: cirtorch and SOLAR).
"""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors import checkpoints, registry
from extractors.cirtorch import thumbnail
from extractors.cnn import GlobalNetwork
from extractors.runtime import Network
from extractors.solar import SoaBlock
from extractors.weights import Weights

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ROOT_2 = 2**0.5
PUBLISHED = (
    "neural-codes",
    "gem-vgg16",
    "gem-resnet101",
    "gem-tl-resnet50",
    "gem-tl-resnet101",
    "gem-tl-resnet152",
    "solar",
    "sir",
)
STAGES = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
SOLAR_STAGES = {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
    "layer1": "conv2_x.2",
    "layer2": "conv3_x",
    "layer3": "conv4_x",
    "layer4": "conv5_x",
}


@pytest.fixture(autouse=True)
def _fp32_and_no_weights_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact comparisons need torch in fp32; nothing of the machine's caches is used."""
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "torch")
    monkeypatch.setattr("extractors.runtime.cpu_has_bfloat16", lambda: False)


def photo(height: int = 72, width: int = 100) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def pixels() -> Tensor:
    """The photo as the networks see it: (1, 3, H, W), mean and deviation removed."""
    x = torch.from_numpy(photo().transpose(2, 0, 1).copy()).float()[None] / 255
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def random_model(name: str, **options: Any) -> nn.Module:
    """torchvision's network with random weights and BatchNorms that are not the identity."""
    torch.manual_seed(7)
    model = getattr(torchvision.models, name)(weights=None, **options).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            shake(layer)
    return model


def shake(layer: nn.BatchNorm2d) -> None:
    layer.running_mean.uniform_(-0.2, 0.2)
    layer.running_var.uniform_(0.6, 1.4)
    layer.weight.data.uniform_(0.6, 1.0)
    layer.bias.data.uniform_(-0.1, 0.1)


def conv_map(model: nn.Module, x: Tensor) -> Tensor:
    """The last convolutional map, after its ReLU, by torchvision's own layers."""
    if hasattr(model, "features"):
        for layer in list(model.features)[:-1]:
            x = layer(x)
        return x
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


def published_names(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of the trunk as cirtorch saves it: ``features.<index>.…``."""
    state = {}
    for key, value in model.state_dict().items():
        first, _, rest = key.partition(".")
        if first == "features":
            state[key] = value
        elif first in STAGES:
            state[f"features.{STAGES[first]}.{rest}"] = value
    return OrderedDict(state)


def meta(architecture: str, whitening: bool = False, **more: Any) -> dict[str, Any]:
    dim = 512 if architecture == "vgg16" else 2048
    return {
        "architecture": architecture,
        "local_whitening": False,
        "pooling": "gem",
        "regional": False,
        "whitening": whitening,
        "mean": MEAN,
        "std": STD,
        "outputdim": dim,
        **more,
    }


def random_lw(dim: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "retrieval-SfM-120k": {
            kind: {"m": rng.normal(0, 0.02, (dim, 1)), "P": rng.normal(0, 1, (dim, dim))}
            for kind in ("ss", "ms")
        }
    }


def gem_vector(x: Tensor, p: float) -> NDArray[np.float64]:
    """(D, N) as upstream: GeM, L2."""
    maps = x.numpy().astype(np.float64)
    pooled = (np.maximum(maps, 1e-6) ** p).mean(axis=(2, 3)) ** (1 / p)
    return (pooled / (np.linalg.norm(pooled, axis=1, keepdims=True) + 1e-6)).T


def by_scale(x: Tensor, scales: tuple[float, ...]) -> list[Tensor]:
    return [
        x if s == 1 else F.interpolate(x, scale_factor=s, mode="bilinear", align_corners=False)
        for s in scales
    ]


def unit(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return columns / (np.linalg.norm(columns, axis=0, keepdims=True) + 1e-6)


def agree(ours: NDArray[np.float32], columns: NDArray[np.float64]) -> None:
    """Ours are N x D, the published code's are D x N."""
    assert ours.dtype == np.float32
    assert ours.shape == columns.T.shape
    assert np.abs(ours - columns.T).max() < 2e-5
    assert np.linalg.norm(ours) == pytest.approx(1, abs=1e-4)


# Shrinking


def lanczos(length: int, out: int) -> NDArray[np.float64]:
    """(out, length): Lanczos with three lobes, widened by the factor, as Pillow's ``resize``."""
    factor = length / out
    reach = 3 * max(factor, 1)
    rows = np.zeros((out, length))
    for i in range(out):
        centre = (i + 0.5) * factor
        first, last = int(max(0, centre - reach + 0.5)), int(min(length, centre + reach + 0.5))
        x = (np.arange(first, last) + 0.5 - centre) / max(factor, 1)
        weights = np.sinc(x) * np.sinc(x / 3) * (np.abs(x) < 3)
        rows[i, first:last] = weights / weights.sum()
    return rows


def test_published_networks_shrink_with_lanczos() -> None:
    pixels = photo(72, 100)
    prepared = thumbnail(pixels, None, 60)
    assert prepared.pixels.shape == (43, 60, 3)  # 43.2: thumbnail's aspect is nearest at 43
    first = np.einsum("xw,hwc->hxc", lanczos(100, 60), pixels.astype(float))
    expected = np.einsum("yh,hxc->yxc", lanczos(72, 43), np.clip(np.round(first), 0, 255))
    found = prepared.pixels.astype(float)
    assert np.abs(found - np.clip(expected, 0, 255)).max() <= 1
    area = cv2.resize(pixels, (60, 43), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(found - area).max() > 5  # the filter that it is not
    assert prepared.scale == (60 / 100, 43 / 72)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((10, 5, 71, 40), (36, 20)),  # 60 * 61 / 100 = 36.6, down; 36 * 35 / 61 = 20.7, see below
        ((0, 0, 100, 72), (60, 43)),
        ((3, 3, 4, 60), (1, 34)),
        ((3, 3, 4, 4), (1, 1)),
    ],
)
def test_a_crop_gets_the_photo_s_factor_rounded_down(
    box: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    prepared = thumbnail(photo(72, 100), box, 60)
    width, height = prepared.pixels.shape[1::-1]
    assert max(width, height) == max(size)
    # Of 20 and 21 the one whose aspect is nearer to 61 / 35.
    near = min((size[1], size[1] + 1), key=lambda side: abs(61 / 35 - 36 / side))
    assert (width, height) == ((36, near) if size == (36, 20) else size)
    assert prepared.origin == box[:2]


def test_small_photos_are_not_enlarged_and_artefacts_of_the_old_filter_are_refused() -> None:
    pixels = photo(40, 30)
    assert (thumbnail(pixels, None, 1024).pixels == pixels).all()
    made = registry.create("gem-vgg16", weights="untrained")
    assert (made.prepare(photo(), None).pixels == photo()).all()
    for name in PUBLISHED:
        published = name.startswith("gem-") or name == "solar"
        assert registry.create(name, weights="untrained").version == (2 if published else 1)


# Reading


def small_checkpoint(path: Path, **options: Any) -> dict[str, Any]:
    content = {
        "state_dict": OrderedDict({"pool.p": torch.tensor([2.5])}),
        "meta": meta("vgg16", Lw=random_lw(4)),
        "epoch": 3,
        "min_loss": np.float64(0.25),
    }
    torch.save(content, path, **options)
    return content


@pytest.mark.parametrize("zipped", [True, False])
def test_numpy_in_the_meta_is_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "c.pth"
    content = small_checkpoint(path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # why there is a list of allowed functions
    found = checkpoints.read(path)
    assert torch.equal(found.state["pool.p"], torch.tensor([2.5]))
    parsed = checkpoints.retrieval_meta(found, "c.pth")
    lw = parsed.lw["retrieval-SfM-120k"]["ms"]
    expected = content["meta"]["Lw"]["retrieval-SfM-120k"]["ms"]
    assert np.allclose(lw.P.numpy(), expected["P"])
    assert np.allclose(lw.m.numpy(), expected["m"][:, 0])
    assert (parsed.architecture, parsed.pooling, parsed.whitening) == ("vgg16", "gem", False)
    assert np.allclose(parsed.mean, MEAN)


def test_files_of_numpy_1_and_numpy_2_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    small_checkpoint(path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    new = content.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    assert old != new
    for version in (old, new):
        path.write_bytes(version)
        checkpoints.retrieval_meta(checkpoints.read(path), "c.pth")


def test_nothing_stays_allowed(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    small_checkpoint(tmp_path / "c.pth")
    checkpoints.read(tmp_path / "c.pth")
    assert set(torch.serialization.get_safe_globals()) == before


class Runs:
    """Unpickling it calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["state_dict", "meta", "other"])
@pytest.mark.parametrize("how", ["system", "touch", "eval", "numpy"])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    tmp_path: Path, where: str, how: str, zipped: bool
) -> None:
    mark = tmp_path / "should-not-exist"
    evil = {
        "system": Runs(os.system, f"touch {mark}"),
        "touch": Runs(Path.touch, mark),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        # A function of numpy that is not among the allowed ones.
        "numpy": Runs(np.save, str(mark), 1),
    }[how]
    content: dict[str, Any] = {"state_dict": {}, "meta": meta("vgg16"), "other": 1}
    content[where] = {"x": evil}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(PlaygroundError, match="cannot be read as a checkpoint"):
        checkpoints.read(tmp_path / "evil.pth")
    assert not list(tmp_path.glob("should-not-exist*"))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    content = {"state_dict": {}, "meta": {"x": np.array([None, "a"], dtype=object)}}
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(PlaygroundError, match=r"c\.pth"):
        checkpoints.read(tmp_path / "c.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "c.pth"
    small_checkpoint(path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for length in (0, 1, 9, 100, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:length])
        with pytest.raises(PlaygroundError, match=r"c\.pth"):
            checkpoints.retrieval_meta(checkpoints.read(path), "c.pth")


def test_damaged_bytes_never_give_another_error(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    small_checkpoint(path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(150):
        broken = content.copy()
        for place in rng.integers(0, min(1200, len(content)), 3):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            checkpoints.retrieval_meta(checkpoints.read(path), "c.pth")
        except PlaygroundError as error:
            assert "c.pth" in str(error)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "renamed.pth"
    safetensors.torch.save_file({"a": torch.ones(2, dtype=torch.float16)}, path)
    found = checkpoints.read(path)
    assert found.state["a"].dtype == torch.float32
    assert found.meta == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": None}, "architecture"),
        ({"pooling": 3}, "pooling"),
        ({"mean": [0.1, 0.2]}, "three numbers"),
        ({"std": [0.1, 0.2, 0.0]}, "above 0"),
        ({"mean": [0.1, 0.2, float("nan")]}, "three numbers"),
        ({"regional": 1}, "true or false"),
        ({"local_whitening": "no"}, "true or false"),
        ({"whitening": "yes"}, "true or false"),
        ({"Lw": [1]}, "training set"),
        ({"Lw": {"a": {"ss": {"m": np.zeros((3, 1)), "P": np.zeros((4, 4))}}}}, "not possible"),
        ({"Lw": {"a": {"ss": {"m": np.zeros((4, 1)), "P": np.zeros((4, 3))}}}}, "not possible"),
        ({"Lw": {"a": {"ms": {"m": np.full((4, 1), np.nan), "P": np.eye(4)}}}}, "not possible"),
        ({"Lw": {"a": {"ms": 5}}}, "not possible"),
    ],
)
def test_a_meta_that_is_not_possible_is_refused(change: dict[str, Any], said: str) -> None:
    found = checkpoints.Checkpoint({}, {**meta("vgg16"), **change})
    with pytest.raises(PlaygroundError, match=said) as caught:
        checkpoints.retrieval_meta(found, "theirs.pth")
    assert "theirs.pth" in str(caught.value)


# Extractors


def extractor(spec: str, path: Path) -> GlobalNetwork:
    made = registry.create(spec, weights=f"file:{path}")
    assert isinstance(made, GlobalNetwork)
    return made


def saved_gem(folder: Path, architecture: str) -> tuple[nn.Module, dict[str, Any], Path]:
    """A random checkpoint as published, without whitening inside; p = 2.7."""
    model = random_model(architecture)
    state = published_names(model)
    state["pool.p"] = torch.tensor([2.7])
    said = meta(architecture, Lw=random_lw(512 if architecture == "vgg16" else 2048))
    path = folder / f"retrievalSfM120k-{architecture}-gem.pth"
    torch.save({"state_dict": state, "meta": said}, path)
    return model, said, path


def check_gem(folder: Path, name: str, architecture: str) -> None:
    """All settings of a GeM network with Lw against the formulas of cirtorch."""
    model, said, path = saved_gem(folder, architecture)
    x, p = pixels(), float(torch.tensor(2.7))
    lw = said["Lw"]["retrieval-SfM-120k"]
    with torch.inference_mode():
        maps = [conv_map(model, one) for one in by_scale(x, (1, 1 / ROOT_2, 0.5))]
    single = gem_vector(maps[0], p)
    # msp: the learned exponent, as there are several scales and no whitening inside.
    several = np.mean([gem_vector(one, p) ** p for one in maps], axis=0) ** (1 / p)
    several /= np.linalg.norm(several)
    plain = np.mean([gem_vector(one, p) for one in maps], axis=0)
    assert np.abs(several - plain / np.linalg.norm(plain)).max() > 1e-4  # msp matters here

    def whitened(columns: NDArray[np.float64], kind: str, dim: int | None = None) -> Any:
        return unit(lw[kind]["P"][:dim] @ (columns - lw[kind]["m"]))

    for spec, expected in (
        (name, whitened(several, "ms")),
        (f"{name}:scales=1", whitened(single, "ss")),
        (f"{name}:whitening=none", several),
        (f"{name}:whitening=none,scales=1", single),
        (f"{name}:dim=128", whitened(several, "ms", 128)),
    ):
        made = extractor(spec, path)
        agree(made.extract(photo()).vectors, expected)
        assert made.dim == expected.shape[0]
        assert made.weights_identity()["source"] == f"file:{path}"


def test_gem_vgg16_equals_cirtorchs_arithmetic(tmp_path: Path) -> None:
    check_gem(tmp_path, "gem-vgg16", "vgg16")


@pytest.mark.slow
def test_gem_resnet101_equals_cirtorchs_arithmetic(tmp_path: Path) -> None:
    check_gem(tmp_path, "gem-resnet101", "resnet101")


def saved_tl(folder: Path, architecture: str) -> tuple[nn.Module, nn.Linear, Path]:
    """A random checkpoint as published, whitening inside; p = 3.2."""
    model = random_model(architecture)
    whiten = nn.Linear(2048, 2048)
    state = published_names(model)
    state["pool.p"] = torch.tensor([3.2])
    state["whiten.weight"], state["whiten.bias"] = whiten.weight.data, whiten.bias.data
    path = folder / f"gl18-tl-{architecture}-gem-w.pth"
    torch.save({"state_dict": state, "meta": meta(architecture, True)}, path)
    return model, whiten, path


def inside(maps: list[Tensor], whiten: nn.Linear, p: float) -> NDArray[np.float64]:
    """GeM, L2, whitening layer, L2 per scale; mean over the scales (msp = 1), L2."""
    weight, bias = whiten.weight.detach().double(), whiten.bias.detach().double()
    columns = [unit(weight.numpy() @ gem_vector(one, p) + bias.numpy()[:, None]) for one in maps]
    mean = np.mean(columns, axis=0)
    return mean / np.linalg.norm(mean)


def check_tl(folder: Path, architecture: str) -> None:
    model, whiten, path = saved_tl(folder, architecture)
    p = float(torch.tensor(3.2))
    with torch.inference_mode():
        maps = [conv_map(model, one) for one in by_scale(pixels(), (1, ROOT_2, 1 / ROOT_2))]
    name = f"gem-tl-{architecture}"
    agree(extractor(name, path).extract(photo()).vectors, inside(maps, whiten, p))
    single = extractor(f"{name}:scales=1,checkpoint=sfm120k", path)
    agree(single.extract(photo()).vectors, inside(maps[:1], whiten, p))


def test_gem_tl_resnet50_equals_cirtorchs_arithmetic(tmp_path: Path) -> None:
    check_tl(tmp_path, "resnet50")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet101", "resnet152"])
def test_larger_gem_tl_equal_cirtorchs_arithmetic(tmp_path: Path, architecture: str) -> None:
    check_tl(tmp_path, architecture)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    _, said, path = saved_gem(tmp_path, "vgg16")
    content = {"state_dict": checkpoints.read(path).state, "meta": said}

    def refused(spec: str, match: str) -> None:
        torch.save(content, path)
        with pytest.raises(PlaygroundError, match=match) as caught:
            extractor(spec, path).check_file(path)  # type: ignore[attr-defined]
        assert path.name in str(caught.value)

    extractor("gem-vgg16", path).check_file(path)  # type: ignore[attr-defined]
    refused("gem-tl-resnet50", "needs a resnet50 with pooling gem")
    refused("solar", "needs a resnet101 with pooling gem")
    removed = content["state_dict"].pop("features.0.weight")
    refused("gem-vgg16", r"missing: features\.0\.weight")
    content["state_dict"]["features.0.weight"] = removed[:, :1]
    refused("gem-vgg16", r"features\.0\.weight \(64, 1, 3, 3\) instead of \(64, 3, 3, 3\)")
    content["state_dict"]["features.0.weight"] = removed
    del said["Lw"]["retrieval-SfM-120k"]["ss"]
    refused("gem-vgg16:scales=1", "whitening=none")
    said["Lw"] = random_lw(256)
    refused("gem-vgg16", r"\(512, 512\)")
    content["state_dict"]["pool.p"] = torch.tensor([-1.0])
    refused("gem-vgg16", "exponent")


# SOLAR


def attention_by_loops(block: SoaBlock, x: Tensor) -> NDArray[np.float64]:
    """Second-order attention, place by place, in numpy."""

    def conv(layer: nn.Conv2d, value: NDArray[np.float64]) -> NDArray[np.float64]:
        weight = layer.weight.detach().double().numpy()[:, :, 0, 0]
        return weight @ value + layer.bias.detach().double().numpy()[:, None]

    def norm_relu(layers: nn.Sequential, value: NDArray[np.float64]) -> NDArray[np.float64]:
        norm = layers[1]
        mean, var, gain, shift = (
            t.detach().double().numpy()[:, None]
            for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        out = (conv(layers[0], value) - mean) / np.sqrt(var + norm.eps) * gain + shift
        return np.maximum(out, 0)

    flat = x[0].double().numpy().reshape(x.shape[1], -1)
    f, g, h = norm_relu(block.f, flat), norm_relu(block.g, flat), conv(block.h, flat)
    places = flat.shape[1]
    mixed = np.zeros_like(h)
    for i in range(places):
        scores = np.array([f[:, i] @ g[:, j] for j in range(places)]) * len(f) ** -0.5
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        for j in range(places):
            mixed[:, i] += weights[j] * h[:, j]
    return (flat + conv(block.v, mixed)).reshape(x.shape[1:])


def random_block(channels: int, k: int) -> SoaBlock:
    torch.manual_seed(5)
    block = SoaBlock(channels, k).eval()
    for layer in block.modules():
        if isinstance(layer, nn.BatchNorm2d):
            shake(layer)
    nn.init.normal_(block.v.weight, 0, 0.3)
    return block


def test_soa_block_equals_plain_loops() -> None:
    block = random_block(16, 2)
    x = torch.randn(1, 16, 4, 5) * 2
    with torch.inference_mode():
        ours = block(x)[0].double().numpy()
    expected = attention_by_loops(block, x)
    assert np.abs(ours - expected).max() < 1e-4
    assert np.abs(expected - x[0].numpy()).max() > 0.1


def test_a_new_soa_block_is_the_identity() -> None:
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(SoaBlock(16, 4).eval()(x), x)


def test_soa_block_is_the_same_in_every_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    block = random_block(16, 2)
    torch.manual_seed(6)
    module = nn.Sequential(nn.Conv2d(3, 16, 3, stride=4), block).eval()
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "openvino")
    network = Network(module)
    for size in ((40, 60), (72, 36)):  # shapes other than the one it was compiled with
        x = torch.randn(1, 3, *size)
        with torch.inference_mode():
            expected = module(x)
        cosine = F.cosine_similarity(network(x).flatten(), expected.flatten(), dim=0)
        assert float(cosine) > 0.999


def saved_solar(folder: Path) -> tuple[nn.Module, dict[str, SoaBlock], nn.Linear, Path]:
    model = random_model("resnet101")
    state: dict[str, Tensor] = OrderedDict()
    for key, value in model.state_dict().items():
        first, _, rest = key.partition(".")
        if first in SOLAR_STAGES:
            state[f"features.{SOLAR_STAGES[first]}.{rest}"] = value
    blocks = {"soa4": random_block(1024, 4), "soa5": random_block(2048, 2)}
    for name, block in blocks.items():
        nn.init.normal_(block.v.weight, 0, 0.02)
        state.update({f"features.{name}.{k}": v for k, v in block.state_dict().items()})
        state[f"features.{name}.gamma"] = torch.zeros(1)
    whiten = nn.Linear(2048, 2048)
    state["pool.p"] = torch.tensor([3.0])
    state["whiten.weight"], state["whiten.bias"] = whiten.weight.data, whiten.bias.data
    path = folder / "resnet101-solar-best.pth"
    said = meta("resnet101", True, soa=True, soa_layers="45")
    torch.save({"state_dict": state, "meta": said}, path)
    return model, blocks, whiten, path


@pytest.mark.slow
def test_solar_equals_the_published_arithmetic(tmp_path: Path) -> None:
    model, blocks, whiten, path = saved_solar(tmp_path)

    def plain(block: SoaBlock, x: Tensor) -> Tensor:
        return torch.from_numpy(attention_by_loops(block, x)).float()[None]

    maps = []
    with torch.inference_mode():
        for x in by_scale(pixels(), (1, ROOT_2, 1 / ROOT_2)):
            x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
            x = plain(blocks["soa4"], model.layer3(model.layer2(model.layer1(x))))
            maps.append(plain(blocks["soa5"], model.layer4(x)))
    agree(extractor("solar", path).extract(photo()).vectors, inside(maps, whiten, 3.0))
    assert registry.create("solar", weights=f"file:{path}").check_file(path) is None  # type: ignore[attr-defined]
    content = torch.load(path, weights_only=True)
    content["meta"]["soa_layers"] = "5"
    torch.save(content, path)
    with pytest.raises(PlaygroundError, match="attention at the layers"):
        extractor("solar", path).load()


def test_solar_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        made = registry.create("solar", weights="untrained").make_network()  # type: ignore[attr-defined]
        resnet = torchvision.models.resnet101(weights=None)
    shapes = {k: tuple(v.shape) for k, v in made.state_dict().items()}
    for key, value in resnet.state_dict().items():
        first, _, rest = key.partition(".")
        if first in SOLAR_STAGES:
            assert shapes.pop(f"features.{SOLAR_STAGES[first]}.{rest}") == tuple(value.shape)
    for block, channels, middle in (("soa4", 1024, 256), ("soa5", 2048, 1024)):
        for letter in "fg":
            prefix = f"features.{block}.{letter}"
            assert shapes.pop(f"{prefix}.0.weight") == (middle, channels, 1, 1)
            assert shapes.pop(f"{prefix}.0.bias") == (middle,)
            for one in ("weight", "bias", "running_mean", "running_var"):
                assert shapes.pop(f"{prefix}.1.{one}") == (middle,)
            assert shapes.pop(f"{prefix}.1.num_batches_tracked") == ()
        assert shapes.pop(f"features.{block}.h.weight") == (middle, channels, 1, 1)
        assert shapes.pop(f"features.{block}.v.weight") == (channels, middle, 1, 1)
        assert shapes.pop(f"features.{block}.h.bias") == (middle,)
        assert shapes.pop(f"features.{block}.v.bias") == (channels,)
    assert shapes == {"pool.p": (1,), "whiten.weight": (2048, 2048), "whiten.bias": (2048,)}


def test_solar_refuses_photos_that_attention_cannot_hold() -> None:
    with pytest.raises(PlaygroundError, match="at most 1536"):
        registry.create("solar:image_size=2048")


# SIR and neural codes


@pytest.mark.slow
def test_sir_equals_torchvisions_forward(tmp_path: Path) -> None:
    model = random_model("resnet152", num_classes=1024)
    path = tmp_path / "sir.pth"
    torch.save(model.state_dict(), path)
    with torch.inference_mode():
        expected = model(pixels()).double().numpy().T
    agree(extractor("sir", path).extract(photo()).vectors, unit(expected))
    torch.save(random_model("resnet152").state_dict(), path)
    with pytest.raises(PlaygroundError, match=r"fc\.weight \(1000, 2048\) instead of \(1024, 2048"):
        extractor("sir", path).load()


@pytest.mark.slow
def test_sir_takes_imagenets_trunk_under_a_random_projection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("resnet152")
    path = tmp_path / "resnet152.pth"
    torch.save(model.state_dict(), path)
    found = Weights("resnet152", "imagenet", path, "0" * 64)
    monkeypatch.setattr("extractors.sir.resolve", lambda network, source: found)
    made = registry.create("sir", weights="imagenet")
    assert made.weights_identity()["source"] == "imagenet+untrained"
    vectors = made.extract(photo()).vectors
    with torch.inference_mode():
        pooled = conv_map(model, pixels()).mean(dim=(2, 3))
        expected = made._fc(pooled)  # type: ignore[attr-defined]
    agree(vectors, unit(expected.double().numpy().T))


@pytest.mark.parametrize(("layer", "last"), [("fc6", 2), ("fc7", 5)])
def test_neural_codes_are_torchvisions_activations(tmp_path: Path, layer: str, last: int) -> None:
    model = random_model("alexnet")
    path = tmp_path / "alexnet.pth"
    torch.save(model.state_dict(), path)
    kept = {}
    model.classifier[last].register_forward_hook(lambda m, i, o: kept.update(code=o))
    small = cv2.resize(photo(), (224, 224), interpolation=cv2.INTER_AREA)
    x = torch.from_numpy(small.transpose(2, 0, 1).copy()).float()[None] / 255
    x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.inference_mode():
        model(x)
    made = extractor(f"neural-codes:layer={layer}", path)
    vectors = made.extract(photo()).vectors
    agree(vectors, unit(kept["code"].double().numpy().T))
    assert (vectors >= 0).all()
    assert made.dim == 4096


# Registry


def test_all_stays_the_basic_six() -> None:
    assert registry.names() == ["hog", "gem-siamese", "resnet50", "delf", "bovw", "vgg16"]
    assert registry.expand("all") == registry.names()
    assert not set(registry.FURTHER.keys()) & set(registry.names())
    assert set(PUBLISHED) <= set(registry.FURTHER.keys())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_further_method_is_complete(name: str) -> None:
    made = registry.create(name, weights="untrained")
    card = registry.card(name)
    assert made.name == name
    assert set(card.parameters) == {field.name for field in dataclasses.fields(made.config)}
    assert all(vars(card).values())
    assert card.formula.count("{") == card.formula.count("}")
    assert registry.canonical(name) == name
    assert made.weights_identity()["source"] == "untrained"
    assert registry.create(registry.canonical(name), weights="untrained").dim == made.dim


@pytest.mark.parametrize(
    ("spec", "command"),
    [
        ("neural-codes", "download alexnet"),
        ("gem-vgg16", "download gem-vgg16"),
        ("gem-resnet101", "download gem-resnet101"),
        ("gem-tl-resnet50", "download gl18-tl-resnet50"),
        ("gem-tl-resnet101:checkpoint=sfm120k", "download sfm120k-tl-resnet101"),
        ("gem-tl-resnet152", "download gl18-tl-resnet152"),
        ("solar", "import solar FILE"),
        ("sir", "import sir FILE"),
    ],
)
def test_a_missing_checkpoint_is_told_with_the_command(spec: str, command: str) -> None:
    made = registry.create(spec)  # no work, no refusal yet
    for use in (made.identity, lambda: made.extract(photo())):
        with pytest.raises(PlaygroundError, match=f"python -m scripts.weights {command}"):
            use()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gem-vgg16:dim=513", "1 to 512"),
        ("gem-vgg16:whitening=none,dim=3", "needs the whitening"),
        ("gem-vgg16:whitening=pca", "lw, none"),
        ("gem-tl-resnet50:checkpoint=places", "gl18, sfm120k"),
        ("gem-resnet101:scales=9", "0.1 to 2"),
        ("sir:image_size=5", "32 to"),
        ("neural-codes:layer=fc8", "fc6, fc7"),
    ],
)
def test_what_is_not_possible_is_refused(spec: str, said: str) -> None:
    with pytest.raises(PlaygroundError, match=said):
        registry.create(spec)


@pytest.mark.parametrize("spec", ["neural-codes", "gem-vgg16"])
def test_untrained_networks_work_when_asked_for(spec: str) -> None:
    made = registry.create(spec, weights="untrained")
    vectors = made.extract(photo()).vectors
    assert vectors.shape == (1, made.dim)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-4)
