"""The extractor of timm's models: pooling, sizes, weights, runtimes, and what is refused.

Random weights, small models, no network; downloads come from a server on this machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from test_weights_cli import Handler, Server
from torch import Tensor, nn

from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT, weights_root
from extractors import downloads, pooling, registry, timm_model, timm_names, weights
from extractors.runtime import Network
from scripts import weights as script
from scripts.console import call

CONVNET, TOKENS, NHWC = "test_convnext", "test_vit", "test_mambaout"


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "torch")
    # The references are in fp32; what bfloat16 changes is tested by itself.
    monkeypatch.setattr("extractors.runtime.cpu_has_bfloat16", lambda: False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def photo(height: int = 90, width: int = 120) -> np.ndarray:
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(small, np.ones((10, 10, 1), np.uint8))[:height, :width])


def make(spec: str, source: str = "untrained") -> timm_model.TimmModel:
    made = registry.create(spec, weights=source)
    assert isinstance(made, timm_model.TimmModel)
    return made


def plain(name: str, state: dict[str, Tensor] | None = None, **options: Any) -> Any:
    """timm's model as timm makes it, with the weights that the extractor has when untrained."""
    model = weights.seeded(
        lambda: timm.create_model(name, pretrained=False, num_classes=0, **options)
    )
    if state is not None:
        model.load_state_dict(state)
    return model.eval()


def unit(vector: Tensor) -> np.ndarray:
    return (vector / (vector.norm() + 1e-6)).numpy()


def normalised(pixels: np.ndarray, name: str) -> Tensor:
    config = timm.get_pretrained_cfg(name)
    x = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
    mean, std = torch.tensor(config.mean), torch.tensor(config.std)
    return ((x - mean[:, None, None]) / std[:, None, None])[None]


# Vectors


@pytest.mark.parametrize("kind", ["", *pooling.POOLINGS])
@pytest.mark.parametrize("name", [CONVNET, NHWC])
def test_maps_are_pooled_as_the_formula_says(name: str, kind: str) -> None:
    made = make(f"timm:model={name},pooling={kind},p=2")
    prepared = made.prepare(photo())
    assert prepared.pixels.shape == (90, 120, 3)  # smaller than the input size: as it is
    with torch.inference_mode():
        x = plain(name).forward_features(normalised(prepared.pixels, name))
        if name == NHWC:
            x = x.permute(0, 3, 1, 2)
        expected = {
            "spoc": lambda: x.mean(dim=(2, 3)),
            "mac": lambda: x.amax(dim=(2, 3)),
            "gem": lambda: x.clamp(min=1e-6).pow(2).mean(dim=(2, 3)).sqrt(),
            "rmac": lambda: pooling.rmac(x),
        }[kind or "gem"]()[0]
    vectors = made.extract(photo()).vectors
    assert vectors.dtype == np.float32
    assert vectors.shape == (1, made.dim) == (1, plain(name).num_features)
    np.testing.assert_allclose(vectors[0], unit(expected), atol=1e-5)


@pytest.mark.parametrize("kind", ["", "cls", "avg", "gem"])
def test_tokens_are_pooled_as_the_formula_says(kind: str) -> None:
    made = make(f"timm:model={TOKENS},pooling={kind}")
    prepared = made.prepare(photo())
    assert prepared.pixels.shape == (160, 160, 3)
    with torch.inference_mode():
        tokens = plain(TOKENS).forward_features(normalised(prepared.pixels, TOKENS))[0]
    assert tokens.shape == (1 + 100, 64)
    expected = {
        "cls": tokens[0],
        "avg": tokens[1:].mean(0),
        "gem": tokens[1:].clamp(min=1e-6).pow(3).mean(0).pow(1 / 3),
    }[kind or "cls"]
    vectors = made.extract(photo()).vectors
    np.testing.assert_allclose(vectors[0], unit(expected), atol=1e-5)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-4)


def test_another_side_resamples_the_positions() -> None:
    made = make(f"timm:model={TOKENS},image_size=96")
    prepared = made.prepare(photo())
    assert prepared.pixels.shape == (96, 96, 3)
    assert made.image_size == 96
    model = plain(TOKENS)
    with torch.inference_mode():
        model.set_input_size(img_size=(96, 96))
        expected = model.forward_features(normalised(prepared.pixels, TOKENS))[0, 0]
    np.testing.assert_allclose(made.extract(photo()).vectors[0], unit(expected), atol=1e-5)


