"""Regions, local whitening, CroW, class activations, VLAD, NetVLAD and Fisher: other formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors import cam, crow, netvlad, registry
from extractors.aggregated import principal_components
from extractors.base import Extractor
from extractors.pooling import r_mac_regions
from extractors.sift import root_sift


@pytest.fixture(autouse=True)
def _fp32(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "torch")
    monkeypatch.setattr("extractors.runtime.cpu_has_bfloat16", lambda: False)


def photo(seed: int = 0, height: int = 90, width: int = 120) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(6, axis=0).repeat(6, axis=1))


def unit(x: NDArray[Any]) -> NDArray[Any]:
    return x / (np.linalg.norm(x) + 1e-6)


def feature_map(seed: int = 0, shape: tuple[int, ...] = (5, 4, 7)) -> NDArray[np.float64]:
    x = np.random.default_rng(seed).normal(size=shape)
    return np.maximum(x, 0)


# CroW


def by_hand_crow(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The authors' two functions, place by place and channel by channel."""
    channels, height, width = x.shape
    total = sum(x[c] for c in range(channels))
    norm = math.sqrt(sum(value**2 for value in total.ravel()))
    answered = [np.count_nonzero(x[c]) / (height * width) for c in range(channels)]
    out = []
    for c in range(channels):
        weight = math.log(sum(answered) / answered[c]) if answered[c] else 0.0
        value = sum(
            math.sqrt(total[i, j] / norm) * x[c, i, j] for i in range(height) for j in range(width)
        )
        out.append(weight * value)
    return np.array(out)


def test_crow_against_its_formula() -> None:
    x = feature_map()
    x[3] = 0  # a channel that never answers
    found = crow.crow(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(found, by_hand_crow(x), atol=1e-9)
    assert found[3] == 0
    assert not crow.crow(torch.zeros(1, 5, 4, 7)).isnan().any()


def test_crow_extractor_has_unit_vectors_and_names_what_is_legal() -> None:
    made = registry.create("crow:image_size=96", weights="untrained")
    vectors = made.extract(photo()).vectors
    assert vectors.shape == (1, 512) == (1, made.dim)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-4)
    for spec in ("crow:trunk=alexnet", "crow:image_size=7"):
        with pytest.raises(PlaygroundError, match="Legal"):
            registry.create(spec)


def test_crow_s_cells_add_up_to_the_score() -> None:
    made: Any = registry.create("crow:image_size=96", weights="untrained")
    prepared = made.prepare(photo())
    direction = made.extract(photo(1)).vectors[0]
    given = made.trace(prepared, direction)
    score = float(made.describe(prepared)["vectors"][0] @ direction)
    assert sum(float(one.sum()) for one in given) == pytest.approx(score, abs=1e-5)


# Class activations


def test_class_weighting_against_its_formula() -> None:
    x = feature_map(1)
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(6, 5)), rng.normal(size=6)
    channel = np.array(
        [
            math.log(sum(np.count_nonzero(m) for m in x) / np.count_nonzero(x[c]))
            for c in range(len(x))
        ]
    )
    scores = weight @ x.mean(axis=(1, 2)) + bias
    expected = np.zeros(5)
    for k in sorted(range(6), key=lambda k: -scores[k])[:3]:
        activation = np.maximum(0, sum(weight[k, c] * x[c] for c in range(5)))
        activation = activation / activation.max() if activation.max() else activation
        expected += unit(channel * (x * activation).sum(axis=(1, 2)))
    found = cam.weighted(
        torch.from_numpy(x)[None], torch.from_numpy(weight), torch.from_numpy(bias), 3
    )
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-9)


def test_class_weighting_needs_a_classifier(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(home / "none"))
    with pytest.raises(PlaygroundError, match="imagenet weights of resnet50"):
        registry.create("cam").extract(photo())
    made = registry.create("cam:image_size=96,classes=4", weights="untrained")
    vectors = made.extract(photo()).vectors
    assert vectors.shape == (1, 2048)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-4)
    with pytest.raises(PlaygroundError, match="1 to 1000"):
        registry.create("cam:classes=0")


# VLAD and NetVLAD


def fitted(spec: str, photos: int = 4) -> tuple[Extractor, list[dict[str, Any]]]:
    made = registry.create(
        spec, **({} if spec[:4] in ("vlad", "fish") else {"weights": "untrained"})
    )
    raws = [made.describe(made.prepare(photo(seed))) for seed in range(photos)]
    made.fit(iter(raws))
    return made, raws


