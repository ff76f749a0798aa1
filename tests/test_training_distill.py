"""Distillation: its parts, the tiles they learn from, and a training that goes on after a kill."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("pytorch_metric_learning")
pytest.importorskip("timm")

from timm.layers import create_conv2d
from timm.models._efficientnet_blocks import InvertedResidual

from data.errors import PlaygroundError
from extractors import trunks
from extractors.training import distill, distill_resnet50, distill_vgg16, tiles
from extractors.training.checkpoint import Progress, Run
from extractors.training.distill import blended
from extractors.training.distill_resnet50 import Bottleneck, hidden_channels, start_as
from extractors.training.machine import machine
from extractors.training.networks import folded, with_batchnorm
from extractors.training.parts import HEAD, Inner, Part, Scaling, Student, Teacher, most_varied
from extractors.trunks import LITE0, vgg16_features
from extractors.weights import Weights, load_into, resolve, seeded, training_card
from scripts import distill_trunk

TINY = distill.DistillConfig(
    scenes=8, side=48, pixels=32, views=12, shares=(0.5, 0.0, 0.5), batch=4, steps=2
)


# -- what the parts shall give --------------------------------------------------------------------


def test_maps_are_scaled_channel_by_channel_and_raised() -> None:
    """The first channel: mean 2, deviation 2 (of 0 and 4, n = 2: sqrt(8)); the second is flat."""
    maps = torch.tensor([[[[0.0, 4.0]], [[7.0, 7.0]]]])
    scaling = Scaling.of(maps, offset=4.0)
    low, high = 4 - 2 / 8**0.5, 4 + 2 / 8**0.5
    assert torch.allclose(scaling(maps), torch.tensor([[[[low, high]], [[4.0, 4.0]]]]))


def test_the_last_map_keeps_its_zero_and_what_its_channels_are_to_each_other() -> None:
    maps = torch.tensor([[[[0.0, 1.0]], [[0.0, 3.0]], [[0.0, 2.0]]]])
    assert most_varied(maps, 2).tolist() == [1, 2]
    scaled = Scaling.common(maps, torch.tensor([1, 2, 1]))(maps)
    assert torch.allclose(
        scaled[:, 0] / scaled[:, 1], torch.tensor([[torch.nan, 1.5]]), equal_nan=True
    )
    assert torch.equal(scaled[:, 0], scaled[:, 2])
    assert scaled.var(dim=(0, 2, 3)).mean().item() == pytest.approx(1.0)


def test_the_students_cells_lie_on_the_teachers() -> None:
    """Three convolutions with a stride of 2, padded as each of the two is: the same cells."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, 33, 33)
    own, his = x, Inner()(x)
    for kernel in torch.randn(3, 1, 1, 3, 3):
        same = create_conv2d(1, 1, 3, stride=2, padding="same", bias=False)
        same.weight.data = kernel[None, 0]
        own, his = functional.conv2d(own, kernel[None, 0], stride=2, padding=1), same(his)
    assert his.shape[-1] == 4 and torch.allclose(Inner()(own), his, atol=1e-5)


def test_four_cells_of_vgg16_make_one_of_the_teachers() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    # Rows and columns 1 and 2; then 3 and, beyond the edge, 3 again.
    assert distill_vgg16.Halved()(x).tolist() == [[[[7.5, 9.0], [13.5, 15.0]]]]


# -- how ResNet50's blocks begin ------------------------------------------------------------------


def model(inputs: int, outputs: int, seed: int = 0) -> InvertedResidual:
    """Six hidden channels per input; BatchNorms that do something."""
    torch.manual_seed(seed)
    made = InvertedResidual(inputs, outputs, exp_ratio=6.0, act_layer=nn.ReLU6)
    for norm in (made.bn1, made.bn2, made.bn3):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2.0)
    return made.eval()