def test_a_map_of_a_fixed_size_network_is_pooled() -> None:
    made = make("timm:model=swin_tiny_patch4_window7_224,pooling=spoc")
    assert made.facts.square
    assert made.facts.layout == "nhwc"
    assert made.dim == 768
    assert made.prepare(photo()).pixels.shape == (224, 224, 3)


def test_a_network_that_wants_sides_that_divide_gets_squares() -> None:
    made = make("timm:model=hrnet_w18_small,image_size=64")
    assert made.facts.square
    assert made.prepare(photo()).pixels.shape == (64, 64, 3)
    assert made.extract(photo()).vectors.shape == (1, made.dim)


def test_a_batch_gives_what_single_photos_give() -> None:
    made = make(f"timm:model={CONVNET}")
    batch = [made.prepare(p) for p in (photo(), photo(60, 80), photo(90, 120)[:, ::-1])]
    for raw, prepared in zip(made.describe_batch(batch), batch, strict=True):
        np.testing.assert_allclose(raw["vectors"], made.describe(prepared)["vectors"], atol=1e-6)


def test_large_photos_and_crops_shrink_by_one_factor() -> None:
    made = make(f"timm:model={CONVNET}")
    large = np.zeros((320, 640, 3), np.uint8)
    assert made.prepare(large).pixels.shape == (80, 160, 3)
    cropped = made.prepare(large, (100, 40, 500, 240))
    assert cropped.pixels.shape == (50, 100, 3)
    np.testing.assert_allclose(cropped.scale, (0.25, 0.25))
    assert cropped.origin == (100, 40)
    assert make(f"timm:model={CONVNET},image_size=64").prepare(large).pixels.shape == (32, 64, 3)
    assert made.extract(large, (0, 0, 3, 2)).vectors.shape == (1, 64)  # a few px


def test_what_is_known_needs_no_weights() -> None:
    """The dimension comes from the "meta" device: nothing is loaded, nothing is refused."""
    for name, dim in (
        ("tf_efficientnet_lite0", 1280),
        ("convnext_tiny", 768),
        ("vit_small_patch14_dinov2", 384),
        ("vit_base_patch14_dinov2", 768),
    ):
        made = make(f"timm:model={name}", "auto")
        assert made.dim == dim
        assert not made.loaded
    assert make("timm:model=vit_base_patch14_dinov2", "auto").image_size == 518
    assert make("timm", "auto").config.model == "tf_efficientnet_lite0"
    assert timm_model.facts("convnext_tiny") is timm_model.facts("convnext_tiny")


def test_the_method_is_complete() -> None:
    card = registry.card("timm")
    assert set(card.parameters) == {f.name for f in dataclasses.fields(timm_model.TimmConfig)}
    assert all(vars(card).values())
    assert card.formula.count("{") == card.formula.count("}")
    for preset in timm_names.PRESETS:
        assert preset in card.idea
        assert timm_names.check_name(preset) == preset
    assert registry.canonical("timm:model=tf_efficientnet_lite0") == "timm"
    one, two = registry.slug("timm:model=test_vit.r160_in1k"), registry.slug("timm:model=test_vit")
    assert one != two
    assert make("timm").identity() == make("timm").identity()


