"""Siamese training: losses, mining, whitening, resume; on a tiny trunk."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

pytest.importorskip("pytorch_metric_learning")

from data.errors import PlaygroundError
from extractors import trunks
from extractors.gem_siamese import GemSiamese, GemSiameseConfig
from extractors.modules import SiameseNetwork
from extractors.training import networks, siamese
from extractors.training.export import card_of, save_weights
from extractors.training.losses import MARGINS, N_PAIR_SCALE, tuple_loss
from extractors.training.machine import Machine, machine
from extractors.training.mining import difficulty, draw, groups, hardest_negatives, tuples_of_batch
from extractors.training.photos import split_landmarks
from extractors.training.session import Limits
from extractors.training.siamese import evened
from extractors.training.whitening import learned_whitening, pca_whitening
from extractors.trunks import LITE0
from extractors.weights import Weights, read_state

CPU = Limits(epochs=2)
TINY = siamese.SiameseConfig(
    network="tiny",
    dim=4,
    pixels=32,
    batch=3,
    negatives=2,
    queries=7,
    pool=12,
    learning_rate=1e-3,
    hold_out=0.34,
    patience=0,
)

CARD = card_of("a test", {"seed": 0}, [], 1.0, "cpu", {"command": "c", "commit": "d"}, "nothing.")


def unit(*angles: float) -> torch.Tensor:
    """Unit vectors of the plane at these angles in degrees: (N, 2)."""
    radians = torch.tensor(angles, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1).float()


def at_distance(d: float) -> float:
    """The angle between unit vectors at Euclidean distance d."""
    return float(np.degrees(2 * np.arcsin(d / 2)))


# -- losses ---------------------------------------------------------------------------------------


def test_contrastive_of_a_negative_at_half_with_margin_0_7_is_0_02() -> None:
    # The positive coincides with the query, so that the negative is all there is.
    vectors = unit(0, 0, at_distance(0.5)).expand(2, 3, 2)
    assert tuple_loss("contrastive", 0.7)(vectors).item() == pytest.approx(0.02, abs=1e-5)


def test_contrastive_adds_half_squares_and_ignores_far_negatives() -> None:
    vectors = unit(0, at_distance(0.4), at_distance(0.5), at_distance(1.2))[None]
    expected = 0.5 * 0.4**2 + 0.5 * (0.85 - 0.5) ** 2
    assert tuple_loss("contrastive", 0.85)(vectors).item() == pytest.approx(expected, abs=1e-5)


def test_triplet_is_on_squared_distances() -> None:
    vectors = unit(0, at_distance(0.6), at_distance(0.7), at_distance(1.5))[None]
    expected = 0.6**2 - 0.7**2 + 0.5  # the far negative adds nothing
    assert tuple_loss("triplet")(vectors).item() == pytest.approx(expected, abs=1e-5)


def test_losses_average_over_tuples() -> None:
    one = unit(0, at_distance(0.6), at_distance(0.7), at_distance(0.2))[None]
    other = unit(0, at_distance(0.1), at_distance(1.0), at_distance(0.8))[None]
    for name in ("contrastive", "triplet"):
        loss = tuple_loss(name)
        both = loss(torch.cat([one, other])).item()
        assert both == pytest.approx((loss(one).item() + loss(other).item()) / 2, abs=1e-6)


def test_n_pair_is_the_cross_entropy_of_the_positives() -> None:
    vectors = unit(0, 10, 90, 120)[None]  # two landmarks, a pair each
    anchors, positives = vectors[0, ::2], vectors[0, 1::2]
    logits = N_PAIR_SCALE * anchors @ positives.T
    expected = nn.functional.cross_entropy(logits, torch.arange(2), reduction="sum")
    assert tuple_loss("n-pair")(vectors).item() == pytest.approx(expected.item(), rel=1e-5)


def test_margins_are_those_for_networks_with_a_whitening_layer() -> None:
    assert MARGINS["contrastive"] == 2 * 0.7 and MARGINS["triplet"] == 0.5


def test_an_unknown_loss_names_the_legal_ones() -> None:
    with pytest.raises(PlaygroundError, match="contrastive, triplet, n-pair"):
        tuple_loss("softmax")


# -- mining ---------------------------------------------------------------------------------------


def test_hard_negatives_skip_the_own_landmark_and_take_one_per_landmark() -> None:
    query = unit(0).numpy()
    pool = unit(1, 2, 3, 4, 50, 90).numpy()
    labels = ["own", "a", "a", "b", "b", "c"]
    found = hardest_negatives(query, ["own"], pool, labels, 3)
    assert found.tolist() == [[1, 3, 5]]


def test_mining_without_enough_landmarks_says_so() -> None:
    pool = unit(1, 2).numpy()
    with pytest.raises(PlaygroundError, match=r"3 negatives.*has 1 other landmarks"):
        hardest_negatives(unit(0).numpy(), ["own"], pool, ["own", "a"], 3)


def test_difficulty_by_hand() -> None:
    negatives = unit(60, 90).numpy()[None]
    easy = difficulty(unit(0).numpy(), unit(0).numpy(), negatives)
    assert easy["positive_similarity"] == pytest.approx(1)
    assert easy["negative_similarity"] == pytest.approx(0.25)
    assert easy["hard"] == 0
    assert difficulty(unit(0).numpy(), unit(70).numpy(), negatives)["hard"] == 1


def test_draw_pairs_each_query_with_another_photo_of_its_landmark() -> None:
    labels = ["a", "b", "a", "b", "c", "c", "held", "held"]
    drawn = draw(labels, range(6), 5, 4, np.random.default_rng(0))
    assert len(drawn.queries) == 5 and len(drawn.pool) == 4
    for query, positive in zip(drawn.queries, drawn.positives, strict=True):
        assert labels[query] == labels[positive] and query != positive
    assert max([*drawn.queries, *drawn.positives, *drawn.pool]) < 6


def test_groups_are_of_one_landmark_each_and_of_different_ones_in_a_batch() -> None:
    labels = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d"] * 5
    where = [i for i in range(14) if i != 0]  # one photo of a is held out
    found = groups(labels, where, 7, 3, 3, np.random.default_rng(0))
    assert found.shape == (6, 3)  # two batches of three groups; a third would not be whole
    for batch in found.reshape(2, 3, 3):
        of = [{labels[i] for i in group} for group in batch]
        assert all(len(one) == 1 for one in of) and len(set.union(*of)) == 3
    assert 0 not in found
    assert all(len(set(g)) == 3 for g in found if labels[g[0]] != "c")  # c has but two
    with pytest.raises(PlaygroundError, match="needs 5 different landmarks and there are 4"):
        groups(labels, where, 5, 3, 5, np.random.default_rng(0))


def test_a_batch_makes_tuples_of_all_its_pictures() -> None:
    vectors = unit(0, 10, 90, 120).reshape(2, 2, 2)
    found = tuples_of_batch(vectors, 2).tolist()
    assert found == [[0, 1, 2, 3], [1, 0, 2, 3], [2, 3, 1, 0], [3, 2, 1, 0]]
    three = unit(0, 10, 20, 90, 120, 150).reshape(2, 3, 2)
    found = tuples_of_batch(three, 1).tolist()
    assert found[:4] == [[0, 1, 3], [0, 2, 3], [1, 0, 3], [1, 2, 3]] and len(found) == 12


def test_held_out_landmarks_are_whole_and_apart() -> None:
    labels = [name for name in "abcdefghij" for _ in range(3)] + ["single"]
    split = split_landmarks(labels, 0.3, seed=4)
    trained, held = ({labels[i] for i in part} for part in (split.train, split.validation))
    assert len(held) == 3 and not trained & held
    assert "single" not in trained | held
    assert split == split_landmarks(labels, 0.3, seed=4)
    assert split != split_landmarks(labels, 0.3, seed=5)


def test_too_few_landmarks_are_refused() -> None:
    with pytest.raises(PlaygroundError, match=r"at least 4 landmarks.*there are 3"):
        split_landmarks(["a", "a", "b", "b", "c", "c", "d"], 0.2, seed=0)


# -- whitening ------------------------------------------------------------------------------------


def test_pca_whitening_makes_the_covariance_the_identity() -> None:
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(500, 5)) * [5, 3, 2, 1, 0.5] + 7).astype(np.float32)
    found = pca_whitening(x)
    y = (x - found.m) @ found.P.T
    assert np.allclose(np.cov(y.T, bias=True), np.eye(5), atol=1e-5)


def test_whitening_to_a_power_turns_or_evens_out() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(400, 3)) * (4, 2, 1)).astype(np.float32)
    whitened = pca_whitening(x)
    rotation = evened(whitened.P, 0)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(evened(whitened.P, 0.5), whitened.P, atol=1e-6)
    half = (x - whitened.m) @ evened(whitened.P, 0.25).T
    # Standard deviations of 4, 2 and 1 become their square roots.
    expected = np.sqrt((x @ rotation.T).std(axis=0))
    np.testing.assert_allclose(half.std(axis=0), expected, rtol=0.001)


def test_learned_whitening_has_unit_scatter_of_matching_pairs_and_sorted_axes() -> None:
    rng = np.random.default_rng(2)
    landmarks = rng.normal(size=(80, 4)) * [3, 1, 2, 0.5]
    x = np.repeat(landmarks, 2, axis=0) + rng.normal(size=(160, 4)) * [0.1, 0.5, 0.2, 0.4]
    queries, positives = np.arange(0, 160, 2), np.arange(1, 160, 2)
    found = learned_whitening(x.astype(np.float32), queries, positives)
    differences = (x[queries] - x[positives]) @ found.P.T
    assert np.allclose(differences.T @ differences / 80, np.eye(4), atol=1e-4)
    spread = (((x - found.m) @ found.P.T) ** 2).sum(axis=0)
    assert (np.diff(spread) < 0).all()
    assert np.allclose(found.m, x[queries].mean(axis=0), atol=1e-5)


def test_whitened_vectors_have_unit_length_and_the_wanted_dimensions() -> None:
    x = np.random.default_rng(3).normal(size=(50, 6)).astype(np.float32)
    y = pca_whitening(x).apply(x, dim=3)
    assert y.shape == (50, 3) and y.dtype == np.float32
    assert np.allclose(np.linalg.norm(y, axis=1), 1, atol=1e-5)


# -- training -------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trunk of two convolutions and a BatchNorm under the name ``tiny``."""

    def make(network: str, weights: str) -> tuple[nn.Module, Weights]:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2)]
        return nn.Sequential(*layers, nn.ReLU()), Weights(network, weights, None, "tiny")

    monkeypatch.setitem(trunks.TRUNKS, "tiny", trunks.Trunk(8, 8, nn.Identity))
    monkeypatch.setattr(siamese, "trained_trunk", make)


