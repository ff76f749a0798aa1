"""What explanations say sums to the score, with the extractors that people search with."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data import store
from extractors import registry
from extractors.pooling import held_norms, l2n
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.explain import blocks, cells
from retrieval.explain import registry as explain_registry
from retrieval.explain.base import Grid, Heat, UnexplainedError, Words
from retrieval.ranking import Query, Recipe

CLOSE = 1e-4  # of the cosine


@pytest.fixture(autouse=True)
def _no_weights_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in the caches of the machine, these tests use seeded random weights."""
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def photo(seed: int = 0, height: int = 150, width: int = 200) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def grid_of(spec: str, weights: str = "untrained") -> tuple[Grid, float]:
    """The query's grid of two photos, and the cosine of what ``extract`` gives."""
    extractor = registry.create(spec, weights=weights)
    other = extractor.extract(photo(1)).vectors[0]
    mine = extractor.extract(photo(0), (20, 10, 180, 140)).vectors[0]
    score = float(mine.astype(np.float64) @ other)
    return cells.grid(extractor, photo(0), (20, 10, 180, 140), other, score), score


@pytest.mark.parametrize(
    "spec",
    [
        "resnet50:image_size=96",
        "resnet50:image_size=160,pooling=mac",
        "resnet50:image_size=160,pooling=spoc",
        "resnet50:image_size=160,pooling=rmac",
        "resnet50:image_size=96,p=5.5",
        "vgg16:image_size=64",
        "gem-siamese:image_size=96",  # three scales; its bias is 0 until it is trained
        "gem-vgg16:image_size=96",  # three scales, combined by a power mean
        "timm:model=test_efficientnet",
        "timm:model=test_vit,pooling=avg",
        "timm:model=test_vit,pooling=gem",
    ],
)
def test_cells_sum_to_the_cosine(spec: str) -> None:
    grid, score = grid_of(spec)
    assert grid.values.sum() == pytest.approx(score, abs=CLOSE)
    assert grid.total == pytest.approx(score, abs=1e-9)
    assert grid.box == (20, 10, 180, 140)


def test_a_pooled_channel_goes_to_its_cells_by_their_power() -> None:
    """Against the formula, for one scale without whitening: x^p / sum x^p of each channel."""
    extractor = registry.create("resnet50:image_size=96", weights="untrained")
    other = extractor.extract(photo(1)).vectors[0]
    prepared = extractor.prepare(photo(0))
    from extractors.cnn import to_tensor

    maps = extractor.load()(to_tensor([prepared.pixels]))[0].numpy().astype(np.float64)
    powers = np.maximum(maps, 1e-6) ** 3
    pooled = powers.mean(axis=(1, 2)) ** (1 / 3)
    share = powers / powers.sum(axis=(1, 2), keepdims=True)
    plain = np.einsum("chw,c->hw", share, pooled * other) / np.linalg.norm(pooled)
    (found,) = extractor.trace(prepared, other)
    assert found == pytest.approx(plain, abs=1e-6)


@pytest.mark.bundled
def test_what_no_cell_gives_is_the_bias() -> None:
    extractor = registry.create("gem-siamese:image_size=128,scales=1", weights="bundled")
    other = extractor.extract(photo(1)).vectors[0]
    mine = extractor.extract(photo(0)).vectors[0]
    score = float(mine.astype(np.float64) @ other)
    grid = cells.grid(extractor, photo(0), None, other, score)
    network = extractor._module()
    import torch

    from extractors.cnn import to_tensor

    maps = extractor.load()(to_tensor([extractor.prepare(photo(0)).pixels]))
    with torch.inference_mode():
        length = network.whiten(l2n(network.pool(maps))).norm()
        bias = float(network.whiten.bias @ torch.from_numpy(other) / length)
    assert grid.rest == pytest.approx(bias, abs=CLOSE)
    assert grid.values.sum() + bias == pytest.approx(score, abs=CLOSE)


def test_a_brighter_place_gives_most() -> None:
    """A pattern that both photos have, at different places, on grey."""
    pattern = photo(7, 48, 48)
    query, found = np.full((2, 192, 256, 3), 128, np.uint8)
    query[16:64, 176:224] = pattern
    found[128:176, 32:80] = pattern
    extractor = registry.create("resnet50:image_size=256", weights="untrained")
    vectors = [extractor.extract(one).vectors[0] for one in (query, found)]
    score = float(vectors[0] @ vectors[1])
    for pixels, other, (x, y) in ((query, vectors[1], (200, 40)), (found, vectors[0], (56, 152))):
        grid = cells.grid(extractor, pixels, None, other, score)
        row, column = grid.strongest(1)[0]
        height, width = grid.values.shape
        assert abs((column + 0.5) * 256 / width - x) <= 40
        assert abs((row + 0.5) * 192 / height - y) <= 40


def test_scales_keep_their_sums() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=shape) for shape in ((7, 10), (5, 7), (3, 5))]
    total = cells.summed(maps)
    assert total.shape == (7, 10)
    assert total.sum() == pytest.approx(sum(one.sum() for one in maps))
    half = cells.shares(2, 4)
    assert half.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    assert cells.shares(3, 4).sum(axis=1) == pytest.approx([1, 1, 1])


def test_holding_norms_changes_no_value() -> None:
    import torch

    x = torch.rand(2, 5)
    with held_norms():
        held = l2n(x)
    assert torch.equal(held, l2n(x))


@pytest.mark.parametrize("spec", ["timm:model=test_vit", "vgg16:layer=fc6", "neural-codes"])
def test_what_cannot_be_taken_apart_says_why(spec: str) -> None:
    extractor = registry.create(spec, weights="untrained")
    with pytest.raises(UnexplainedError, match=r"(patch|cell) can be said"):
        cells.grid(extractor, photo(0), None, np.zeros(extractor.dim, np.float32), 0.0)