# Refusals


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("model=convnext_tinny", r"no model 'convnext_tinny'.*nearest names: .*convnext_tiny"),
        ("model=qqqqqqqqqqqqqqqqqqq", r"No name is like it"),
        ("model=../../etc/passwd", r"timm has no model"),
        ("model=hf-hub:timm/test_vit", r"timm has no model"),
        ("model=test_vit.r161", r"no checkpoint 'test_vit\.r161'.*test_vit\.r160_in1k"),
        ("model=crossvit_9_240", r"no feature map and no tokens.*gives list.*convnext_tiny"),
        ("model=test_convnext,pooling=cls", r"a feature map\. Legal: gem, mac, spoc, rmac"),
        ("model=test_vit,pooling=mac", r"gives tokens\. Legal: cls, avg, gem, or nothing for cls"),
        ("model=vit_base_patch16_siglip_224,pooling=cls", r"without one for all.*Legal: avg, gem"),
        ("model=vit_mediumd_patch16_rope_reg1_gap_256,pooling=cls", r"without one for all"),
        ("model=hrnet_w18_small,image_size=40", r"Legal: 0 .* strides and windows divide"),
        ("model=test_vit,image_size=100", r"160 x 160 px\. Legal: 0 .*patches \(16 px\)"),
        ("model=cait_xxs24_224,image_size=64", r"224 x 224 px\. Legal: 0 for its own\."),
        ("image_size=20", r"32 to 4096"),
        ("p=0", r"above 0, at most 100"),
    ],
)
def test_what_is_not_possible_is_refused(spec: str, said: str) -> None:
    with pytest.raises(PlaygroundError, match=said):
        registry.create(f"timm:{spec}")


def test_without_timm_everything_else_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    timm_names.library.cache_clear()
    try:
        with pytest.raises(PlaygroundError, match=r"needs the Python package timm.*requirements"):
            timm_names.library()
    finally:
        timm_names.library.cache_clear()


def test_timm_is_imported_at_the_first_use() -> None:
    code = (
        "import sys; from extractors import registry; from scripts import weights;"
        "registry.card('timm'); registry.create('resnet50'); assert 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)


# Runtimes


@pytest.mark.parametrize("name", [CONVNET, TOKENS, "test_efficientnet"])
def test_openvino_gives_what_torch_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    spec = f"timm:model={name}"
    # One that it was not traced at, too: a size must not be frozen.
    photos = [photo(), photo(50, 110), photo(81, 43)]
    expected = [make(spec).extract(one).vectors[0] for one in photos]
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "openvino")
    made = make(spec)
    for one, reference in zip(photos, expected, strict=True):
        assert float(made.extract(one).vectors[0] @ reference) >= 0.999
    assert made.runtime().startswith("openvino")


def test_vit_tiny_on_both_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    spec = "timm:model=vit_tiny_patch16_224"
    reference = make(spec).extract(photo()).vectors[0]
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "openvino")
    made = make(spec)
    assert float(made.extract(photo()).vectors[0] @ reference) >= 0.999
    assert made.runtime().startswith("openvino")


class Frozen(nn.Module):
    """What a trace gets wrong: Python decides by the size."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.shape[3] > 100 else -x


class Opaque(nn.Module):
    """What OpenVINO cannot convert."""

    def forward(self, x: Tensor) -> Tensor:
        return (
            torch.from_numpy(np.ascontiguousarray(x.numpy() * 2))
            + torch.linalg.eigvals(torch.eye(2)).real.sum()
        )


@pytest.mark.parametrize("module", [Frozen, Opaque])
def test_torch_serves_what_openvino_cannot(
    module: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("PLAYGROUND_RUNTIME", "openvino")
    probes = [torch.rand(1, 3, 64, 128), torch.rand(1, 3, 48, 64)]
    network = Network(module(), probes=probes)
    assert network.kind == "torch"
    assert network.description == "torch fp32"
    torch.testing.assert_close(network(probes[1]), module()(probes[1]))


def test_a_batchnorm_that_activates_is_not_folded_away() -> None:
    """timm's BatchNormAct2d is a BatchNorm2d with a ReLU in it."""
    made = make("timm:model=regnetx_002,pooling=spoc")
    with torch.inference_mode():
        x = plain("regnetx_002").forward_features(normalised(photo(), "regnetx_002"))
    np.testing.assert_allclose(
        made.extract(photo()).vectors[0], unit(x.mean(dim=(2, 3))[0]), atol=1e-5
    )


