"""The extractors by name, and the specs that people type: ``resnet50:pooling=rmac,p=3``.

A spec is a name, then optionally ``:`` and overrides ``field=value`` between commas; elements of
a tuple stand between ``+`` (``scales=1+0.5``). To add a method, write its module and add its line
to ``METHODS``, or to ``FURTHER`` where it needs files that others published. Its class takes
``(config)``, or ``(config, weights)`` where it sets ``uses_weights = True``; ``config`` is
annotated with the method's frozen dataclass.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Union, cast

from data.errors import PlaygroundError
from extractors.base import Card, Extractor

# Cheapest first. Modules are imported at the first use: hog and bovw work without torch.
METHODS: dict[str, str] = {
    "hog": "extractors.hog:Hog",
    "gem-siamese": "extractors.gem_siamese:GemSiamese",
    "resnet50": "extractors.resnet50:ResNet50",
    "delf": "extractors.delf:Delf",
    "bovw": "extractors.bovw:Bovw",
    "vgg16": "extractors.vgg16:Vgg16",
}
# By name only, not in "all": published networks, whose checkpoints are downloaded or imported, and
# others' vectors after a learned whitening.
FURTHER: dict[str, str] = {
    "neural-codes": "extractors.neural_codes:NeuralCodes",
    "gem-vgg16": "extractors.cirtorch:GemVgg16",
    "gem-resnet101": "extractors.cirtorch:GemResNet101",
    "gem-tl-resnet50": "extractors.cirtorch:GemTlResNet50",
    "gem-tl-resnet101": "extractors.cirtorch:GemTlResNet101",
    "gem-tl-resnet152": "extractors.cirtorch:GemTlResNet152",
    "solar": "extractors.solar:Solar",
    "sir": "extractors.sir:Sir",
    "megaloc": "extractors.megaloc:MegaLoc",
    "timm": "extractors.timm_model:TimmModel",
    "whitened": "extractors.whitened:Whitened",
}
# No network: descriptors that scripts.descriptors imports; in no list of methods.
IMPORTED: dict[str, str] = {"imported": "extractors.imported:Imported"}

_SLUG_LENGTH = 120  # characters; file systems allow 255 bytes, and other parts are added to it
_SLUG_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.,=+")


def names() -> list[str]:
    """The basic methods, cheapest first: what ``all`` stands for and the demo is built with."""
    return list(METHODS)


def further() -> list[str]:
    """Methods used by name only: they need files that this project does not ship."""
    return list(FURTHER)


def card(name: str) -> Card:
    """What the pages show about a method."""
    return _class(name).card


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split a spec into name and overrides, still as text.

    Checks the name, not the fields, so that it needs no method's module.
    """
    name, colon, rest = (part.strip() for part in spec.partition(":"))
    _check_name(name)
    overrides: dict[str, str] = {}
    for part in rest.split(",") if colon else []:
        field, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not field:
            raise PlaygroundError(
                f"'{part.strip()}' in the extractor '{spec}' is not field=value. Legal: a name, "
                f"or name:field=value,field=value with a field of {_fields_text(name)}."
            )
        if field in overrides:
            raise PlaygroundError(f"The extractor '{spec}' sets {field} twice. Remove one of them.")
        overrides[field] = value
    return name, overrides


def create(spec: str, weights: str = "auto") -> Extractor:
    """The extractor of a spec.

    Args:
        weights: where a network's weights come from (see ``extractors.weights``); methods
            without a network ignore it.
    """
    name, overrides = parse_spec(spec)
    cls = _class(name)
    config = _config(name, overrides)
    make = cast(Callable[..., Extractor], cls)
    return make(config, weights=weights) if getattr(cls, "uses_weights", False) else make(config)


def canonical(spec: str) -> str:
    """The one spelling of all equal specs: fields sorted, values normalised, defaults dropped."""
    name, overrides = parse_spec(spec)
    if not overrides:
        return name
    config, default = _config(name, overrides), _config_class(name)()
    changed = [
        f"{field}={_text(getattr(config, field))}"
        for field in sorted(overrides)
        if getattr(config, field) != getattr(default, field)
    ]
    return f"{name}:{','.join(changed)}" if changed else name


