"""Specs and slugs of indexes."""

from __future__ import annotations

import itertools

import pytest

from data.errors import PlaygroundError
from indexing import registry
from indexing.base import IndexType

SPECS = [
    "flat",
    "ivf",
    "ivf:nlist=16",
    "ivf:nlist=16,nprobe=4",
    "ivf:nlist=1,nprobe=64",
    "lsh:nbits=256",
    "pq:m=8,nbits=4",
    "factory:Flat",
    "factory:flat",
    "factory:OPQ16_64,IVF256,PQ16x4fs,RFlat",
    "factory:OPQ16_64,IVF256,PQ16x4fs,RFlat;nprobe=8",
    "factory:OPQ16_64,IVF256,PQ16x4fs,RFlat;k_factor=2,nprobe=8",
    "factory:IVF256(PQ8x4),Flat",
    "factory:IVF256_PQ8x4,Flat",
    "factory:a@b",
    "factory:a%40b",
    "factory:a.",
]


def test_every_registered_index_keeps_the_contract() -> None:
    assert registry.names() == ["flat", "ivf", "lsh", "pq", "flat-l1", "factory"]
    for name in registry.names():
        kind = registry.index_type(name)
        card = registry.card(name)
        assert isinstance(kind, IndexType)
        assert kind.name == name
        assert kind.distance in ("l2", "hamming")
        assert all((card.title, card.idea, card.formula, card.paper, card.cost, card.when_to_use))
        assert card.url.startswith("https://")
        assert set(kind.search_names) <= set(card.parameters)


def test_parse() -> None:
    kind, overrides = registry.parse_index_spec(" ivf: nprobe = 4 , nlist=16 ")
    assert kind.name == "ivf"
    assert overrides == {"nprobe": "4", "nlist": "16"}
    kind, overrides = registry.parse_index_spec("factory:OPQ16_64,IVF256, PQ16x4fs;nprobe=8")
    assert overrides == {"factory": "OPQ16_64,IVF256,PQ16x4fs", "nprobe": "8"}
    assert registry.canonical("ivf: nprobe=04,nlist=16") == "ivf:nlist=16,nprobe=4"
    assert registry.canonical("ivf:") == "ivf"
    assert registry.without_search("ivf:nlist=16,nprobe=4") == "ivf:nlist=16"
    assert registry.without_search("ivf:nprobe=4") == "ivf"
    assert registry.without_search("factory:IVF4,Flat;nprobe=2") == "factory:IVF4,Flat"


@pytest.mark.parametrize(
    "spec", ["", "bogus", "Flat", "ivf:nlist", "ivf:=3", "ivf:nlist=", "ivf:nlist=1,nlist=2"]
)
def test_illegal_specs_are_named(spec: str) -> None:
    with pytest.raises(PlaygroundError, match=r"Legal|Remove"):
        registry.parse_index_spec(spec)
    with pytest.raises(PlaygroundError, match="Legal"):
        registry.parse_index_spec("factory:")


def test_slugs_are_injective_and_safe() -> None:
    slugs = [registry.slug(spec) for spec in SPECS]
    for one, other in itertools.combinations(slugs, 2):
        assert one != other
    for slug in slugs:
        assert slug == slug.lower()
        assert len(slug) <= 120
        assert not set(slug) & set('/\\:*?"<>| ;')
        assert not slug.endswith(".")
    assert registry.slug("ivf:nprobe=4,nlist=16") == registry.slug("ivf:nlist=16,nprobe=4")


def test_long_slugs_are_shortened_by_a_hash() -> None:
    one, other = (f"factory:{'PQ16,' * 30}{end}" for end in "AB")
    slugs = [registry.slug(one), registry.slug(other)]
    assert slugs[0] != slugs[1]
    assert max(map(len, slugs)) == 120