def test_vlad_against_its_formula() -> None:
    made, raws = fitted("vlad:clusters=5,max_keypoints=60")
    centres = made.state()["centres"].astype(np.float64)
    features = root_sift(raws[1]["descriptors"]).astype(np.float64)
    sums = np.zeros((5, 128))
    for x in features:
        nearest = min(range(5), key=lambda k: ((x - centres[k]) ** 2).sum())
        sums[nearest] += x - centres[nearest]
    sums = np.array([row / np.linalg.norm(row) if row.any() else row for row in sums])
    found = made.encode(raws[1]).vectors
    assert found.shape == (1, 640) == (1, made.dim)
    np.testing.assert_allclose(found[0], unit(sums.ravel()), atol=1e-5)


def test_netvlad_against_its_formula() -> None:
    made, raws = fitted("netvlad:clusters=4,dim=0,image_size=96")
    state = made.state()
    centres, alpha = state["centres"].astype(np.float64), float(state["alpha"][0])
    cells = raws[2]["cells"].astype(np.float64)
    cells /= np.linalg.norm(cells, axis=1, keepdims=True)
    sums = np.zeros_like(centres)
    for x in cells:
        weights = [math.exp(-alpha * ((x - c) ** 2).sum()) for c in centres]
        for k, weight in enumerate(weights):
            sums[k] += weight / sum(weights) * (x - centres[k])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    found = made.encode(raws[2]).vectors
    assert found.shape == (1, 4 * 512) == (1, made.dim)
    np.testing.assert_allclose(found[0], unit(sums.ravel()), atol=1e-4)


def test_netvlad_s_sharpness_is_that_of_the_authors() -> None:
    made, raws = fitted("netvlad:clusters=4,dim=0,image_size=96")
    cells = np.concatenate([made.local_features(raw) for raw in raws])  # type: ignore[attr-defined]
    near = np.sort(netvlad.squared_distances(cells, made.state()["centres"]), axis=1)
    expected = math.log(100) / float((near[:, 1] - near[:, 0]).mean())
    assert float(made.state()["alpha"][0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "spec", ["vlad:clusters=4", "netvlad:clusters=4,image_size=96,dim=3", "fisher:modes=3"]
)
def test_learned_state_comes_back_and_other_state_is_refused(spec: str) -> None:
    made, raws = fitted(spec)
    again = registry.create(spec, **({} if spec[0] in "vf" else {"weights": "untrained"}))
    with pytest.raises(PlaygroundError, match="yet"):
        again.encode(raws[0])
    again.load_state(made.state())
    assert np.array_equal(again.encode(raws[0]).vectors, made.encode(raws[0]).vectors)
    assert np.linalg.norm(made.encode(raws[0]).vectors) == pytest.approx(1, abs=1e-4)
    repeated = registry.create(spec, **({} if spec[0] in "vf" else {"weights": "untrained"}))
    repeated.fit(iter(raws))
    assert np.array_equal(repeated.encode(raws[0]).vectors, made.encode(raws[0]).vectors)
    for change in ({"centres": np.zeros((2, 3))}, {"means": np.zeros((2, 3))}):
        with pytest.raises(PlaygroundError, match="Build the"):
            again.load_state({**made.state(), **change} if set(change) & set(made.state()) else {})


@pytest.mark.parametrize("spec", ["vlad:clusters=4", "fisher:modes=3"])
def test_a_photo_without_features_has_the_zero_vector(spec: str) -> None:
    made, _ = fitted(spec)
    plain = np.full((60, 60, 3), 128, np.uint8)
    vectors = made.extract(plain).vectors
    assert vectors.shape == (1, made.dim) and not vectors.any()


def test_too_few_features_are_a_sentence() -> None:
    made = registry.create("vlad:clusters=4000")
    raws = [made.describe(made.prepare(photo(0)))]
    with pytest.raises(PlaygroundError, match="vlad:clusters="):
        made.fit(iter(raws))


def test_principal_components_are_those_of_the_covariance() -> None:
    x = np.random.default_rng(0).normal(size=(40, 6)) * [5, 4, 3, 2, 1, 0.5]
    mean, components = principal_components(x.astype(np.float32), 3)
    values, axes = np.linalg.eigh(np.cov(x.T))
    for row, axis in zip(components, axes.T[::-1][:3], strict=True):
        assert abs(float(row @ axis)) == pytest.approx(1, abs=1e-3)
    assert values[0] > 0
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-5)
    assert len(principal_components(x[:3].astype(np.float32), 6)[1]) == 2


# Fisher vectors