def slug(spec: str) -> str:
    """A file name for a spec; different canonical specs have different slugs.

    Only lower-case letters come out, so that it also holds where file names ignore case.
    """
    text = canonical(spec)
    name, colon, fields = text.partition(":")
    safe = name + ("@" if colon else "") + "".join(map(_escape, fields))
    if safe.endswith("."):  # Windows drops a final dot
        safe = safe[:-1] + _hex(".")
    if len(safe) > _SLUG_LENGTH:
        # '~' marks a shortened slug; whole ones never contain it.
        mark = f"~{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        safe = safe[: _SLUG_LENGTH - len(mark)] + mark
    return safe


def expand(text: str) -> list[str]:
    """The specs of a list between commas, or ``names()`` for ``all``; repetitions are dropped.

    A part such as ``p=2`` belongs to the spec before it: ``hog,resnet50:pooling=gem,p=2,bovw``.
    """
    if text.strip() == "all":
        return names()
    specs: list[str] = []
    for part in text.split(","):
        continues = "=" in part and ":" not in part.partition("=")[0]
        if continues and specs:
            specs[-1] += f",{part.strip()}"
        else:
            specs.append(part.strip())
    for spec in specs:
        parse_spec(spec)
    return list(dict.fromkeys(specs))


def _check_name(name: str) -> None:
    if name not in METHODS | FURTHER | IMPORTED:
        raise PlaygroundError(
            f"There is no extractor '{name}'. Legal: {', '.join(METHODS)}, or all for these; "
            f"by name only: {', '.join(FURTHER)}."
        )


def _location(name: str) -> str:
    return (METHODS | FURTHER | IMPORTED)[name]


@functools.cache
def _class(name: str) -> type[Extractor]:
    _check_name(name)
    module, _, attribute = _location(name).partition(":")
    try:
        return cast(type[Extractor], getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"data", "extractors"}:  # a defect of ours, not of the installation
            raise
        raise PlaygroundError(
            f"The extractor '{name}' needs the Python package {missing}, which is not installed. "
            f"Install the project's requirements, or choose another one of {', '.join(METHODS)}."
        ) from error


@functools.cache
def _config_class(name: str) -> type[Any]:
    annotation = typing.get_type_hints(_class(name).__init__)["config"]
    if not dataclasses.is_dataclass(annotation):
        raise TypeError(f"{_location(name)}: 'config' must be annotated with a dataclass")
    return cast(type[Any], annotation)


def _fields_text(name: str) -> str:
    return ", ".join(field.name for field in dataclasses.fields(_config_class(name)))


def _config(name: str, overrides: dict[str, str]) -> Any:
    cls = _config_class(name)
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for field, text in overrides.items():
        if field not in known:
            raise PlaygroundError(
                f"The extractor '{name}' has no field '{field}'. Legal: {_fields_text(name)}."
            )
        try:
            values[field] = _convert(text, hints[field])
        except ValueError:
            raise PlaygroundError(
                f"{field}={text} is not possible for the extractor '{name}'. Legal: "
                f"{_legal(hints[field])}, such as {field}={_text(getattr(cls(), field))}."
            ) from None
    return cls(**values)


def _convert(text: str, kind: Any) -> Any:
    """The value of a text for an annotated type; ValueError where it is none."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType) and type(None) in inner and len(inner) == 2:
        other = inner[0] if inner[1] is type(None) else inner[1]
        return None if text.lower() == "none" else _convert(text, other)
    if origin is Literal:
        for choice in inner:
            if text == str(choice):
                return choice
        raise ValueError(text)
    if origin is tuple:
        parts = text.split("+") if text else []
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_convert(part, inner[0]) for part in parts)
        if len(parts) != len(inner):
            raise ValueError(text)
        return tuple(_convert(part, one) for part, one in zip(parts, inner, strict=True))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind is int:
        return int(text)
    if kind is float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    if kind is str:
        return text
    raise TypeError(f"config fields of type {kind} cannot be set by a spec")


def _legal(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if one is type(None) else _legal(one) for one in inner)
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"{_legal(inner[0])}, several with + between them"
        return f"{len(inner)} values with + between them"
    if kind is bool:
        return "true or false"
    return {int: "a whole number", float: "a number", str: "a text"}.get(kind, str(kind))


def _text(value: Any) -> str:
    """What ``_convert`` reads back as the same value."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).replace("e+", "e")  # '+' separates elements
    if isinstance(value, tuple):
        return "+".join(map(_text, value))
    return str(value)


def _escape(char: str) -> str:
    return char if char in _SLUG_SAFE else _hex(char)


def _hex(char: str) -> str:
    return "".join(f"%{byte:02x}" for byte in char.encode())