def silent(block: Bottleneck) -> Bottleneck:
    """Without the noise that weights without a model start with."""
    for layer in (block.conv2, block.conv3):
        nn.init.zeros_(layer.weight)
    return block


@pytest.mark.parametrize(("outputs", "kind"), [(4, "same"), (5, "fresh")])
def test_with_room_for_all_channels_a_block_computes_what_its_model_does(
    outputs: int, kind: str
) -> None:
    teacher, maps = model(4, outputs), 0.5 * torch.randn(8, 4, 6, 6)
    with torch.no_grad():
        given = teacher(maps)
        before = Scaling.of(maps, offset=8.0)
        # A residual block adds in the scales of its input.
        after = before if kind == "same" else Scaling.of(given, offset=8.0)
        block = silent(seeded(lambda: Bottleneck(4, 30, outputs, kind)))  # type: ignore[arg-type]
        start_as(block, [hidden_channels(teacher, maps, before, after, kind, None)])
        assert torch.allclose(block(before(maps)), after(given), atol=1e-4)


def test_the_channels_that_matter_most_are_kept_and_the_mean_of_the_others() -> None:
    teacher, maps = model(4, 4), torch.randn(8, 4, 6, 6)
    teacher.conv_pwl.weight.data[:, 5] *= 100
    before = Scaling.of(maps, offset=8.0)
    found = hidden_channels(teacher, maps, before, before, "same", None)
    block = silent(seeded(lambda: Bottleneck(4, 3, 4, "same")))  # type: ignore[arg-type]
    start_as(block, [found])
    assert torch.equal(block.conv3.weight[:, 0, 0, 0], found.project[:, 5])
    with torch.no_grad():
        wrong = block(before(maps)) - before(teacher(maps))
    assert wrong.mean(dim=(0, 2, 3)).abs().max() < 0.02 < wrong.abs().max()


def test_the_middle_of_a_large_kernel_is_as_strong_as_the_whole() -> None:
    kernel = torch.ones(1, 5, 5)
    assert torch.equal(distill_resnet50.middle(kernel), torch.full((1, 3, 3), 1.5))  # at most
    kernel[:, 1:4, 1:4] = 16.0  # 16 around are a ninth of that
    assert torch.allclose(distill_resnet50.middle(kernel), torch.full((1, 3, 3), 16 * 10 / 9))


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """The packaged one, which has seen six views."""
    found = resolve(LITE0, "auto")
    views = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 65, 65), np.uint8))
    views = functional.avg_pool2d(views.float(), 5, 1, 2).byte()
    maps = tuple(dict.fromkeys(distill_resnet50.MAPS + distill_vgg16.MAPS))
    result = Teacher(trunks.trunk(LITE0, found), maps)
    with machine("cpu", "fp32") as here:
        result.views, result.maps = views, distill.looked_at(result, views, here)
    return result


def chain(student: Student, views: Tensor) -> Tensor:
    x = views.float() / 255
    with torch.no_grad():
        for part in student.parts:
            x = part.module.eval()(x)
    return x


def last_map(network: str, state: dict[str, Tensor], views: Tensor) -> Tensor:
    trunk = trunks.trunk(network, resolve(network, "untrained"))
    load_into(trunk, trunks.TRUNKS[network].renamed(state, trunk), network)
    with torch.no_grad():
        return trunks.normalised(network, trunk)(views.float() / 255)


def test_resnet50_as_a_whole_computes_what_its_parts_do(teacher: Teacher) -> None:
    start = trunks.trunk("resnet50", resolve("resnet50", "untrained")).train()
    student = distill_resnet50.student(start, teacher)
    assert [part.name for part in student.parts[:2]] == ["layer1", "layer2.0"]
    own = chain(student, teacher.views)
    whole = last_map("resnet50", student.state(), teacher.views)
    assert own.std() > 0.1 and torch.allclose(whole[:, :1280], own[:, :1280], rtol=1e-4, atol=1e-3)
    # Layer4's stream, 192 channels, stays faintly in some of those that are there twice.
    assert torch.allclose(whole[:, 1472:], own[:, 1472:], rtol=1e-4, atol=1e-3)


