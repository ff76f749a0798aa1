"""Procedural scenes, random views, instance discrimination, and the files that come out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

pytest.importorskip("pytorch_metric_learning")

from data.errors import PlaygroundError
from extractors import downloads, registry, trunks, weights
from extractors.training import pretrain
from extractors.training.checkpoint import Progress, Run
from extractors.training.describing import describe
from extractors.training.export import MAX_HISTORY, Shared, card_of, halved, save_weights, thinned
from extractors.training.machine import machine
from extractors.training.networks import trainable_trunk, trunk_state, widened
from extractors.training.photos import ScenePhotos, Several, scene_pool, square
from extractors.training.report import curves_png, series, write_report
from extractors.training.scenes import scene
from extractors.training.session import Limits, cosine
from extractors.training.views import (
    GENTLE,
    STRONG,
    ViewConfig,
    between,
    homographies,
    random_views,
    regions,
)

STILL = ViewConfig(
    size=(1, 1),
    perspective=0,
    turn=0,
    brightness=(1, 1),
    gain=(1, 1),
    offset=0,
    grey=0,
    blur=0,
    erase=0,
    noise=0,
)
TINY = pretrain.PretrainConfig(network="tiny", scenes=12, side=48, pixels=32, batch=4, projection=8)
CARD = card_of("a test", {"seed": 0}, [], 1.0, "cpu", {"command": "c", "commit": "d"}, "nothing.")


# -- scenes ---------------------------------------------------------------------------------------


def test_a_scene_is_the_same_again_and_no_other() -> None:
    first = scene(3, 64, seed=1)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, scene(3, 64, seed=1))
    assert not np.array_equal(first, scene(4, 64, seed=1))
    assert not np.array_equal(first, scene(3, 64, seed=2))


def test_scenes_have_contrast_and_structure() -> None:
    for i in range(8):
        pixels = scene(i, 96).astype(float)
        assert pixels.std() > 8
        assert np.abs(np.diff(pixels, axis=1)).mean() > 0.5


def test_a_pool_is_made_once_and_is_the_scenes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    pool = scene_pool(3, 48, 7, 0, tmp_path, lambda done, total: told.append((done, total)))
    assert np.array_equal(pool[2], scene(2, 48, seed=7)) and told[-1] == (3, 3)
    again = scene_pool(3, 48, 7, 0, tmp_path, lambda done, total: told.append((done, total)))
    assert np.array_equal(again, pool) and len(told) == 3


# -- views ----------------------------------------------------------------------------------------


def test_a_view_without_change_is_the_picture() -> None:
    picture = torch.randint(0, 256, (2, 40, 40, 3), dtype=torch.uint8)
    seen = random_views(picture, 40, np.random.default_rng(0), STILL)
    # Two bilinear samples per px, averaged: a 1-2-1 filter at half weight, exact on a constant.
    smooth = torch.full((1, 40, 40, 3), 90, dtype=torch.uint8)
    flat = random_views(smooth, 20, np.random.default_rng(0), STILL)
    assert torch.allclose(flat, torch.full_like(flat, 90 / 255), atol=1e-5)
    expected = picture.permute(0, 3, 1, 2).float() / 255
    assert torch.allclose(seen.mean(dim=(2, 3)), expected.mean(dim=(2, 3)), atol=2e-3)
    assert torch.corrcoef(torch.stack([seen.flatten(), expected.flatten()]))[0, 1] > 0.8


def test_homographies_take_corners_to_the_quadrangle() -> None:
    rng = np.random.default_rng(3)
    wanted = regions(5, rng, ViewConfig())
    corners = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], float)
    mapped = corners @ homographies(wanted).transpose(0, 2, 1)
    assert np.allclose(mapped[..., :2] / mapped[..., 2:], wanted)


def test_views_are_seeded_and_legal() -> None:
    pictures = torch.from_numpy(np.stack([scene(i, 48) for i in range(6)]))
    first = random_views(pictures, 32, np.random.default_rng(5))
    again = random_views(pictures, 32, np.random.default_rng(5))
    other = random_views(pictures, 32, np.random.default_rng(6))
    assert first.shape == (6, 3, 32, 32) and torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 1


def test_between_two_kinds_of_views() -> None:
    assert between(GENTLE, STRONG, 0) == GENTLE
    assert between(GENTLE, STRONG, 1) == STRONG
    half = between(ViewConfig(size=(0.2, 1.0), turn=4), ViewConfig(size=(0.4, 0.8), turn=8), 0.5)
    assert half.turn == 6 and half.size == pytest.approx((0.3, 0.9))


def test_a_new_resnet50_passes_its_shortcuts_only() -> None:
    """Or its first layers' gradients drown everything: see ``trainable_trunk``."""
    module = trainable_trunk("resnet50", 0.125)
    x = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    module(x).square().mean().backward()
    first = module.get_parameter("conv1.weight")
    assert first.grad is not None
    assert (first.grad.norm() / first.norm()).item() < 1