class Drawn:
    """Six landmarks of three pictures each: a pattern, shifted and lit a little differently."""

    fingerprint = "drawn"
    matches: ClassVar[dict[int, tuple[int, ...]]] = {}

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.labels = tuple(f"landmark-{i}" for i in range(6) for _ in range(3))
        patterns = rng.integers(0, 200, (6, 10, 14, 3))
        shifted = [np.roll(patterns[i // 3], i % 3, axis=1) for i in range(18)]
        self._pictures = [
            np.kron(one + rng.integers(0, 50), np.ones((4, 4, 1))).astype(np.uint8)
            for one in shifted
        ]

    def read(self, i: int, longer_side: int) -> np.ndarray:
        return self._pictures[i]


PHOTOS = Drawn()


def mean_precision(vectors: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """A stand-in for mAP: how often the nearest other picture is of the same landmark."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -2)
    nearest = similar.argmax(axis=1)
    return {"map": float(np.mean([labels[i] == labels[n] for i, n in enumerate(nearest)]))}


def trained(folder: Path, config: siamese.SiameseConfig, limits: Limits = CPU) -> siamese.Progress:
    with machine("cpu", "fp32") as here:
        return siamese.train_siamese(
            config, limits, here, folder, PHOTOS, score=mean_precision, say=lambda _: None
        )


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint.safetensors")


class KilledError(Exception):
    pass


@pytest.mark.usefixtures("tiny")
def test_a_training_killed_twice_ends_like_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = trained(tmp_path / "a", TINY)
    often = dataclasses.replace(CPU, save_minutes=0)  # a checkpoint after every step
    save = siamese.Run.save
    for _ in range(2):  # in the middle of the first epoch, then of the second
        left = iter(range(2))

        def dying(self: object, *arguments: object, left=left) -> None:
            save(self, *arguments)
            if next(left, None) is None:
                raise KilledError

        monkeypatch.setattr(siamese.Run, "save", dying)
        with pytest.raises(KilledError):
            trained(tmp_path / "b", TINY, often)
    monkeypatch.setattr(siamese.Run, "save", save)
    resumed = trained(tmp_path / "b", TINY, often)
    assert resumed.ended == undisturbed.ended == "done"
    assert resumed.step == undisturbed.step == 6  # 7 tuples, 3 a step, 2 epochs
    first, second = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    scored = [[e["map"] for e in run.history if "map" in e] for run in (undisturbed, resumed)]
    assert scored[0] == scored[1] and len(scored[0]) == 3  # before, and after each epoch


@pytest.mark.usefixtures("tiny")
def test_training_moves_the_weights_but_not_batchnorms_statistics(tmp_path: Path) -> None:
    progress = trained(tmp_path, TINY, Limits(epochs=1))
    state = tensors(tmp_path)
    fresh = siamese.trained_trunk("tiny", "auto")[0].state_dict()
    assert not torch.equal(state["network.trunk.0.weight"], fresh["0.weight"])
    assert torch.equal(state["network.trunk.1.running_mean"], fresh["1.running_mean"])
    assert state["network.pool.p"].item() != 3.0
    mined = [entry for entry in progress.history if "hard" in entry]
    assert len(mined) == 1 and 0 <= mined[0]["hard"] <= 1


@pytest.mark.usefixtures("tiny")
def test_tune_freezes_the_other_parts(tmp_path: Path) -> None:
    trained(tmp_path, dataclasses.replace(TINY, tune="3"), Limits(epochs=1))
    state = tensors(tmp_path)
    fresh = siamese.trained_trunk("tiny", "auto")[0].state_dict()
    assert torch.equal(state["network.trunk.0.weight"], fresh["0.weight"])
    assert not torch.equal(state["network.trunk.3.weight"], fresh["3.weight"])


@pytest.mark.usefixtures("tiny")
def test_the_head_has_a_learning_rate_of_its_own(tmp_path: Path) -> None:
    trained(tmp_path / "still", dataclasses.replace(TINY, head_rate=0.0, weight_decay=0.0))
    trained(tmp_path / "moved", dataclasses.replace(TINY, weight_decay=0.0, learning_rate=0.0))
    still, start = tensors(tmp_path / "still"), tensors(tmp_path / "moved")
    for name in ("pool.p", "whiten.weight", "whiten.bias"):  # both start from one whitening
        assert torch.equal(still[f"network.{name}"], start[f"network.{name}"]), name
    assert not torch.equal(still["network.trunk.0.weight"], start["network.trunk.0.weight"])


@pytest.mark.usefixtures("tiny")
def test_a_head_to_start_from_takes_the_place_of_the_whitening(tmp_path: Path) -> None:
    head = {
        "pool.p": torch.tensor([2.5]),
        "whiten.weight": torch.randn(4, 8, generator=torch.Generator().manual_seed(3)),
        "whiten.bias": torch.arange(4.0),
        "trunk.0.weight": torch.zeros(8, 3, 3, 3),  # no part of the head: stays the trunk's own
    }
    save_file(head, tmp_path / "head.safetensors")
    config = dataclasses.replace(
        TINY, head=f"file:{tmp_path / 'head.safetensors'}", learning_rate=0.0
    )
    trained(tmp_path / "a", config, Limits(epochs=1))
    state = tensors(tmp_path / "a")
    for name in ("pool.p", "whiten.weight", "whiten.bias"):
        assert torch.equal(state[f"network.{name}"], head[name]), name
    fresh = siamese.trained_trunk("tiny", "auto")[0].state_dict()
    assert torch.equal(state["network.trunk.0.weight"], fresh["0.weight"])
    with pytest.raises(PlaygroundError, match="has no head of 3 dimensions"):
        trained(tmp_path / "b", dataclasses.replace(config, dim=3))
    with pytest.raises(PlaygroundError, match="untrained weights are no head"):
        trained(tmp_path / "b", dataclasses.replace(config, head="untrained"))


def test_the_penalty_is_the_mean_of_one_minus_cosine() -> None:
    found = siamese.kept_loss(unit(0, 90, 10), unit(60, 90, 190))
    assert found.item() == pytest.approx((0.5 + 0 + 2) / 3, abs=1e-6)


@pytest.mark.usefixtures("tiny")
def test_the_penalty_holds_the_trunk_to_what_it_saw(tmp_path: Path) -> None:
    fast = dataclasses.replace(TINY, learning_rate=0.02, tune="3")
    kept = dataclasses.replace(fast, keep=50.0)
    left = {}
    for name, config in (("free", fast), ("kept", kept)):
        progress = trained(tmp_path / name, config, Limits(epochs=4))
        network = SiameseNetwork(siamese.trained_trunk("tiny", "auto")[0], 8, 4)
        before = siamese.Trained(network, Machine(torch.device("cpu"), "fp32"), "tiny").eval()
        after = copy.deepcopy(before)
        state = {k.removeprefix("network."): v for k, v in tensors(tmp_path / name).items()}
        own = {k: v for k, v in state.items() if k in network.state_dict()}
        after.network.load_state_dict(own)
        head = {k: v for k, v in own.items() if not k.startswith("trunk.")}
        before.network.load_state_dict(head, strict=False)
        views = torch.from_numpy(np.stack([PHOTOS.read(i, 40)[:, :40] for i in range(18)]))
        x = views.permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            left[name] = siamese.kept_loss(after(x), before(x)).item()
            both = after(x, before.features(x))
            assert torch.allclose(both, torch.cat([after(x), before(x)]), atol=1e-6)
    assert left["kept"] < 0.5 * left["free"]
    assert all(entry["left"] > 0 for entry in progress.history if "loss" in entry)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("change", [{"keep": 0.0}, {"keep": 1.0, "tune": "none"}])
def test_a_penalty_without_anything_to_hold_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(PlaygroundError, match=r"--keep \d --tune \w+ is not possible. Legal: "):
        trained(tmp_path, dataclasses.replace(TINY, **change))


@pytest.mark.usefixtures("tiny")
def test_an_average_lies_between_the_start_and_the_trained_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rising = itertools.count()
    monkeypatch.setitem(globals(), "mean_precision", lambda *_: {"map": next(rising)})
    config = dataclasses.replace(TINY, learning_rate=0.02, average=0.25)
    trained(tmp_path, config, Limits(epochs=1))
    trained(tmp_path, config, Limits(epochs=2))  # goes on with the same start
    start, best = (load_file(tmp_path / name) for name in (siamese.START, siamese.BEST))
    moved = 0
    for name, value in best.items():
        end = tensors(tmp_path)[f"network.{name}"]
        if name.endswith("num_batches_tracked"):
            continue
        assert torch.allclose(value, start[name] + (end - start[name]) / 4, atol=1e-6), name
        moved += not torch.equal(end, start[name])
    assert moved
    with pytest.raises(PlaygroundError, match=r"--average 0 is not possible. Legal: above 0, to 1"):
        trained(tmp_path / "b", dataclasses.replace(config, average=0.0))


def test_a_tuned_part_is_stored_without_the_rest_of_the_packaged_trunk(tmp_path: Path) -> None:
    trunk, found = networks.trained_trunk(LITE0, "packaged")
    network = SiameseNetwork(trunk, trunks.TRUNKS[LITE0].channels, 4)
    with torch.no_grad():
        network.trunk.blocks[6][0].conv_pw.weight *= 1.5
    path, whole = tmp_path / "tuned.safetensors", tmp_path / "whole.safetensors"
    save_weights(path, network.state_dict(), CARD, kept=found, int8=True)
    save_weights(whole, network.state_dict(), CARD)
    changed = "trunk.blocks.6.0.conv_pw.weight"
    head = {"pool.p", "whiten.weight", "whiten.bias"}
    assert read_state(path).keys() == head | {changed}
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    seen = {}
    for name, weights in (("tuned", path), ("whole", whole), ("as packaged", None)):
        config = GemSiameseConfig(dim=4, scales=(1.0,))
        extractor = GemSiamese(config, weights=f"file:{weights}" if weights else "packaged")
        features = extractor.build_network()(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
        seen[name] = features.detach().mean(dim=(0, 2, 3))
    close = torch.cosine_similarity(seen["tuned"], seen["whole"], dim=0)
    assert close > 0.999 > torch.cosine_similarity(seen["tuned"], seen["as packaged"], dim=0)
    save_weights(path, network.state_dict(), CARD, kept=dataclasses.replace(found, sha256="0" * 64))
    with pytest.raises(PlaygroundError, match="belongs to weights of efficientnet-lite0"):
        GemSiamese(GemSiameseConfig(dim=4), weights=f"file:{path}").build_network()


@pytest.mark.usefixtures("tiny")
def test_an_unknown_part_to_tune_names_the_parts(tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match=r"no part 'layer9'.*0, 1, 3"):
        trained(tmp_path, dataclasses.replace(TINY, tune="layer9"))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("loss", ["triplet", "n-pair"])
def test_the_other_losses_train(tmp_path: Path, loss: str) -> None:
    progress = trained(tmp_path, dataclasses.replace(TINY, loss=loss), Limits(epochs=1))
    losses = [entry["loss"] for entry in progress.history if "loss" in entry]
    assert progress.ended == "done" and np.isfinite(losses).all() and losses


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("loss", ["contrastive", "triplet", "second-order"])
def test_a_batch_that_mines_itself_trains(tmp_path: Path, loss: str) -> None:
    config = dataclasses.replace(TINY, loss=loss, mining="batch", per_landmark=3, hold_out=0.2)
    progress = trained(tmp_path, config, Limits(epochs=2))
    assert progress.ended == "done" and progress.step == 4  # 7 landmarks, 3 a step, 2 epochs
    losses = [entry["loss"] for entry in progress.history if "loss" in entry]
    assert len(losses) == 2 and np.isfinite(losses).all() and min(losses) > 0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"per_landmark": 1}, "--batch 3 --per-landmark 1 --negatives 2 is not possible"),
        ({"negatives": 9}, "--batch 3 --per-landmark 4 --negatives 9 is not possible"),
        ({"loss": "n-pair"}, "not possible with n-pair, whose negatives are pairs"),
        ({"mining": "year"}, "--mining year is unknown. Legal: epoch, batch"),
    ],
)
def test_batches_that_cannot_mine_themselves_are_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(PlaygroundError, match=said):
        trained(tmp_path, dataclasses.replace(TINY, **{"mining": "batch", **change}))


@pytest.mark.usefixtures("tiny")
def test_batches_of_photos_that_list_their_matches_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(PHOTOS), "matches", {0: (1,)}, raising=False)
    with pytest.raises(PlaygroundError, match="these photos list theirs"):
        trained(tmp_path, dataclasses.replace(TINY, mining="batch"))


@pytest.mark.usefixtures("tiny")
def test_it_stops_early_and_keeps_the_best_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.1, 0.9, 0.5, 0.4, 0.3])

    def falling(vectors: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        return {"map": next(values)}

    monkeypatch.setitem(globals(), "mean_precision", falling)
    config = dataclasses.replace(TINY, patience=2)
    progress = trained(tmp_path, config, Limits(epochs=9))
    assert progress.ended == "stopped early" and progress.epoch == 3
    assert progress.extra["best"] == {"map": 0.9, "epoch": 1}
    assert (tmp_path / siamese.BEST).is_file()


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_another_recipe_is_not_continued(tmp_path: Path) -> None:
    trained(tmp_path, TINY, Limits(epochs=1))
    with pytest.raises(PlaygroundError, match=r"another recipe: margin None, now 0\.7"):
        trained(tmp_path, dataclasses.replace(TINY, margin=0.7))


@pytest.mark.usefixtures("tiny")
def test_a_damaged_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    trained(tmp_path, TINY, Limits(epochs=1))
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PlaygroundError, match="cannot be read as a checkpoint"):
        trained(tmp_path, TINY)