def test_its_blocks_begin_near_the_teachers(teacher: Teacher) -> None:
    """Given the teacher's own maps, those of 3x3 kernels miss little before any training."""
    start = trunks.trunk("resnet50", resolve("resnet50", "untrained"))
    parts = {p.name: p for p in distill_resnet50.student(start, teacher).parts}
    before, part = parts["layer3.0"], parts["layer3.1"]
    with torch.no_grad():
        given = part.module(before.scaling(teacher.maps[before.target]))
    wanted = part.scaling(teacher.maps[part.target])
    assert functional.mse_loss(given, wanted) < 0.1 * wanted.var(dim=(0, 2, 3)).mean()


def test_vgg16_as_a_whole_computes_what_its_parts_do(teacher: Teacher) -> None:
    start = trunks.trunk("vgg16", resolve("vgg16", "untrained"))
    student = distill_vgg16.student(start, teacher)
    own = chain(student, teacher.views)
    whole = last_map("vgg16", student.state(), teacher.views[:, :, 1:, 1:])
    assert own.std() > 0.01 and torch.allclose(whole, own, atol=1e-3 * float(own.max()))
    with torch.no_grad():
        read = student.parts[-1].read(own)
    assert read.shape == student.parts[-1].scaling(teacher.maps[HEAD]).shape


# -- views ----------------------------------------------------------------------------------------


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


def test_tiles_are_cut_once(tmp_path: Path) -> None:
    save(tmp_path / "p" / "b.png", noise(64, 96))
    save(tmp_path / "p" / "deep" / "a.jpg", noise(20, 30))
    files = tiles.pictures_in([tmp_path / "p"])
    assert [path.name for path in files] == ["b.png", "a.jpg"]
    config = tiles.TileConfig(side=32)
    found = tiles.tiles(files, config, tmp_path / "kept")
    assert found.shape == (14, 32, 32, 3)
    (kept,) = (tmp_path / "kept").iterdir()
    before = kept.stat().st_mtime_ns
    again = tiles.tiles(files, config, tmp_path / "kept")
    assert np.array_equal(again, found) and kept.stat().st_mtime_ns == before
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
    first = nn.Sequential(nn.Conv2d(3, channels, 3, 4, 1), nn.BatchNorm2d(channels), nn.ReLU())
    last = nn.Sequential(nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU())
    return nn.Sequential(OrderedDict(first=first, last=last))


def halves(trunk: nn.Module, teacher: Teacher) -> Student:
    first, last = Scaling.of(teacher.maps["first"]), Scaling.of(teacher.maps[HEAD])
    torch.manual_seed(0)
    reads = [nn.Sequential(Inner(), nn.Conv2d(8, 12, 1)) for _ in range(2)]
    parts = [
        Part("a", trunk.get_submodule("first"), "first", first, reads[0]),
        Part("b", trunk.get_submodule("last"), HEAD, last, reads[1], share=1.5),
    ]
    return Student(parts, lambda: dict(trunk.state_dict()))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(network: str, weights: str) -> tuple[nn.Module, Weights]:
        module = seeded(lambda: small(12 if network == LITE0 else 8))
        return module.eval(), Weights(network, "untrained", None, f"sha of {network}")

    cut = SimpleNamespace(MAPS=("first", HEAD), student=halves)
    monkeypatch.setattr(distill, "trained_trunk", make)
    monkeypatch.setitem(distill.STUDENTS, "resnet50", cut)  # type: ignore[arg-type]
    monkeypatch.setattr(distill, "HELD_OUT", 6)


def trained(
    folder: Path, config: distill.DistillConfig = TINY, minutes: float | None = None
) -> tuple[Student, Progress]:
    with machine("cpu", "fp32") as here:
        return distill.distill(
            config,
            here,
            folder,
            recipe=distill.recipe_of(config, "untrained", "", None),
            session_minutes=minutes,
            say=lambda _: None,
        )