def test_grey_views_have_equal_channels() -> None:
    pictures = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    config = dataclasses.replace(STILL, grey=1.0)
    seen = random_views(pictures, 32, np.random.default_rng(0), config)
    assert torch.allclose(seen[:, 0], seen[:, 2], atol=1e-6)


# -- photos ---------------------------------------------------------------------------------------


def test_scene_photos_have_landmarks_and_views() -> None:
    photos = ScenePhotos(landmarks=3, views=2, side=48, seed=9)
    assert len(photos.labels) == 6 and len(set(photos.labels)) == 3
    assert np.array_equal(photos.read(1, 48), photos.read(1, 48))
    assert not np.array_equal(photos.read(0, 48), photos.read(1, 48))
    both = Several((photos, ScenePhotos(landmarks=2, views=2, side=48, seed=9)))
    assert len(set(both.labels)) == 5 and np.array_equal(both.read(6, 48), photos.read(0, 48))


def test_square_is_the_middle() -> None:
    photo = np.zeros((10, 30, 3), np.uint8)
    photo[:, 10:20] = 200
    assert (square(photo, 10) == 200).all()


# -- pretraining ----------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(network: str, width: float = 1.0) -> nn.Module:
        torch.manual_seed(0)
        n = int(8 * width)
        layers = [nn.Conv2d(3, n, 3, 4), nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, n, 3, 2)]
        return nn.Sequential(*layers, nn.ReLU()).train()

    monkeypatch.setitem(trunks.TRUNKS, "tiny", trunks.Trunk(8, 8, nn.Identity))
    monkeypatch.setattr(pretrain, "trainable_trunk", make)


def trained(
    folder: Path, limits: Limits, config: pretrain.PretrainConfig | None = None, **options: object
) -> Progress:
    with machine("cpu", "fp32") as here:
        return pretrain.pretrain(
            config or TINY, limits, here, folder, say=lambda _: None, **options
        )


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "checkpoint.safetensors")


@pytest.mark.usefixtures("tiny")
def test_killed_it_goes_on_and_ends_like_an_undisturbed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = trained(tmp_path / "a", Limits(steps=6))
    save, saved = Run.save, []

    def dying(self: Run, *arguments: object) -> None:
        save(self, *arguments)
        saved.append(1)
        if len(saved) in (2, 4):
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", dying)
    often = Limits(steps=6, save_minutes=0)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "b", often)
    resumed = trained(tmp_path / "b", often)
    assert resumed.step == undisturbed.step == 6 and resumed.ended == "done"
    first, second = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("network", ["resnet50", "vgg16"])
def test_a_widened_network_computes_what_the_thin_one_did(network: str) -> None:
    thin, wide = trainable_trunk(network, 0.125), trainable_trunk(network, 0.25)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    thin(x)  # BatchNorm's statistics are not those it starts with
    state = widened(thin.state_dict(), wide.state_dict(), np.random.default_rng(0))
    wide.load_state_dict(state)
    with torch.inference_mode():
        before, after = thin.eval()(x), wide.eval()(x)
    assert after.shape[1] == 2 * before.shape[1]
    torch.testing.assert_close(after, torch.cat([before, before], dim=1), rtol=1e-4, atol=1e-5)


