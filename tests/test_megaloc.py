"""MegaLoc: its aggregation against the formula in plain loops, its positions, its checkpoints.

The network is made small; the true shapes are checked without the memory that they would take.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from data.errors import PlaygroundError
from data.paths import weights_root
from extractors import downloads, megaloc, registry, weights


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "torch")
    monkeypatch.setattr("extractors.runtime.cpu_has_bfloat16", lambda: False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"CLUSTERS": 4, "CLUSTER_DIM": 6, "TOKEN_DIM": 5, "HIDDEN": 8, "DIM": 16}
    for name, value in {**sizes, "TRUNK": "vit_small_patch14_dinov2"}.items():
        monkeypatch.setattr(megaloc, name, value)


def make(spec: str = "megaloc", source: str = "untrained") -> megaloc.MegaLoc:
    made = registry.create(spec, weights=source)
    assert isinstance(made, megaloc.MegaLoc)
    return made


def photo(height: int = 90, width: int = 120) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain_transport(scores: np.ndarray, bin_score: float) -> np.ndarray:
    """Sinkhorn without logarithms, in loops: (m, n) -> (m, n)."""
    m, n = scores.shape
    kernel = np.exp(np.vstack([scores, np.full((1, n), bin_score)]))
    rows = np.full(m + 1, 1 / (n + m))
    rows[m] = (n - m) / (n + m)
    a, b = np.ones(m + 1), np.ones(n)
    for _ in range(3):
        a = rows / (kernel @ b)
        b = (1 / (n + m)) / (kernel.T @ a)
    return (kernel * np.outer(a, b) * (n + m))[:m]


def test_transport_is_sinkhorns() -> None:
    scores = torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(1))
    shares = megaloc.transport(scores, torch.tensor(0.3))
    for one, got in zip(scores, shares, strict=True):
        expected = plain_transport(one.double().numpy(), 0.3)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4)
    assert (shares.sum(dim=1) < 1).all()  # the rest of each patch is in the bin


@pytest.mark.usefixtures("small")
def test_the_aggregation_is_the_formula() -> None:
    torch.manual_seed(4)
    part = megaloc._Aggregator(7).eval()
    tokens = torch.randn(1, 1 + 12, 7)

    def mlp(layers: torch.nn.Module, x: np.ndarray) -> np.ndarray:
        first, last = layers[0], layers[-1]  # type: ignore[index]
        w1, w2 = (layer.weight.detach().double().numpy() for layer in (first, last))
        b1, b2 = (layer.bias.detach().double().numpy() for layer in (first, last))
        hidden = np.maximum(w1.reshape(w1.shape[0], -1) @ x + b1, 0)
        return w2.reshape(w2.shape[0], -1) @ hidden + b2

    x = tokens[0].double().numpy()
    features = np.stack([mlp(part.agg.cluster_features, patch) for patch in x[1:]])  # (n, l)
    scores = np.stack([mlp(part.agg.score, patch) for patch in x[1:]], axis=1)  # (m, n)
    shares = plain_transport(scores, 1.0)
    table = np.zeros((6, 4))
    for cluster in range(4):
        for patch in range(12):
            table[:, cluster] += shares[cluster, patch] * features[patch]
    table /= np.linalg.norm(table, axis=0)
    scene = mlp(part.agg.token_features, x[0])
    joined = np.concatenate([scene / np.linalg.norm(scene), table.ravel()])
    joined /= np.linalg.norm(joined)
    linear = part.linear.weight.detach().double().numpy() @ joined
    with torch.inference_mode():
        got = part(tokens)[0].numpy()
    np.testing.assert_allclose(got, linear + part.linear.bias.detach().numpy(), atol=1e-5)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_photo_becomes_one_unit_vector(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make("megaloc:image_size=56").extract(photo()).vectors
    if runtime == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("PLAYGROUND_RUNTIME", runtime)
    made = make("megaloc:image_size=56")
    assert made.prepare(photo(), (10, 20, 90, 60)).pixels.shape == (56, 56, 3)
    vectors = made.extract(photo()).vectors
    assert vectors.shape == (1, made.dim) == (1, 16)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-4)
    assert float(vectors[0] @ expected[0]) >= 0.999
    assert made.runtime().startswith(runtime)


def test_positions_are_resampled_as_dinov2_does() -> None:
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0).eval()
    before = torch.randn(model.pos_embed.shape, generator=torch.Generator().manual_seed(2))
    model.pos_embed.data = before
    megaloc._set_side(model, 518)
    assert torch.equal(model.pos_embed, before)
    megaloc._set_side(model, 322)
    grid = before[:, 1:].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, scale_factor=(23.1 / 37, 23.1 / 37), mode="bicubic")
    assert expected.shape[2:] == (23, 23)
    torch.testing.assert_close(model.pos_embed[:, :1], before[:, :1])
    torch.testing.assert_close(model.pos_embed[:, 1:], expected.flatten(2).transpose(1, 2))
    with torch.inference_mode():
        assert model.forward_features(torch.zeros(1, 3, 322, 322)).shape == (1, 1 + 23 * 23, 384)


@pytest.mark.parametrize("side", range(126, 1037, 14))
def test_every_side_gives_its_grid(side: int) -> None:
    """The offset must not round a grid to another size."""
    grid = torch.zeros(1, 1, 37, 37)
    scale = (side // 14 + megaloc._OFFSET) / 37
    assert F.interpolate(grid, scale_factor=(scale, scale)).shape[2:] == (side // 14, side // 14)


def names(first_release: bool) -> dict[str, Tensor]:
    """The names of a small published checkpoint, with random content."""
    torch.manual_seed(5)
    state = megaloc._MegaLocParts().state_dict()
    if first_release:
        state = {k.replace("backbone.", "backbone.model."): v for k, v in state.items()}
        state["backbone.model.mask_token"] = torch.zeros(1, 384)
    return {k: v.clone() for k, v in state.items()}


@pytest.mark.usefixtures("small")
def test_both_releases_are_read(tmp_path: Path) -> None:
    newer, older = tmp_path / "model.safetensors", tmp_path / "megaloc.torch"
    safetensors.torch.save_file(names(False), newer)
    torch.save(names(True), older)
    vectors = [
        make("megaloc:image_size=56", f"file:{path}").extract(photo()).vectors
        for path in (newer, older)
    ]
    np.testing.assert_array_equal(*vectors)
    untrained = make("megaloc:image_size=56").extract(photo()).vectors
    assert np.abs(untrained - vectors[0]).max() > 1e-3
    (row,) = downloads.called("megaloc")
    path = downloads.import_file(row, newer)
    assert path == weights_root() / "megaloc.safetensors"
    assert (weights_root() / "megaloc.sha256").is_file()
    assert make(source="auto").weights_identity()["source"] == "published"
    path.write_bytes(path.read_bytes()[:-4] + b"\1\1\1\1")
    with pytest.raises(PlaygroundError, match="damaged or was replaced"):
        make(source="auto").identity()
    with pytest.raises(PlaygroundError, match="does not fit the network"):
        state = names(False)
        state.pop("aggregator.agg.dust_bin")
        safetensors.torch.save_file(state, newer)
        downloads.import_file(row, newer)


def test_the_true_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in megaloc._MegaLocParts().state_dict().items()}
    assert shapes["backbone.pos_embed"] == (1, 1370, 768)
    assert shapes["backbone.blocks.11.ls2.gamma"] == (768,)
    assert shapes["aggregator.agg.cluster_features.3.weight"] == (256, 512, 1, 1)
    assert shapes["aggregator.agg.score.3.bias"] == (64,)
    assert shapes["aggregator.agg.dust_bin"] == ()
    assert shapes["aggregator.linear.weight"] == (8448, 64 * 256 + 256)


def test_the_method_is_complete() -> None:
    made, card = make(), registry.card("megaloc")
    assert set(card.parameters) == {f.name for f in dataclasses.fields(made.config)}
    assert all(vars(card).values())
    assert card.formula.count("{") == card.formula.count("}")
    assert made.dim == 8448
    assert made.image_size == 322
    assert weights.known("megaloc")[0].url.startswith("https://huggingface.co/gberton/MegaLoc/")
    with pytest.raises(PlaygroundError, match=r"python -m scripts\.weights download megaloc"):
        make(source="auto").identity()


@pytest.mark.parametrize(("size", "said"), [(100, "multiples of 14"), (112, "from 126"), (5, "32")])
def test_sides_that_are_not_possible_are_refused(size: int, said: str) -> None:
    with pytest.raises(PlaygroundError, match=said):
        make(f"megaloc:image_size={size}")
