"""DELF's training on a tiny trunk, and the PCA that comes with its weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

pytest.importorskip("pytorch_metric_learning")

from test_training_siamese import PHOTOS, KilledError

from data.errors import PlaygroundError
from extractors.delf import TAPS, Delf, DelfConfig
from extractors.pooling import l2n
from extractors.training import delf, networks
from extractors.training.export import Shared, card_of, save_weights
from extractors.training.machine import machine
from extractors.training.session import Limits
from extractors.trunks import LITE0
from extractors.weights import Weights
from scripts import train_delf

CHANNELS = TAPS["resnet50"].channels
TINY = delf.DelfTrainingConfig(pixels=32, batch=4, hold_out=0.34, patience=0)
EPOCHS = Limits(epochs=2)
CARD = card_of("a test", {"seed": 0}, [], 1.0, "cpu", {"command": "c", "commit": "d"}, "nothing.")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trunk of the real numbers of channels and hardly any layers."""

    def make(network: str, weights: str) -> tuple[nn.Module, Weights]:
        torch.manual_seed(0)
        block3 = nn.Sequential(nn.Conv2d(3, CHANNELS, 8, 8), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        layer4 = nn.Sequential(nn.Conv2d(CHANNELS, 2048, 1), nn.ReLU())
        return nn.Sequential(block3, layer4), Weights(network, weights, None, "tiny")

    monkeypatch.setattr(delf, "trained_trunk", make)


def trained(
    folder: Path, config: delf.DelfTrainingConfig = TINY, limits: Limits = EPOCHS
) -> dict[str, delf.Progress]:
    with machine("cpu", "fp32") as here:
        both = dict.fromkeys(delf.STAGES, limits)
        return delf.train_delf(config, both, here, folder, PHOTOS, say=lambda _: None)


def checkpoint(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / stage / "checkpoint.safetensors")


def test_held_out_photos_are_of_landmarks_that_are_learned() -> None:
    labels = ["a"] * 5 + ["b"] * 2 + ["c"]
    split = delf.split_photos(labels, 0.2, seed=1)
    assert sorted(labels[i] for i in split.validation) == ["a", "b"]
    assert sorted(labels[i] for i in split.train) == ["a"] * 4 + ["b"]


def test_one_landmark_is_nothing_to_tell_apart() -> None:
    with pytest.raises(PlaygroundError, match=r"two or more landmarks.*there are 1"):
        delf.split_photos(["a", "a", "b"], 0.2, seed=1)


def test_attention_pools_the_weighted_mean_of_unit_features() -> None:
    stage = delf.AttentionClassifier(nn.Identity(), 3)
    features = torch.rand(2, CHANNELS, 2, 3)
    weights = stage.attention(features)
    expected = torch.zeros(2, CHANNELS)
    for row in range(2):
        for column in range(3):
            cell = features[:, :, row, column]
            expected += weights[:, :, row, column] * cell / cell.norm(dim=1, keepdim=True)
    assert torch.allclose(stage.head(features), stage.logits(expected / 6), atol=1e-5)


def test_attention_learns_which_places_tell_landmarks_apart() -> None:
    """Of 9 places one shows the landmark; the others show what is everywhere, and as long."""
    torch.manual_seed(0)
    landmarks = 30 * l2n(torch.rand(4, CHANNELS))
    everywhere = 30 * l2n(torch.rand(8, CHANNELS))
    stage = delf.AttentionClassifier(nn.Identity(), 4)
    optimiser = delf.optimiser_of(stage, delf.DelfTrainingConfig())
    for group in optimiser.param_groups:
        group["lr"] = group["base"]
    for _ in range(100):
        targets = torch.randint(4, (16,))
        places = everywhere[torch.randint(8, (16, 9))]
        places[:, 4] = landmarks[targets]
        features = places.transpose(1, 2).reshape(16, CHANNELS, 3, 3)
        loss = nn.functional.cross_entropy(stage.head(features), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    scores = stage.attention(features).detach().flatten(1)
    assert loss < 0.3  # 1.39 by chance
    assert float(scores[:, 4].min()) > 3 * float(scores[:, [0, 1, 2, 3, 5, 6, 7, 8]].mean())


@pytest.mark.usefixtures("tiny")
def test_attention_is_trained_on_the_frozen_trunk_of_the_first_stage(tmp_path: Path) -> None:
    outcome = trained(tmp_path)
    assert [outcome[stage].ended for stage in delf.STAGES] == ["done", "done"]
    best = safetensors.torch.load_file(tmp_path / "trunk" / delf.BEST)
    result = delf.assembled(tmp_path)
    fresh = delf.trained_trunk("resnet50", "auto")[0].state_dict()
    assert torch.equal(result["trunk.0.0.weight"], best["trunk.0.0.weight"])
    assert not torch.equal(result["trunk.0.0.weight"], fresh["0.0.weight"])
    assert torch.equal(result["trunk.0.1.running_mean"], fresh["0.1.running_mean"])
    assert {name.partition(".")[0] for name in result} == {"trunk", "attention"}
    assert not any(name.startswith("trunk.1.") for name in result)  # layer4 is cut off
    assert all("accuracy" in outcome[stage].extra["best"] for stage in delf.STAGES)


@pytest.mark.usefixtures("tiny")
def test_the_trunk_can_be_kept(tmp_path: Path) -> None:
    outcome = trained(tmp_path, dataclasses.replace(TINY, tune=False), Limits(epochs=1))
    fresh = delf.trained_trunk("resnet50", "auto")[0].state_dict()
    assert list(outcome) == ["attention"]
    assert torch.equal(delf.assembled(tmp_path)["trunk.0.0.weight"], fresh["0.0.weight"])


@pytest.mark.usefixtures("tiny")
def test_killed_in_both_stages_it_ends_like_an_undisturbed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "a", limits=Limits(epochs=1))
    often = Limits(epochs=1, save_minutes=0)
    save = delf.Run.save

    def dying(self: delf.Run, *arguments: object) -> None:
        save(self, *arguments)
        raise KilledError

    monkeypatch.setattr(delf.Run, "save", dying)
    deaths = 0
    while deaths < 20:
        try:
            trained(tmp_path / "b", limits=often)
            break
        except KilledError:
            deaths += 1
    assert 4 <= deaths < 20  # after every checkpoint of both stages
    for stage in delf.STAGES:
        first, second = checkpoint(tmp_path / "a", stage), checkpoint(tmp_path / "b", stage)
        assert all(torch.equal(first[name], second[name]) for name in first)


def pca_file(path: Path, dim: int, channels: int = CHANNELS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mean = rng.normal(size=channels).astype(np.float32)
    components = np.linalg.qr(rng.normal(size=(channels, dim)))[0].T.astype(np.float32)
    tensors = {
        "pca.mean": torch.from_numpy(mean),
        "pca.components": torch.from_numpy(np.ascontiguousarray(components)),
    }
    safetensors.torch.save_file(tensors, path)
    return mean, components


def test_delf_takes_the_pca_of_its_weights_file(tmp_path: Path) -> None:
    mean, components = pca_file(tmp_path / "delf.safetensors", 40)
    extractor = Delf(
        DelfConfig(dim=16, trunk="resnet50"), weights=f"file:{tmp_path / 'delf.safetensors'}"
    )
    extractor.fit([])  # no sample is needed
    state = extractor.state()
    assert np.array_equal(state["mean"], mean)
    assert np.array_equal(state["components"], components[:16])


def test_a_pca_with_too_few_dimensions_is_fitted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(TAPS["resnet50"], channels=64)  # 1024 take a second
    monkeypatch.setitem(TAPS, "resnet50", small)
    _, components = pca_file(tmp_path / "delf.safetensors", 8, channels=64)
    extractor = Delf(
        DelfConfig(dim=16, trunk="resnet50"), weights=f"file:{tmp_path / 'delf.safetensors'}"
    )
    rng = np.random.default_rng(1)
    extractor.fit([{"descriptors": rng.normal(size=(200, 64)).astype(np.float16)}])
    fitted = extractor.state()["components"]
    assert fitted.shape == (16, 64)
    assert not np.allclose(fitted[:8], components)


def test_a_pca_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "delf.safetensors"
    wrong = {"pca.mean": torch.zeros(7), "pca.components": torch.zeros(40, 7)}
    safetensors.torch.save_file(wrong, path)
    with pytest.raises(PlaygroundError, match="expected \\(1024,\\)"):
        Delf(DelfConfig(trunk="resnet50"), weights=f"file:{path}").fit([])


def test_a_head_is_trained_beside_the_packaged_trunk_and_finds_it(tmp_path: Path) -> None:
    """The trunk is kept and left out of the file; extraction puts it back or says why not."""
    config = dataclasses.replace(TINY, network=LITE0, tune=False, dim=4)
    trained(tmp_path, config, Limits(steps=1))
    state = delf.assembled(tmp_path)
    found = delf.trained_trunk(LITE0, "packaged")[1]
    path = tmp_path / "head.safetensors"
    save_weights(path, state, CARD)
    state |= delf.local_pca(path, PHOTOS, 4, 0, LITE0)
    save_weights(path, state, CARD, kept=found)
    assert not any(name.startswith("trunk.") for name in safetensors.torch.load_file(path))
    whole, head = DelfConfig(dim=4), f"file:{path}"
    extractor = Delf(whole, weights=head)
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    raw = extractor.describe(extractor.prepare(photo))
    extractor.fit([raw])
    assert np.allclose(extractor.state()["mean"], state["pca.mean"].numpy())
    # The same features as the trunk alone gives, in the order of the learned attention.
    plain = Delf(dataclasses.replace(whole, max_features=10_000), weights="packaged")
    cells = plain.describe(plain.prepare(photo))
    both = {tuple(place) for place in cells["geometry"][:, :3].round(3).tolist()}
    assert {tuple(place) for place in raw["geometry"][:, :3].round(3).tolist()} <= both
    with pytest.raises(PlaygroundError, match="belongs to weights of efficientnet-lite0"):
        save_weights(path, state, CARD, kept=dataclasses.replace(found, sha256="0" * 64))
        Delf(whole, weights=head).describe(extractor.prepare(photo))


def test_delf_stands_on_the_trunk_of_a_trained_siamese_network(tmp_path: Path) -> None:
    """Of the trunk that both share, DELF's file stores nothing; extraction puts it together."""
    packaged, found = networks.trained_trunk(LITE0, "packaged")
    with torch.no_grad():
        packaged.blocks[6][0].conv_pw.weight *= 1.5
    siamese, path = tmp_path / "gem-siamese.safetensors", tmp_path / "delf.safetensors"
    save_weights(
        siamese,
        {f"trunk.{k}": v for k, v in packaged.state_dict().items()},
        CARD,
        kept=found,
        int8=True,
    )
    config = dataclasses.replace(TINY, network=LITE0, tune=False, weights=f"file:{siamese}")
    trained(tmp_path, config, Limits(steps=1))
    state = delf.assembled(tmp_path)
    below = trained_trunk_of(siamese)
    kept = train_delf.stored_apart(below, LITE0, keep=True)
    assert kept is not None and kept.sha256 == found.sha256
    save_weights(path, state, CARD, Shared(siamese, ""), kept)
    stored = safetensors.torch.load_file(path)
    assert stored.keys() == {k for k in state if k.startswith("attention.")}
    network = Delf(DelfConfig(), weights=f"file:{path}").build_network()
    tuned = network.state_dict()["module.trunk.blocks.6.0.conv_pw.weight"]
    wanted = packaged.state_dict()["blocks.6.0.conv_pw.weight"]
    assert torch.allclose(tuned, wanted, atol=float(wanted.abs().max()) / 127)
    assert not torch.allclose(tuned, wanted / 1.5, rtol=0.1)


def trained_trunk_of(path: Path) -> Weights:
    return networks.trained_trunk(LITE0, f"file:{path}")[1]


@pytest.mark.usefixtures("tiny")
def test_an_attention_is_trained_further(tmp_path: Path) -> None:
    fast = dataclasses.replace(TINY, tune=False, attention_rate=10.0)  # far from a new one
    trained(tmp_path / "first", fast, Limits(steps=1))
    file = tmp_path / "first.safetensors"
    first = delf.assembled(tmp_path / "first")
    save_weights(file, first, CARD)
    config = dataclasses.replace(
        TINY, tune=False, attention=f"file:{file}", attention_rate=0.0, weight_decay=0.0, seed=3
    )
    trained(tmp_path / "second", config, Limits(steps=1))
    second = delf.assembled(tmp_path / "second")
    for name in first:
        if name.startswith("attention."):
            assert torch.allclose(second[name], first[name], atol=1e-3), name  # stored in fp16
    with pytest.raises(PlaygroundError, match="there is no attention in it"):
        trained(tmp_path / "third", dataclasses.replace(config, attention="untrained"))


def test_a_trunk_without_cells_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match=r"--network vgg16 is no trunk of DELF's. Legal: "):
        trained(tmp_path, dataclasses.replace(TINY, network="vgg16"))
