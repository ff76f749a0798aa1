"""Distillation: its losses, the tiles it learns from, and a training that goes on after a kill."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

pytest.importorskip("pytorch_metric_learning")

from data.errors import PlaygroundError
from extractors import trunks
from extractors.pooling import l2n
from extractors.training import distill, tiles
from extractors.training.checkpoint import Progress, Run
from extractors.training.distill import blended, cell_loss, relation_loss
from extractors.training.machine import machine
from extractors.training.networks import folded, with_batchnorm
from extractors.training.session import Limits
from extractors.trunks import vgg16_features
from extractors.weights import Weights, resolve, seeded, training_card
from scripts import distill_trunk

TINY = distill.DistillConfig(
    network="resnet50",
    teacher="large",
    scenes=8,
    side=48,
    pixels=32,
    max_pixels=48,
    batch=4,
    shares=(0.5, 0.0, 0.5),
)


# -- losses ---------------------------------------------------------------------------------------


def test_cells_are_compared_by_direction() -> None:
    """Two cells: the first at 60 degrees (1 - 1/2), the second the same but longer (0)."""
    student = torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]])
    teacher = torch.tensor([[[[0.5, 0.3]], [[math.sqrt(0.75), 0.4]]]])
    assert cell_loss(student, teacher).item() == pytest.approx(0.25, abs=1e-6)


def test_a_finer_map_is_averaged_to_the_teachers() -> None:
    student = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]], [[0.0, 2.0], [1.0, 1.0]]]])
    teacher = torch.tensor([[[[5.0]], [[5.0]]]])  # the mean of the four cells is (1, 1)
    assert cell_loss(student, teacher).item() == pytest.approx(0.0, abs=1e-6)


def test_equal_relations_cost_nothing_whatever_the_dimensions() -> None:
    vectors = l2n(torch.rand(5, 3, generator=torch.Generator().manual_seed(0)))
    padded = torch.cat([torch.zeros(5, 4), vectors], dim=1)
    assert relation_loss(padded, vectors, 0.1).item() == pytest.approx(0.0, abs=1e-6)


def test_relations_are_the_divergence_of_the_rows() -> None:
    """The student sees three equal vectors: each row is (1/2, 1/2). The teacher's rows are the
    softmax of (1, 0), (1, 0) and (0, 0)."""
    student = torch.tensor([[1.0, 0.0]] * 3)
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    high = math.e / (math.e + 1)
    row = high * math.log(2 * high) + (1 - high) * math.log(2 * (1 - high))
    assert relation_loss(student, teacher, 1.0).item() == pytest.approx(2 * row / 3, abs=1e-6)


def test_blending_keeps_the_mean_between_the_pictures_own() -> None:
    views = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 3, 2, 2).contiguous()
    assert torch.equal(blended(views, 0.0, np.random.default_rng(0)), views)
    mixed = blended(views, 1.0, np.random.default_rng(0))
    assert not torch.equal(mixed, views) and mixed.min() >= 0 and mixed.max() <= 5
    assert torch.equal(mixed, blended(views, 1.0, np.random.default_rng(0)))


# -- VGG16 ----------------------------------------------------------------------------------------


def test_vgg16_with_batchnorm_computes_what_it_did_without() -> None:
    plain = seeded(vgg16_features)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    normed = with_batchnorm(plain, x)
    with torch.no_grad():
        expected = plain(x)
        assert expected.abs().max() > 0.01
        # With the batch's own statistics, which the BatchNorms were set with.
        assert torch.allclose(normed.train()(x), expected, atol=1e-3)
    weights = [layer for layer in folded(normed.eval()) if isinstance(layer, nn.Conv2d)]
    before = [layer for layer in seeded(vgg16_features).modules() if isinstance(layer, nn.Conv2d)]
    for layer, own in zip(weights, before, strict=True):
        # The statistics have moved on by one batch, which was the same.
        assert torch.allclose(layer.weight, own.weight, rtol=1e-2, atol=1e-4)


# -- tiles ----------------------------------------------------------------------------------------


def save(path: Path, pixels: np.ndarray, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8), mode).save(path)
    return path


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_large_pictures_give_more_tiles_and_small_ones_two() -> None:
    config = tiles.TileConfig(side=32, most=20, shorter_side=128)
    assert tiles.cut(noise(20, 30), config).shape == (2, 32, 32, 3)
    assert tiles.cut(noise(64, 96), config).shape == (12, 32, 32, 3)  # 2 x (64 x 96) / (32 x 32)
    large = tiles.cut(noise(256, 256), config)
    assert large.shape == (20, 32, 32, 3)
    assert np.array_equal(large, tiles.cut(noise(256, 256), config))
    assert not np.array_equal(large, tiles.cut(noise(256, 256), config, number=1))


def test_what_is_transparent_is_grey(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :2] = (200, 0, 0, 255)
    read = tiles.read(save(tmp_path / "stamp.png", pixels, "RGBA"))
    assert (read[:, :2] == (200, 0, 0)).all() and (read[:, 2:] == 128).all()


def test_tiles_are_cut_once_and_grouped_by_picture(tmp_path: Path) -> None:
    save(tmp_path / "p" / "b.png", noise(64, 96))
    save(tmp_path / "p" / "deep" / "a.jpg", noise(20, 30))
    files = tiles.pictures_in([tmp_path / "p"])
    assert [path.name for path in files] == ["b.png", "a.jpg"]
    config = tiles.TileConfig(side=32)
    found = tiles.tiles(files, config, tmp_path / "kept")
    assert found.pixels.shape == (14, 32, 32, 3)
    assert [group.tolist() for group in found.groups] == [list(range(12)), [12, 13]]
    (kept,) = (tmp_path / "kept").iterdir()
    before = kept.stat().st_mtime_ns
    again = tiles.tiles(files, config, tmp_path / "kept")
    assert np.array_equal(again.pixels, found.pixels) and kept.stat().st_mtime_ns == before
    # Wherever they lie; other pictures and other cuts are others.
    moved = [path.rename(tmp_path / path.name) for path in files]
    assert tiles.fingerprint(moved, config).startswith(kept.stem.removeprefix("tiles-"))
    assert tiles.fingerprint(moved[:1], config) != tiles.fingerprint(moved, config)
    assert tiles.fingerprint(moved, tiles.TileConfig(side=48)) != tiles.fingerprint(moved, config)


def test_a_folder_without_pictures_and_a_file_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match=r"no pictures in .*Legal: \.jpg"):
        tiles.pictures_in([tmp_path])
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(PlaygroundError, match=r"text\.jpg cannot be read as a picture"):
        tiles.tiles(tiles.pictures_in([tmp_path]), tiles.TileConfig(), tmp_path / "kept")


# -- training -------------------------------------------------------------------------------------


def small(channels: int) -> nn.Module:
    """Two convolutions to a stride of 8."""
    torch.manual_seed(channels)
    first = nn.Sequential(nn.Conv2d(3, channels, 3, 4), nn.BatchNorm2d(channels), nn.ReLU())
    last = nn.Sequential(nn.Conv2d(channels, channels, 3, 2), nn.ReLU())
    return nn.Sequential(first, last)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(network: str, weights: str) -> tuple[nn.Module, Weights]:
        module = seeded(lambda: small({"resnet50": 8, "large": 12}[network]))
        return module.eval(), Weights(network, "untrained", None, f"sha of {network}")

    monkeypatch.setitem(trunks.TRUNKS, "large", trunks.Trunk(12, 8, nn.Identity))
    monkeypatch.setattr(distill, "trained_trunk", make)
    monkeypatch.setattr(distill, "HINTS", {("resnet50", "large"): (("0", "0"),)})


def trained(folder: Path, limits: Limits, config: distill.DistillConfig = TINY) -> Progress:
    with machine("cpu", "fp32") as here:
        return distill.distill(
            config,
            limits,
            here,
            folder,
            recipe=distill.recipe_of(config, limits, "bundled", "", None),
            say=lambda _: None,
        )


def checkpoint(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "checkpoint.safetensors")


@pytest.mark.usefixtures("tiny")
def test_killed_it_goes_on_and_ends_like_an_undisturbed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = trained(tmp_path / "a", Limits(steps=4))
    save_run, saved = Run.save, []

    def dying(self: Run, *arguments: object) -> None:
        save_run(self, *arguments)  # type: ignore[arg-type]
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", dying)
    often = Limits(steps=4, save_minutes=0)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", often)
    resumed = trained(tmp_path / "b", often)
    assert resumed.step == undisturbed.step == 4 and resumed.ended == "done"
    first, second = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("tiny")
def test_the_student_comes_nearer_to_the_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "LOG_STEPS", 10)
    history = trained(tmp_path / "a", Limits(steps=60)).history
    first, last = history[0], history[-1]
    for loss in ("cells", "hints"):
        assert last[loss] < first[loss]
    names = set(checkpoint(tmp_path / "a"))
    assert f"network.{distill.TRUNK}0.0.weight" in names  # what the script exports
    # The teacher's are none of them; projections of the hint and of the last map.
    assert sum(".projections." in name and name.startswith("network.") for name in names) == 4


@pytest.mark.usefixtures("tiny")
def test_nothing_to_learn_from_and_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match=r"nothing to learn from\. Give --pictures"):
        trained(tmp_path, Limits(steps=1), dataclasses.replace(TINY, scenes=0))
    with pytest.raises(PlaygroundError, match=r"--pixels 48 --max-pixels 32 .*ascending order"):
        trained(tmp_path, Limits(steps=1), dataclasses.replace(TINY, pixels=48, max_pixels=32))
    with pytest.raises(PlaygroundError, match="--batch 1 is not possible"):
        trained(tmp_path, Limits(steps=1), dataclasses.replace(TINY, batch=1))


def test_the_script_trains_and_exports_a_trunk_that_extraction_loads(
    home: Path, tmp_path: Path
) -> None:
    save(tmp_path / "pictures" / "a.png", noise(64, 64))
    words = "--out t --scenes 0 --weights untrained --side 64 --pixels 32 --max-pixels 32 --batch 2"
    machine_words = "--steps 1 --device cpu --precision fp32"
    argv = [*words.split(), *machine_words.split(), "--pictures", str(tmp_path / "pictures")]
    assert distill_trunk.main([*argv, "--pictures-are", "noise"]) == 0
    path = home / "training" / "t" / "resnet50.safetensors"
    trunks.trunk("resnet50", resolve("resnet50", f"file:{path}"))
    card = training_card(path)
    assert card is not None and card["data"].startswith("1 pictures without labels (noise)")
    assert str(tmp_path) not in card["command"] and "--pictures pictures" in card["command"]
    with pytest.raises(PlaygroundError, match=r"no checkpoint in .* yet\. Leave out --export"):
        distill_trunk.main([*argv, "--out", "other", "--export"])