def test_copies_of_a_channel_share_its_weight_unequally() -> None:
    thin = {"w": torch.tensor([[[[1.0]], [[2.0]]]])}  # (1, 2, 1, 1)
    wide = widened(thin, {"w": torch.empty(2, 4, 1, 1)}, np.random.default_rng(0))["w"][..., 0, 0]
    # Inputs 0 and 2 are copies of the first, 1 and 3 of the second.
    torch.testing.assert_close(wide[:, :2] + wide[:, 2:], torch.tensor([[1.0, 2.0]] * 2))
    assert len(set(wide[:, 0].tolist() + wide[:, 2].tolist())) == 4


@pytest.mark.usefixtures("tiny")
def test_a_training_that_grows_goes_on_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = dataclasses.replace(TINY, grow=((0.5, 0.0), (1.0, 0.5)), max_pixels=64)
    undisturbed = trained(tmp_path / "a", Limits(steps=6), growing)
    assert undisturbed.extra["width"] == 1
    assert tensors(tmp_path / "a")["network.embedding.trunk.module.0.weight"].shape[0] == 8

    paused = trained(tmp_path / "b", Limits(steps=6, session_minutes=1e-9), growing)
    assert paused.ended == "paused" and paused.extra["width"] == 0.5
    for _ in range(6):
        resumed = trained(tmp_path / "b", Limits(steps=6, session_minutes=1e-9), growing)
    first, second = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert resumed.step == 6 and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "grow",
    [
        (),
        ((0.5, 0.0),),
        ((0.5, 0.1), (1.0, 0.5)),
        ((0.3, 0.0), (1.0, 0.5)),
        ((1.0, 0.0), (0.5, 0.5)),
        ((0.01, 0.0), (1.0, 0.5)),
        ((0.5, 0.0), (1.0, 1.0)),
    ],
)
def test_growth_that_is_none_is_refused(
    tmp_path: Path, grow: tuple[tuple[float, float], ...]
) -> None:
    with pytest.raises(PlaygroundError, match=r"0\.25@0,0\.5@0\.4,1@0\.7"):
        trained(tmp_path, Limits(steps=1), dataclasses.replace(TINY, grow=grow))


@pytest.mark.usefixtures("tiny")
def test_photos_are_mixed_in_and_validation_is_recorded(tmp_path: Path) -> None:
    photos = ScenePhotos(landmarks=2, views=3, side=48, seed=1)

    def score(vectors: np.ndarray, labels: tuple[str, ...]) -> dict[str, float]:
        assert vectors.shape == (6, 8) and np.allclose(
            np.linalg.norm(vectors, axis=1), 1, atol=1e-4
        )
        return {"map": 0.5}

    progress = trained(tmp_path, Limits(steps=2), photos=photos, validation=photos, score=score)
    assert [entry["map"] for entry in progress.history if "map" in entry] == [0.5]
    with pytest.raises(PlaygroundError, match="another recipe: photos"):
        trained(tmp_path, Limits(steps=2))


def test_pairs_share_a_label_and_only_they() -> None:
    part = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1).expand(10, 2, 2, 3)
    groups = (np.array([0]), np.array([1]), np.array([2, 3, 4]))
    pool = pretrain.Pool((part, part), (groups, (np.array([5, 6]),)))
    drawn, labels = pool.pairs((3, 9), np.random.default_rng(0))
    found: dict[int, list[int]] = {}
    for label, picture in zip(labels.tolist(), drawn[:, 0, 0, 0].tolist(), strict=True):
        found.setdefault(label, []).append(picture)
    assert found.keys() == {0, 1, 2, 3}  # the groups' numbers, counted over both parts
    assert found[0] == [0, 0] and found[1] == [1, 1] and sorted(found[3]) == [5, 6]
    assert len(set(found[2])) == 2 and set(found[2]) <= {2, 3, 4}


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, scenes=0)
    with machine("cpu") as here, pytest.raises(PlaygroundError, match="nothing to learn from"):
        pretrain.pretrain(config, Limits(steps=1), here, tmp_path)


def test_limits_need_an_end_and_the_rate_falls_to_zero() -> None:
    with pytest.raises(PlaygroundError, match="needs an end"):
        Limits()
    assert cosine(0.03) == pytest.approx(1) and cosine(1.0) == pytest.approx(0)
    assert cosine(0.015) == pytest.approx(0.5)