def test_a_whitened_cosine_is_that_of_the_extractor_underneath() -> None:
    """By hand: y = P (x - m) / |.|, so that x @ d - m @ d is the cosine."""
    rng = np.random.default_rng(3)
    inner = registry.create("hog")
    m, p = rng.normal(size=inner.dim) * 0.01, rng.normal(size=(32, inner.dim))
    from extractors.whitened import Learned, Whitened, WhitenedConfig

    whitened = Whitened(WhitenedConfig(by="x"))
    whitened.__dict__["_learned"] = Learned(
        m.astype(np.float32), p.astype(np.float32), {"extractor": "hog"}, ""
    )
    whitened.__dict__["_base"] = inner
    x, other = (whitened.extract(photo(seed)).vectors[0] for seed in (0, 1))
    prepared = whitened.prepare(photo(0))
    under, direction = whitened.unwrapped(prepared, other)
    assert under is inner and whitened.evidence == "blocks"
    base = inner.extract(photo(0)).vectors[0]
    assert (base - m) @ direction == pytest.approx(float(x @ other), abs=CLOSE)


def test_hog_cells_by_hand() -> None:
    config = registry.create("hog:width=32,height=24,cell=8,block=2,orientations=3").config
    products = np.arange(2 * 3 * 2 * 2 * 3, dtype=np.float64)
    found = blocks.per_cell(products, config)
    assert found.shape == (3, 4)
    assert found.sum() == pytest.approx(products.sum())
    assert found[0, 0] == products[:3].sum()  # the corner lies in one block
    assert found[0, 1] == products[3:6].sum() + products[12:15].sum()  # this one in two


@pytest.mark.parametrize("name", ["hog", "bovw"])
@pytest.mark.parametrize("index", ["flat", "pq"])
def test_parts_sum_to_the_score_of_a_search(
    toy_collection: store.Collection, name: str, index: str
) -> None:
    build("toy", [name], [index])
    engine, query = SearchEngine(), Query.of_photo(toy_collection, toy_collection.queries[0])
    result = engine.search("toy", Recipe.of(name, index), query, 5)
    vectors = engine.vectors("toy", name).vectors
    asked = engine.describe("toy", name, query).features.vectors[0]
    for hit in result.hits:
        found = explain_registry.explain(explain_registry.pair_of(engine, result, query, hit.id))
        exact = float(asked @ vectors[toy_collection.position(hit.id)])
        if index == "flat":
            assert exact == pytest.approx(hit.score, abs=CLOSE)
        assert found.score == pytest.approx(exact, abs=CLOSE)
        if isinstance(found, Heat):
            assert found.aligned
            assert found.query.values.sum() == pytest.approx(exact, abs=CLOSE)
            assert np.array_equal(found.query.values, found.photo.values)
        else:
            assert isinstance(found, Words)
            assert sum(word.value for word in found.words) == pytest.approx(exact, abs=CLOSE)


def test_words_lie_where_their_keypoints_are(toy_collection: store.Collection) -> None:
    build("toy", ["bovw"], ["flat"])
    engine, query = SearchEngine(), Query.of_photo(toy_collection, toy_collection.queries[0])
    result = engine.search("toy", Recipe.of("bovw"), query, 1)
    found = explain_registry.explain(
        explain_registry.pair_of(engine, result, query, result.hits[0].id)
    )
    assert isinstance(found, Words) and found.words
    x0, y0, x1, y1 = query.box
    for word in found.words:
        assert len(word.query) and len(word.photo) and word.idf > 0
        assert (word.query[:, :2] >= (x0 - 1, y0 - 1)).all()
        assert (word.query[:, :2] <= (x1, y1)).all()
    # By hand: idf^2 times the counts, over the norms.
    loaded = engine.vectors("toy", "bovw")
    norms = []
    for pixels, box in ((query.pixels(), query.box), (None, None)):
        extractor = registry.create("bovw")
        extractor.load_state(loaded.state)
        given = toy_collection.read(toy_collection.photo(result.hits[0].id))
        raw = extractor.describe(extractor.prepare(given if pixels is None else pixels, box))
        counts = np.bincount(extractor.words(raw), minlength=extractor.dim)
        norms.append(np.linalg.norm(counts * loaded.state["idf"]))
    first = found.words[0]
    by_hand = first.idf**2 * len(first.query) * len(first.photo) / (norms[0] * norms[1])
    assert first.value == pytest.approx(by_hand, rel=1e-4)


def test_networks_in_a_search(toy_collection: store.Collection) -> None:
    """Both grids sum to the hit's score, through the engine and what is stored."""
    spec = "gem-siamese:image_size=96"
    build("toy", [spec], ["flat"], weights="untrained")
    engine, query = SearchEngine(), Query.of_photo(toy_collection, toy_collection.queries[0])
    result = engine.search("toy", Recipe.of(spec), query, 3)
    pair = explain_registry.pair_of(engine, result, query, result.hits[0].id)
    found = explain_registry.explain(pair)
    assert isinstance(found, Heat) and not found.aligned
    for grid in (found.query, found.photo):
        assert grid.values.sum() == pytest.approx(result.hits[0].score, abs=CLOSE)
    assert explain_registry.explain(pair) is found  # made once
    assert explain_registry.aligned(pair) is None


def test_every_extractor_is_explained_or_says_why() -> None:
    for name in (*registry.METHODS, *registry.FURTHER):
        kind = registry._METHODS.type_of(name).evidence
        assert isinstance(kind, property) or kind in explain_registry.KINDS, name
    assert registry._METHODS.type_of("imported").evidence == ""