def checkpoint(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "checkpoint.safetensors")


@pytest.mark.usefixtures("tiny")
def test_killed_it_goes_on_and_ends_like_an_undisturbed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, undisturbed = trained(tmp_path / "a")
    save_run = Run.save

    def dying(self: Run, *arguments: object) -> None:
        save_run(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Run, "save", dying)
        trained(tmp_path / "b")
    assert Run(tmp_path / "b", distill.recipe_of(TINY, "untrained", "", None)).load()[1].step == 1  # type: ignore[index]
    student, resumed = trained(tmp_path / "b")
    assert resumed.step == undisturbed.step == 2 and resumed.ended == "done"
    assert [record["part"] for record in resumed.history] == ["a", "b"]
    first, second = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    # Done already: nothing is trained, and the student is the same.
    again, _ = trained(tmp_path / "b")
    assert torch.equal(again.state()["last.0.weight"], student.state()["last.0.weight"])
    assert torch.equal(first["1.0.weight"], student.state()["last.0.weight"])


@pytest.mark.usefixtures("tiny")
def test_it_pauses_between_two_parts(tmp_path: Path) -> None:
    assert trained(tmp_path, minutes=1e-9)[1].ended == "paused"
    assert trained(tmp_path)[1].ended == "done"


@pytest.mark.usefixtures("tiny")
def test_every_part_comes_nearer_to_the_teacher(tmp_path: Path) -> None:
    _, progress = trained(tmp_path, dataclasses.replace(TINY, steps=80, learning_rate=1e-2))
    assert [record["steps"] for record in progress.history] == [80, 120]
    for record in progress.history:
        assert record["unexplained"] < 0.95 * record["before"]


@pytest.mark.usefixtures("tiny")
def test_nothing_to_learn_from_and_impossible_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match=r"nothing to learn from\. Give --pictures"):
        trained(tmp_path, dataclasses.replace(TINY, scenes=0))
    with pytest.raises(PlaygroundError, match=r"--pixels 40 --side 48 .*multiple of 32"):
        trained(tmp_path, dataclasses.replace(TINY, pixels=40))
    with pytest.raises(PlaygroundError, match="--batch 1 is not possible"):
        trained(tmp_path, dataclasses.replace(TINY, batch=1))
    with pytest.raises(PlaygroundError, match=r"hog cannot be a student\. Legal: resnet50, vgg16"):
        trained(tmp_path, dataclasses.replace(TINY, network="hog"))
    trained(tmp_path)
    with pytest.raises(PlaygroundError, match="another recipe: seed 0, now 1"):
        trained(tmp_path, dataclasses.replace(TINY, seed=1))


def test_the_script_trains_and_exports_a_trunk_that_extraction_loads(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "HELD_OUT", 4)
    save(tmp_path / "pictures" / "a.png", noise(64, 64))
    words = "--out t --scenes 0 --side 64 --pixels 32 --views 4 --batch 2 --steps 1"
    argv = [*words.split(), "--device", "cpu", "--precision", "fp32"]
    argv += ["--pictures", str(tmp_path / "pictures")]
    assert distill_trunk.main([*argv, "--pictures-are", "noise", "--session-minutes", "1e-9"]) == 0
    path = home / "training" / "t" / "resnet50.safetensors"
    assert not path.exists()  # paused
    assert distill_trunk.main([*argv, "--pictures-are", "noise"]) == 0
    trunks.trunk("resnet50", resolve("resnet50", f"file:{path}"))
    card = training_card(path)
    assert card is not None and card["data"].startswith("1 pictures without labels (noise)")
    assert [record["part"] for record in card["history"]][-1] == "layer4.2"
    assert str(tmp_path) not in card["command"] and "--pictures pictures" in card["command"]