def test_describing_keeps_order_whatever_the_sizes() -> None:
    class Sizes:
        labels = ("a",) * 5
        fingerprint = "sizes"

        def read(self, i: int, longer_side: int) -> np.ndarray:
            return np.full((40 + 8 * (i % 2), 64, 3), 10 * i, np.uint8)

    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    with machine("cpu", "fp32") as here:
        vectors = describe(network, Sizes(), range(5), 64, here, batch=2)
    assert np.allclose(vectors[:, 0] * 255, [0, 10, 20, 30, 40], atol=1e-3)
    assert network.training


# -- VGG16 ----------------------------------------------------------------------------------------


def test_vgg16s_batchnorm_is_folded_into_torchvisions_names() -> None:
    # The first block of VGG16 with BatchNorm, as torchvision makes it.
    block = torchvision.models.vgg.make_layers([8, 8, "M", 16], batch_norm=True)
    for layer in block:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    state = trunk_state("vgg16", block.eval())
    plain = torchvision.models.vgg.make_layers([8, 8, "M", 16], batch_norm=False).eval()
    plain.load_state_dict({k.removeprefix("features."): v for k, v in state.items()})
    x = torch.rand(1, 3, 16, 16)
    assert torch.allclose(plain(x), block(x), atol=1e-4)


# -- export ---------------------------------------------------------------------------------------


def test_matrices_are_halved_and_vectors_are_not() -> None:
    stored = halved(
        {"w": torch.rand(3, 2), "b": torch.tensor([1e-9]), "n.num_batches_tracked": torch.tensor(3)}
    )
    assert stored["w"].dtype == torch.float16 and stored["b"].dtype == torch.float32
    assert stored["b"].item() == pytest.approx(1e-9) and "n.num_batches_tracked" not in stored


def test_weights_that_overflow_are_refused() -> None:
    with pytest.raises(PlaygroundError, match="not finite in fp16, in w"):
        halved({"w": torch.full((1, 1), 1e6)})


def test_what_two_networks_share_is_stored_once(tmp_path: Path) -> None:
    base = {"conv.weight": torch.rand(8, 8), "fc.weight": torch.rand(4, 8)}
    save_weights(tmp_path / "base.safetensors", base, CARD)
    whole = weights.read_state(tmp_path / "base.safetensors")
    own = {"trunk.conv.weight": whole["conv.weight"], "trunk.fc.weight": torch.rand(4, 8)}
    own["head"] = torch.rand(5)
    shared = Shared(tmp_path / "base.safetensors", "trunk.")
    save_weights(tmp_path / "own.safetensors", own, CARD, shared)
    stored = safetensors.torch.load_file(tmp_path / "own.safetensors")
    assert sorted(stored) == ["head", "trunk.fc.weight"]
    read = weights.read_state(tmp_path / "own.safetensors")
    assert read.keys() == own.keys()
    assert all(torch.allclose(read[name], own[name], atol=1e-3) for name in own)
    assert weights.training_card(tmp_path / "own.safetensors") == CARD
    assert "# own" in (tmp_path / "own.md").read_text()
    (tmp_path / "own.json").write_text(json.dumps({"measured": [{"map": 0.3}]}))
    assert weights.training_card(tmp_path / "own.safetensors")["measured"] == [{"map": 0.3}]


def test_a_file_that_was_not_trained_here_has_no_card(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1)}, path)
    path.with_suffix(".json").write_text('{"title": "x"}')
    assert weights.training_card(path) is None
    torch.save({"w": torch.zeros(1)}, tmp_path / "other.pth")
    assert weights.training_card(tmp_path / "other.pth") is None


