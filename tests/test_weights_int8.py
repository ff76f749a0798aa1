"""Weights stored as int8 with a scale per channel: what is read again, and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from data.artefact import file_sha256
from data.errors import PlaygroundError
from extractors import weights
from extractors.training.export import (
    Shared,
    card_of,
    halved,
    quantise_file,
    quantised,
    save_weights,
)
from extractors.weights import INT8, SCALE, SHARES, header, read_state
from scripts import quantise_weights

CARD = card_of("a test", {"seed": 0}, [], 1.0, "cpu", {"command": "c", "commit": "d"}, "nothing.")


def network() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    convolution = torch.randn(6, 4, 3, 3, generator=generator)
    # Channels of very different sizes: of each its own scale.
    convolution *= torch.tensor([1.0, 1e-1, 1e-2, 1e-3, 1e-5, 0.0]).reshape(-1, 1, 1, 1)
    return {"conv.weight": convolution, "conv.bias": torch.rand(6, generator=generator)}


def test_a_channel_by_hand() -> None:
    """127 and -63.5 at a scale of 1 (fp16 has it exactly); 254 doubles the scale."""
    stored = quantised({"w": torch.tensor([[127.0, -63.6], [254.0, 1.0]]), "b": torch.ones(2)})
    assert stored["w"].dtype == torch.int8
    assert stored["w"].tolist() == [[127, -64], [127, 0]]  # 0.5 is rounded to the even number
    assert stored[f"w{SCALE}"].dtype == torch.float16
    assert stored[f"w{SCALE}"].tolist() == [1.0, 2.0]
    assert torch.equal(stored["b"], torch.ones(2)) and f"b{SCALE}" not in stored


def test_what_is_read_differs_by_half_a_scale_at_most(tmp_path: Path) -> None:
    state = network()
    save_weights(tmp_path / "n.safetensors", state, CARD, int8=True)
    read = read_state(tmp_path / "n.safetensors")
    assert read.keys() == state.keys()
    assert torch.equal(read["conv.bias"], state["conv.bias"])
    before = halved(state)["conv.weight"].float()  # int8 starts from what fp16 would have kept
    largest = before.abs().amax(dim=(1, 2, 3))
    # fp16 rounds a scale up by 1/1024 at most, or by its smallest step.
    scale = largest / 127 * (1 + 2**-10) + 2**-24
    error = (read["conv.weight"] - before).abs().amax(dim=(1, 2, 3))
    assert (error <= scale / 2).all()
    assert (read["conv.weight"][5] == 0).all()
    assert weights.training_card(tmp_path / "n.safetensors") == CARD


def test_it_takes_half_of_fp16(tmp_path: Path) -> None:
    state = {"w": torch.rand(64, 4096)}
    save_weights(tmp_path / "half.safetensors", state, CARD)
    save_weights(tmp_path / "int8.safetensors", state, CARD, int8=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("int8", "half")]
    assert sizes[0] < 0.51 * sizes[1]


def test_a_file_is_made_int8_where_it_lies_and_its_heads_know(tmp_path: Path) -> None:
    base, own = tmp_path / "base.safetensors", tmp_path / "own.safetensors"
    save_weights(base, network(), CARD)
    whole = {f"trunk.{k}": v for k, v in read_state(base).items()} | {"head": torch.rand(5)}
    save_weights(own, whole, CARD, Shared(base, "trunk."))
    card = base.with_suffix(".json").read_bytes()
    assert quantise_weights.main([str(base)]) == 0
    found = weights.resolve("resnet50", f"file:{base}")
    assert found.identity == {"source": f"file:{base}", "sha256": file_sha256(base)}
    assert json.loads(header(own)[SHARES])["sha256"] == found.sha256
    read, alone = read_state(own), read_state(base)
    assert torch.equal(read["head"], whole["head"])
    for name, value in alone.items():
        assert torch.equal(read[f"trunk.{name}"], value)
    assert not torch.equal(alone["conv.weight"], whole["trunk.conv.weight"])
    assert base.with_suffix(".json").read_bytes() == card  # the card stays as it was
    with pytest.raises(PlaygroundError, match="cannot be made int8: it is so already"):
        quantise_file(base)
    with pytest.raises(PlaygroundError, match="shares another file's tensors"):
        quantise_file(own)
    with pytest.raises(PlaygroundError, match="There is no weights file"):
        quantise_weights.main([str(tmp_path / "none.safetensors")])


def test_some_tensors_stay_as_they_are(tmp_path: Path) -> None:
    path, state = (
        tmp_path / "n.safetensors",
        {"first.w": torch.rand(4, 9), "last.w": torch.rand(4, 9)},
    )
    save_weights(path, state, CARD)
    before = read_state(path)
    assert quantise_weights.main([str(path), "--keep", r"^first\."]) == 0
    assert json.loads(header(path)[INT8]) == ["last.w"]
    read = read_state(path)
    assert torch.equal(read["first.w"], before["first.w"])
    assert not torch.equal(read["last.w"], before["last.w"])
    with pytest.raises(PlaygroundError, match=r"--keep \( is no regular expression"):
        quantise_weights.main([str(path), "--keep", "("])


def test_the_same_network_is_the_same_again(tmp_path: Path) -> None:
    """What is read and written again is what was read."""
    save_weights(tmp_path / "a.safetensors", {"w": torch.randn(8, 32)}, CARD, int8=True)
    first = read_state(tmp_path / "a.safetensors")
    again = quantised(first)
    values = again["w"].float() * again[f"w{SCALE}"].float()[:, None]
    assert torch.allclose(values, first["w"], rtol=1e-6)


def broken(path: Path, names: str, tensors: dict[str, Tensor]) -> Path:
    safetensors.torch.save_file(tensors, path, {INT8: names})
    return path


WHOLE = torch.ones(2, 3, dtype=torch.int8)


@pytest.mark.parametrize(
    ("names", "scales", "said"),
    [
        ("{", None, "does not say which tensors are int8"),
        ('{"w": 1}', None, "does not say which tensors are int8"),
        ("[1]", None, "does not say which tensors are int8"),
        ('["w"]', None, "w or its scale is missing"),
        ('["other"]', torch.ones(2), "other or its scale is missing"),
        ('["w"]', torch.ones(3), r"w has 2 channels and a scale of the shape \(3,\)"),
        ('["w"]', torch.ones(2, 1), r"w has 2 channels and a scale of the shape \(2, 1\)"),
        ('["w"]', torch.tensor([1.0, torch.nan]), "a scale of w is not a number above 0"),
        ('["w"]', torch.tensor([1.0, torch.inf]), "a scale of w is not a number above 0"),
        ('["w"]', torch.tensor([1.0, 0.0]), "a scale of w is not a number above 0"),
        ('["w"]', torch.tensor([1.0, -1.0]), "a scale of w is not a number above 0"),
    ],
)
def test_a_broken_scale_is_a_sentence(
    tmp_path: Path, names: str, scales: Tensor | None, said: str
) -> None:
    tensors = {"w": WHOLE} if scales is None else {"w": WHOLE, f"w{SCALE}": scales.half()}
    path = broken(tmp_path / "n.safetensors", names, tensors)
    with pytest.raises(PlaygroundError, match=f"n.safetensors is damaged: .*{said}"):
        read_state(path)


def test_a_file_whose_header_was_lost_does_not_pass_for_whole(tmp_path: Path) -> None:
    module = nn.Linear(3, 2, bias=False)
    path = tmp_path / "n.safetensors"
    save_weights(path, {"weight": torch.rand(2, 3)}, CARD, int8=True)
    safetensors.torch.save_file(safetensors.torch.load_file(path), path)
    with pytest.raises(PlaygroundError, match=f"not expected: weight{SCALE}"):
        weights.load_into(module, read_state(path), str(path))