# Weights


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of ``TOKENS`` with its classifier, as it lies on Hugging Face."""
    torch.manual_seed(7)
    path = tmp_path / "any name.bin"
    safetensors.torch.save_file(timm.create_model(TOKENS, pretrained=False).state_dict(), path)
    return path


NAME = f"timm:{TOKENS}"


def test_the_row_is_made_from_what_timm_says() -> None:
    (row,) = weights.known("timm:vit_small_patch14_dinov2")
    assert row.file == "timm/vit_small_patch14_dinov2.safetensors"
    assert row.source == "published"
    assert row.hash_prefix == ""
    assert row.licence == "apache-2.0"
    assert row.url == (
        "https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m/resolve/main/model.safetensors"
    )
    assert downloads.called("timm:vit_small_patch14_dinov2") == [row]
    (none,) = weights.known("timm:lcnet_035")
    assert none.url == ""
    with pytest.raises(PlaygroundError, match="nearest names"):
        weights.known("timm:convnext_tinny")
    with pytest.raises(PlaygroundError, match="no feature map"):
        downloads.called("timm:crossvit_9_240")  # before a download, not after it


def test_missing_weights_are_told_with_the_command() -> None:
    made = make(f"timm:model={TOKENS}", "auto")
    command = f"python -m scripts.weights download {NAME}"
    for use in (made.identity, lambda: made.extract(photo())):
        with pytest.raises(PlaygroundError, match=re.escape(command)):
            use()
    by_hand = make("timm:model=lcnet_035", "auto")
    with pytest.raises(PlaygroundError, match=r"scripts\.weights import timm:lcnet_035 FILE"):
        by_hand.identity()
    with pytest.raises(PlaygroundError, match="Legal: auto, published, untrained, file:PATH"):
        make(f"timm:model={TOKENS}", "imagenet").identity()


def test_import_round_trip(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(script.main, ["import", NAME, str(checkpoint)]) == 0
    path = weights_root() / "timm" / f"{TOKENS}.safetensors"
    assert f"{path} saved" in capsys.readouterr().out
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert path.with_suffix(".sha256").read_text() == f"{sha256}  {path.name}\n"
    made = make(f"timm:model={TOKENS}", "auto")
    assert made.weights_identity() == {"source": "published", "sha256": sha256}
    state = safetensors.torch.load_file(path)
    kept = {k: v for k, v in state.items() if not k.startswith("head.")}
    assert len(kept) == len(state) - 2
    prepared = made.prepare(photo())
    with torch.inference_mode():
        model = plain(TOKENS, kept)
        expected = model.forward_features(normalised(prepared.pixels, TOKENS))[0, 0]
    np.testing.assert_allclose(made.extract(photo()).vectors[0], unit(expected), atol=1e-5)
    from_file = make(f"timm:model={TOKENS}", f"file:{checkpoint}")
    np.testing.assert_array_equal(from_file.extract(photo()).vectors, made.extract(photo()).vectors)
    untrained = make(f"timm:model={TOKENS}").extract(photo()).vectors
    assert float(untrained[0] @ made.extract(photo()).vectors[0]) < 0.99


def test_list_and_check_know_the_file(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(script.main, ["import", NAME, str(checkpoint)]) == 0
    (weights_root() / "timm" / "no model of timm.safetensors").write_bytes(b"")
    capsys.readouterr()
    assert call(script.main, ["list", "--json"]) == 0
    (entry,) = (
        entry
        for entry in json.loads(capsys.readouterr().out)
        if entry["network"].startswith("timm:")
    )
    assert (entry["network"], entry["here"], entry["get"]) == (NAME, True, "download")
    assert call(script.main, ["check"]) == 0
    assert "nothing damaged" in capsys.readouterr().out


def test_damage_is_seen_whenever_the_file_is_used(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = downloads.import_file(downloads.called(NAME)[0], checkpoint)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(PlaygroundError, match="damaged or was replaced") as caught:
        make(f"timm:model={TOKENS}", "auto").identity()
    assert f"python -m scripts.weights download {NAME}" in str(caught.value)
    assert call(script.main, ["check"]) == 2
    assert "damaged or was replaced" in capsys.readouterr().err
    assert downloads.import_file(downloads.called(NAME)[0], checkpoint) == path  # mends it
    assert downloads.check(downloads.called(NAME)[0]) == path
    # One that a person has put there by hand has no promise to break.
    path.with_suffix(".sha256").unlink()
    path.write_bytes(content)
    assert make(f"timm:model={TOKENS}", "auto").weights_identity()["source"] == "published"


def test_a_checkpoint_of_another_model_is_refused(checkpoint: Path) -> None:
    row = downloads.called("timm:test_vit2")[0]
    with pytest.raises(PlaygroundError, match="does not fit the network") as caught:
        downloads.import_file(row, checkpoint)
    assert str(checkpoint) in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert not list((weights_root() / "timm").iterdir())
    with pytest.raises(PlaygroundError, match="does not fit the network"):
        make(f"timm:model={CONVNET}", f"file:{checkpoint}").extract(photo())


def test_a_pickled_checkpoint_is_used_from_where_it_is(checkpoint: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    torch.save(safetensors.torch.load_file(checkpoint), mine)
    with pytest.raises(PlaygroundError, match=r"is no safetensors file.*--weights file:"):
        downloads.import_file(downloads.called(NAME)[0], mine)
    np.testing.assert_array_equal(
        make(f"timm:model={TOKENS}", f"file:{mine}").extract(photo()).vectors,
        make(f"timm:model={TOKENS}", f"file:{checkpoint}").extract(photo()).vectors,
    )


def test_an_older_file_goes_through_the_conversion_of_timm(tmp_path: Path) -> None:
    """Swin's files on Hugging Face hold buffers that timm has since left out."""
    name = "swin_tiny_patch4_window7_224"
    state = plain(name).state_dict()
    state |= {
        "layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49),
        "head.fc.weight": torch.zeros(1000, 768),
    }
    path = tmp_path / "swin.safetensors"
    safetensors.torch.save_file(state, path)
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False, num_classes=0)
    fitted = timm_model.fitting(model, weights.read_state(path), str(path))
    assert set(fitted) == set(model.state_dict())