def test_fisher_against_its_formula() -> None:
    made, raws = fitted("fisher:modes=3,features=8,max_keypoints=80")
    state = made.state()
    x = (root_sift(raws[0]["descriptors"]) - state["mean"]) @ state["components"].T
    w, mu, var = (state[k].astype(np.float64) for k in ("weights", "means", "covariances"))
    x = x.astype(np.float64)
    density = np.stack(
        [
            w[k] * np.exp(-0.5 * ((x - mu[k]) ** 2 / var[k]).sum(axis=1)) / np.sqrt(var[k].prod())
            for k in range(3)
        ],
        axis=1,
    )
    gamma = density / density.sum(axis=1, keepdims=True)
    g_w = [(gamma[:, k] - w[k]).mean() / math.sqrt(w[k]) for k in range(3)]
    g_mu, g_var = [], []
    for k in range(3):
        z = (x - mu[k]) / np.sqrt(var[k])
        g_mu.append((gamma[:, k, None] * z).mean(axis=0) / math.sqrt(w[k]))
        g_var.append((gamma[:, k, None] * (1 - z**2)).mean(axis=0) / math.sqrt(2 * w[k]))
    fisher = np.concatenate([g_w, np.ravel(g_mu), np.ravel(g_var)])
    expected = unit(np.sign(fisher) * np.sqrt(np.abs(fisher)))
    found = made.encode(raws[0]).vectors
    assert found.shape == (1, 2 * 3 * 8 + 3) == (1, made.dim)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


# cirtorch's regions and local whitening, at the true shapes of a VGG16


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    torch.manual_seed(3)
    trunk = torchvision.models.vgg16(weights=None).features[:-1].eval()
    lwhiten, rwhiten, whiten = (torch.nn.Linear(512, 512) for _ in range(3))
    state = {f"features.{k}": v for k, v in trunk.state_dict().items()}
    for name, layer in (("lwhiten", lwhiten), ("pool.whiten", rwhiten), ("whiten", whiten)):
        state |= {f"{name}.{k}": v for k, v in layer.state_dict().items()}
    state["pool.rpool.p"] = torch.tensor([2.5])
    meta = {
        "architecture": "vgg16",
        "pooling": "gem",
        "regional": True,
        "local_whitening": True,
        "whitening": True,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "outputdim": 512,
    }
    path = tmp_path_factory.mktemp("cirtorch") / "vgg16-lw-gem-r-w.pth"
    torch.save({"state_dict": state, "meta": meta}, path)
    yield (trunk, lwhiten, rwhiten, whiten), path


SPEC = "cirtorch:architecture=vgg16,regional=true,local_whitening=true,whitening=true,scales=1"


def test_regional_gem_with_whitenings(checkpoint: tuple[Any, Path]) -> None:
    (trunk, lwhiten, rwhiten, whiten), path = checkpoint
    made = registry.create(SPEC, weights=f"file:{path}")
    pixels = photo(0, 96, 144)
    with torch.inference_mode():
        x = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float()[None] / 255
        x = (x - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor(
            [0.229, 0.224, 0.225]
        ).view(1, 3, 1, 1)
        cells = trunk(x)[0].numpy().astype(np.float64)

    def linear(layer: Any, v: NDArray[np.float64]) -> NDArray[np.float64]:
        weight, bias = (t.detach().numpy().astype(np.float64) for t in (layer.weight, layer.bias))
        return weight @ v + bias

    height, width = cells.shape[1:]
    cells = np.stack(
        [
            np.stack([linear(lwhiten, cells[:, i, j]) for j in range(width)], axis=1)
            for i in range(height)
        ],
        axis=1,
    )
    total = np.zeros(512)
    for x0, y0, w, h in [
        (0, 0, width, height),
        *((x0, y0, s, s) for x0, y0, s in r_mac_regions(width, height)),
    ]:
        region = np.maximum(cells[:, y0 : y0 + h, x0 : x0 + w], 1e-6)
        pooled = (region**2.5).mean(axis=(1, 2)) ** (1 / 2.5)
        total += unit(linear(rwhiten, unit(pooled)))
    expected = unit(linear(whiten, unit(unit(total))))
    np.testing.assert_allclose(made.extract(pixels).vectors[0], expected, atol=2e-5)


def test_what_is_asked_for_has_to_agree_with_the_checkpoint(checkpoint: tuple[Any, Path]) -> None:
    path = checkpoint[1]
    with pytest.raises(PlaygroundError, match="regional=true"):
        registry.create("cirtorch:architecture=vgg16", weights=f"file:{path}").extract(photo())
    with pytest.raises(PlaygroundError, match="extractor cirtorch"):
        registry.create("gem-vgg16", weights=f"file:{path}").extract(photo())
    with pytest.raises(PlaygroundError, match="--weights file:PATH"):
        registry.create("cirtorch").extract(photo())
    with pytest.raises(PlaygroundError, match="lw=false"):
        registry.create(f"{SPEC},lw=true", weights=f"file:{path}").extract(photo())


@pytest.mark.parametrize("name", ["cirtorch", "crow", "cam", "netvlad", "vlad", "fisher"])
def test_cards_say_formula_paper_cost_and_every_parameter(name: str) -> None:
    card = registry.card(name)
    assert card.formula and card.cost and card.url.startswith("https://")
    fields = set(registry._METHODS.config(name).__dataclass_fields__)
    assert fields == set(card.parameters)
