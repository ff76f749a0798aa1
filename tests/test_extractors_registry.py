"""Names, specs, slugs; without any method that needs torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from data.errors import PlaygroundError
from data.specs import Row
from extractors import registry
from extractors.bovw import Bovw, BovwConfig
from extractors.hog import Hog, HogConfig

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    scales: tuple[float, ...] = (1.0, 0.5)
    size: tuple[int, int] = (3, 4)
    flip: bool = False
    power: float = 3.0
    limit: int | None = None
    mode: Literal["gem", "mac"] = "gem"
    text: str = ""


class Toy:
    uses_weights: ClassVar[bool] = True

    def __init__(self, config: ToyConfig, weights: str = "auto") -> None:
        self.config = config
        self.weights = weights


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.METHODS, "toy", Row(f"{__name__}:Toy", "toy"))


def test_names_are_listed_cheapest_first() -> None:
    assert registry.names() == ["hog", "gem-siamese", "resnet50", "delf", "bovw", "vgg16"]


@pytest.mark.parametrize("name", ["hog", "bovw"])
def test_a_method_is_complete(name: str) -> None:
    extractor = registry.create(name)
    card = registry.card(name)
    fields = {field.name for field in dataclasses.fields(extractor.config)}
    assert extractor.name == name
    assert set(card.parameters) == fields
    assert all(vars(card).values())
    assert card.formula.count("{") == card.formula.count("}")
    assert registry.create(registry.canonical(name)).identity() == extractor.identity()


def test_bovw_does_not_import_torch() -> None:
    code = (
        "import sys; from extractors import registry; registry.create('bovw');"
        "registry.card('hog'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_create_merges_overrides_into_the_defaults() -> None:
    bovw = registry.create("bovw: words=64, seed=3")
    assert isinstance(bovw, Bovw)
    assert bovw.config == BovwConfig(words=64, seed=3)
    hog = registry.create("hog", weights="ignored")
    assert isinstance(hog, Hog)
    assert hog.config == HogConfig()


@pytest.mark.usefixtures("toy")
def test_values_become_the_annotated_types() -> None:
    made: Any = registry.create(
        "toy:scales=1+0.7071,size=5+6,flip=TRUE,power=2,limit=7,mode=mac,text=a=b:c", weights="none"
    )
    assert made.config == ToyConfig((1.0, 0.7071), (5, 6), True, 2.0, 7, "mac", "a=b:c")
    assert isinstance(made.config.power, float)
    assert made.weights == "none"
    assert registry.create("toy:limit=none,scales=").config == ToyConfig(scales=())


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("sift", "hog, gem-siamese, resnet50"),
        ("", "hog, gem-siamese, resnet50"),
        ("bovw:colour=1", "image_size, max_keypoints, words, iterations, seed"),
        ("bovw:words", "not field=value"),
        ("bovw:", "not field=value"),
        ("bovw:=3", "not field=value"),
        ("bovw:words=64,words=65", "twice"),
        ("bovw:words=many", "a whole number"),
        ("bovw:words=1.5", "a whole number"),
        ("bovw:words=1", "whole numbers from 2"),
        ("hog:cell=0", "whole numbers from 1"),
        ("hog:cell=40", "does not fit"),
        ("toy:power=nan", "a number"),
        ("toy:flip=maybe", "true or false"),
        ("toy:mode=max", "gem, mac"),
        ("toy:size=1", "2 values"),
        ("toy:scales=1+x", "a number, several"),
        ("toy:limit=x", "a whole number or none"),
    ],
)
def test_what_is_not_possible_is_refused_with_the_legal_values(spec: str, said: str) -> None:
    with pytest.raises(PlaygroundError, match=r"Legal|Remove") as caught:
        registry.create(spec)
    assert said in str(caught.value)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("bovw", "bovw"),
        ("bovw:words=4096", "bovw"),
        (" bovw : words = 0512 , image_size=320", "bovw:image_size=320,words=512"),
        ("toy:power=2,scales=1", "toy:power=2.0,scales=1.0"),
        ("toy:power=1e+30,flip=True,limit=None", "toy:flip=true,power=1e30"),
    ],
)
def test_canonical_spelling(spec: str, expected: str) -> None:
    assert registry.canonical(spec) == expected
    assert registry.canonical(expected) == expected
    assert registry.create(spec).config == registry.create(expected).config


@pytest.mark.usefixtures("toy")
def test_slugs_are_safe_and_distinct() -> None:
    values = ["a", "A", "%41", "a.", "a%2e", "a/b", "a\\b", "a b", "a:b", "a@b", "ä", "~", "=", "."]
    values += ["x" * 300, "x" * 301, "X" * 300]
    specs = [
        "toy",
        "bovw",
        "bovw:words=64",
        "toy:scales=1+0.25",
        *(f"toy:text={v}" for v in values),
    ]
    slugs = [registry.slug(spec) for spec in specs]
    assert len({slug.casefold() for slug in slugs}) == len(specs)
    for slug in slugs:
        assert 0 < len(slug) <= 120
        assert slug == slug.lower()
        assert not set(slug) & set('/\\:*?"<>| ')
        assert not slug.endswith(".")
    assert registry.slug("bovw:words=64") == "bovw@words=64"
    assert registry.slug("bovw:seed=0,words=064") == "bovw@words=64"


def test_expand_lists() -> None:
    assert registry.expand("all") == registry.names()
    assert registry.expand("bovw, hog,bovw") == ["bovw", "hog"]
    assert registry.expand("hog,bovw:words=64,seed=1,vgg16") == [
        "hog",
        "bovw:words=64,seed=1",
        "vgg16",
    ]
    for text in ("", "hog,,bovw", "hog,sift", "words=3"):
        with pytest.raises(PlaygroundError, match="Legal"):
            registry.expand(text)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.METHODS, "absent", Row("no_such_package.module:Class", "absent"))
    with pytest.raises(PlaygroundError, match="needs the Python package no_such_package"):
        registry.create("absent")
    monkeypatch.setitem(
        registry.METHODS, "broken", Row("extractors.no_such_module:Class", "broken")
    )
    with pytest.raises(ModuleNotFoundError):
        registry.create("broken")