@pytest.fixture
def server(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The checkpoint on a server of this machine, at the address that the row names."""
    made = weights._timm
    with Server(("127.0.0.1", 0), Handler) as running:
        running.content, running.asked = checkpoint.read_bytes(), []
        url = f"http://127.0.0.1:{running.server_port}/model.safetensors"
        monkeypatch.setattr(weights, "_timm", lambda name: dataclasses.replace(made(name), url=url))
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_download_on_the_command_line(
    server: Server, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(script.main, ["download", NAME, "--quiet"]) == 0
    assert f"timm/{TOKENS}.safetensors saved" in capsys.readouterr().out
    path = weights_root() / "timm" / f"{TOKENS}.safetensors"
    assert path.read_bytes() == checkpoint.read_bytes()
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert path.with_suffix(".sha256").read_text().split() == [sha256, path.name]
    assert make(f"timm:model={TOKENS}", "auto").weights_identity()["sha256"] == sha256
    assert call(script.main, ["download", NAME]) == 0
    assert "here already" in capsys.readouterr().out
    assert server.asked == [0]


def test_a_download_goes_on_where_it_stopped(server: Server) -> None:
    (row,) = downloads.called(NAME)
    settings = downloads.Settings(attempts=2, timeout=10, backoff=0.01)
    server.budget = 100_000
    with pytest.raises(PlaygroundError, match=f"scripts.weights import {NAME} FILE"):
        downloads.download(row, settings=settings)
    part = weights_root() / f"{row.file}.part"
    assert part.stat().st_size == 100_000
    server.budget = None
    server.asked.clear()
    assert downloads.download(row).read_bytes() == server.content
    assert server.asked == [100_000]


def test_a_damaged_beginning_is_fetched_again(server: Server) -> None:
    (row,) = downloads.called(NAME)
    part = weights_root() / f"{row.file}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    assert downloads.download(row).read_bytes() == server.content
    assert server.asked == [1000, 0]


def test_what_arrives_is_checked_though_no_hash_is_known(server: Server) -> None:
    (row,) = downloads.called(NAME)
    server.content = b"<html>Sign in to this network</html>" * 50
    with pytest.raises(PlaygroundError, match=r"arrived damaged.*was deleted"):
        downloads.download(row)
    assert not list((weights_root() / "timm").iterdir())
    server.content = safetensors.torch.save({"weight": torch.zeros(3)})
    with pytest.raises(PlaygroundError, match="does not fit the network"):
        downloads.download(row)
    assert not list((weights_root() / "timm").iterdir())