def test_a_network_trained_here_is_imported_as_the_projects_own(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "mine.safetensors"
    save_weights(source, {"w": torch.rand(2, 2)}, CARD)
    row = downloads.row_for_import("resnet50", source)
    assert row.source == "bundled"
    assert downloads.import_file(row, source) == home / "weights" / "resnet50.safetensors"
    found = weights.resolve("resnet50")
    assert found.source == "bundled" and found.path == home / "weights" / "resnet50.safetensors"


def test_what_the_user_has_fetched_goes_before_what_is_shipped(
    home: Path, unbundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "checked_sha256", lambda path, row: row.source)
    (imagenet,) = [row for row in weights.known("vgg16") if row.source == "imagenet"]
    assert weights.resolve("vgg16").source == "untrained"
    (unbundled / "vgg16.safetensors").touch()
    assert weights.resolve("vgg16").source == "bundled"
    assert weights.resolve("vgg16", classifier=True).source == "untrained"  # ours have none
    (home / "weights").mkdir(parents=True)
    (home / "weights" / imagenet.file).touch()
    assert weights.resolve("vgg16").source == "imagenet"
    assert weights.resolve("vgg16", classifier=True).source == "imagenet"
    (home / "weights" / "vgg16.safetensors").touch()  # the user's own training
    own = weights.resolve("vgg16")
    assert own.path == home / "weights" / "vgg16.safetensors" and own.source == "bundled"


def test_each_loss_has_its_own_network(unbundled: Path) -> None:
    for name in ("gem-siamese", "gem-siamese-triplet"):
        (unbundled / f"{name}.safetensors").write_bytes(name.encode())
    paths = {
        loss: registry.create(f"gem-siamese:loss={loss}").weights.path
        for loss in ("contrastive", "triplet")
    }
    assert paths == {
        "contrastive": unbundled / "gem-siamese.safetensors",
        "triplet": unbundled / "gem-siamese-triplet.safetensors",
    }
    with pytest.raises(PlaygroundError, match="contrastive, triplet"):
        registry.create("gem-siamese:loss=npair")


def test_a_network_of_others_is_imported_as_before(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "theirs.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1)}, source)
    assert downloads.row_for_import("resnet50", source).source == "imagenet"
    with pytest.raises(PlaygroundError, match="no weights 'gem-siamese' to download or import"):
        downloads.row_for_import("gem-siamese", source)


def test_a_shared_file_that_is_missing_or_another_is_named(tmp_path: Path, home: Path) -> None:
    save_weights(tmp_path / "base.safetensors", {"w": torch.rand(2, 2)}, CARD)
    state = {"trunk.w": weights.read_state(tmp_path / "base.safetensors")["w"]}
    shared = Shared(tmp_path / "base.safetensors", "trunk.")
    save_weights(tmp_path / "own.safetensors", state, CARD, shared)
    save_weights(tmp_path / "base.safetensors", {"w": torch.rand(2, 2)}, CARD)
    with pytest.raises(PlaygroundError, match=r"needs the file base\.safetensors"):
        weights.read_state(tmp_path / "own.safetensors")


@pytest.mark.parametrize(
    "shares",
    [
        "not json",
        json.dumps({"file": "../base.safetensors", "sha256": "0", "prefix": "", "tensors": []}),
        json.dumps({"file": "base.safetensors"}),
        json.dumps([1]),
    ],
)
def test_a_hostile_header_opens_nothing(tmp_path: Path, home: Path, shares: str) -> None:
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1)}, path, {"shares": shares})
    with pytest.raises(PlaygroundError, match=r"is damaged|needs the file"):
        weights.read_state(path)


# -- report ---------------------------------------------------------------------------------------

HISTORY = [
    {"step": 10, "loss": 2.0},
    {"step": 10, "map": 0.1},
    {"step": 20, "loss": 1.0},
    {"step": 20, "map": 0.3},
]


def test_series_pick_the_records_that_have_the_value() -> None:
    assert series(HISTORY, "map") == ([10, 20], [0.1, 0.3])


def test_the_report_is_json_and_a_picture(tmp_path: Path) -> None:
    write_report(tmp_path, "title", {"seed": 0}, Progress(history=HISTORY, ended="done"))
    assert json.loads((tmp_path / "report.json").read_text())["history"] == HISTORY
    if curves_png("title", HISTORY) is not None:  # matplotlib is there
        assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert curves_png("title", HISTORY[:1]) is None


def test_a_cards_history_is_thinned_but_keeps_validation_and_the_end() -> None:
    long = [{"step": i, "loss": 1.0 / (i + 1)} for i in range(5000)] + [{"step": 5000, "map": 0.2}]
    short = thinned(long)
    assert len(short) <= MAX_HISTORY + 3
    assert short[-1] == long[-1] and short[-2] == long[-2]
