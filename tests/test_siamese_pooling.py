"""The siamese network's heads: poolings, R-MAC with whitened regions; trained, stored, served."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from data.errors import PlaygroundError
from extractors import registry, trunks
from extractors.modules import GeM, SiameseNetwork
from extractors.pooling import POOLINGS, r_mac_regions
from extractors.training.export import card_of, save_weights
from extractors.weights import resolve

HEADS = [*((kind, False) for kind in POOLINGS), ("mac", True), ("gem", True)]


def unit(x: np.ndarray) -> np.ndarray:
    return x / (np.linalg.norm(x) + 1e-6)


def by_hand(
    cells: np.ndarray, kind: str, regional: bool, p: float, w: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """(C, H, W) -> (d,), in double precision."""
    height, width = cells.shape[1:]
    regions = [(0, 0, width, height), *((x, y, s, s) for x, y, s in r_mac_regions(width, height))]

    def pooled(part: np.ndarray, how: str) -> np.ndarray:
        flat = part.reshape(len(part), -1)
        if how == "gem":
            return (np.maximum(flat, 1e-6) ** p).mean(axis=1) ** (1 / p)
        return flat.max(axis=1) if how == "mac" else flat.mean(axis=1)

    parts = [cells[:, y : y + h, x : x + w_] for x, y, w_, h in regions]
    if regional:
        return unit(sum(unit(w @ unit(pooled(part, kind)) + b) for part in parts))
    if kind == "rmac":
        return unit(w @ unit(sum(unit(pooled(part, "mac")) for part in parts)) + b)
    return unit(w @ unit(pooled(cells, kind)) + b)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution in VGG16's place."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 12, 3, 8), nn.ReLU())

    monkeypatch.setitem(trunks.TRUNKS, "vgg16", trunks.Trunk(12, 8, build))


def saved(folder: Path, kind: str, regional: bool) -> tuple[SiameseNetwork, Path]:
    """The tiny trunk with such a head, random and stored as training stores it."""
    trunk = trunks.trunk("vgg16", resolve("vgg16", "untrained"))
    torch.manual_seed(1)
    network = SiameseNetwork(trunk, 12, 6, kind, regional)
    with torch.no_grad():
        network.whiten.bias.uniform_(-0.1, 0.1)
        for exponent in network.pool.parameters():
            exponent.fill_(2.5)
    recipe = {"seed": 0, "pooling": kind, "regional": regional}
    if (kind, regional) == ("gem", False):
        recipe = {"seed": 0}  # as it was before there were others
    card = card_of("a test", recipe, [], 1.0, "cpu", {"command": "c", "commit": "d"}, "nothing.")
    path = folder / "head.safetensors"
    save_weights(path, network.state_dict(), card)
    return network.eval(), path


def spec(kind: str, regional: bool) -> str:
    return f"gem-siamese:trunk=vgg16,dim=6,scales=1.0,pooling={kind},regional={regional}".lower()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("kind", "regional"), HEADS)
def test_a_stored_head_is_served_and_is_the_formula(
    tmp_path: Path, kind: str, regional: bool
) -> None:
    network, path = saved(tmp_path, kind, regional)
    photo = np.random.default_rng(0).integers(0, 256, (96, 144, 3), dtype=np.uint8)
    made = registry.create(spec(kind, regional), weights=f"file:{path}")
    found = made.extract(photo).vectors[0]
    x = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (trunks.MEAN, trunks.STD))
        cells = network.trunk((x - mean) / std)
        trained = network.head(cells)[0].numpy()
    w, b = (t.detach().double().numpy() for t in (network.whiten.weight, network.whiten.bias))
    expected = by_hand(cells[0].double().numpy(), kind, regional, 2.5, w, b)
    np.testing.assert_allclose(trained, expected, atol=1e-5)
    assert found @ expected > 0.999  # stored in half precision, and the runtime's own
    others = {other for other in HEADS if other != (kind, regional)}
    for other in sorted(others)[:2]:
        with pytest.raises(PlaygroundError, match=f"Use gem-siamese:pooling={kind}"):
            registry.create(spec(*other), weights=f"file:{path}").extract(photo)


def test_what_was_built_before_there_was_a_choice_stays_valid() -> None:
    plain = registry.create("gem-siamese", weights="untrained").identity()
    assert set(plain["config"]) == {"image_size", "scales", "dim", "loss", "trunk"}
    assert "r_mac_rule" not in plain
    made = registry.create("gem-siamese:pooling=mac,regional=true", weights="untrained")
    assert made.identity()["config"]["pooling"] == "mac"
    assert made.identity()["config"]["regional"] is True and "r_mac_rule" in made.identity()
    assert made.network_key()["config"]["regional"] is True


@pytest.mark.parametrize(
    ("wrong", "legal"),
    [
        ("pooling=max", "Legal: gem, mac, spoc, rmac"),
        ("pooling=rmac,regional=true", "Legal: pooling=mac with regional=true"),
    ],
)
def test_heads_that_are_not_possible_are_refused(wrong: str, legal: str) -> None:
    with pytest.raises(PlaygroundError, match=legal):
        registry.create(f"gem-siamese:{wrong}")


def test_a_uniform_map_is_the_same_to_every_head() -> None:
    """Every region of a map of one value pools to it, so that only the whitening counts."""
    x = torch.full((1, 3, 7, 5), 2.0)
    vectors = []
    for kind, regional in HEADS:
        torch.manual_seed(0)
        network = SiameseNetwork(nn.Identity(), 3, 3, kind, regional)
        vectors.append(network.head(x).detach())
    for vector in vectors[1:]:
        assert torch.allclose(vector, vectors[0], atol=1e-5)


def test_gem_alone_has_an_exponent() -> None:
    names = {
        kind: list(SiameseNetwork(nn.Identity(), 4, 2, kind).state_dict()) for kind in POOLINGS
    }
    whiten = ["whiten.weight", "whiten.bias"]
    assert names == {"gem": ["pool.p", *whiten], "mac": whiten, "spoc": whiten, "rmac": whiten}
    assert isinstance(SiameseNetwork(nn.Identity(), 4, 2).pool, GeM)


@pytest.mark.usefixtures("tiny")
def test_a_head_of_another_pooling_is_none_to_start_from(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_metric_learning")
    from extractors.training import siamese

    _, path = saved(tmp_path, "mac", False)
    config = siamese.SiameseConfig(network="vgg16", dim=6, pooling="rmac", head=f"file:{path}")
    network = SiameseNetwork(nn.Identity(), 12, 6, "rmac")
    training = object.__new__(siamese._Training)
    training.config = config
    training.model = type("Model", (), {"network": network})()
    with pytest.raises(PlaygroundError, match="with pooling=rmac"):
        training.start_from(siamese._head_weights(config))
    training.config = dataclasses.replace(config, pooling="mac")
    training.model.network = SiameseNetwork(nn.Identity(), 12, 6, "mac")
    training.start_from(siamese._head_weights(config))
