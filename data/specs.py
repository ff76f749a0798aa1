"""Methods by name, and the specs that people type: ``resnet50:pooling=rmac,p=3``.

A spec is a name, then optionally ``:`` and overrides ``field=value`` between commas; elements of
a tuple stand between ``+`` (``scales=1+0.5``). The fields are those of the method's config, a
frozen dataclass that annotates the ``config`` argument of its class. Extractors and re-rankers
share this; an index has parameters that depend on the data, see ``indexing.registry``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar, Union, cast

from data.errors import PlaygroundError

Method = TypeVar("Method")

_ROOMS = {"data", "evaluation", "extractors", "indexing", "retrieval"}
_SLUG_LENGTH = 120  # characters; file systems allow 255 bytes, and other parts are added to it
_SLUG_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.,=+")


@dataclasses.dataclass(frozen=True)
class Row:
    """A method's row in its registry: what is known of it before its module is imported."""

    path: str  # module:Class
    title: str  # short, for buttons and tables; the card has the long one


class Methods(Generic[Method]):
    """The methods of one kind.

    Args:
        kind: what one is called in sentences, such as "extractor".
        rows: name -> ``module:Class``, alone or in a ``Row``. A module is imported at its first
            use, so that one method's missing package leaves the others.
        legal: names what may be chosen, for sentences.
    """

    def __init__(self, kind: str, rows: Mapping[str, str | Row], legal: Callable[[], str]) -> None:
        self._kind, self._rows, self._legal = kind, rows, legal
        self.type_of = functools.cache(self._type_of)
        self.config_of = functools.cache(self._config_of)

    def check(self, name: str) -> None:
        """Refuse a name that is in no row."""
        if name not in self._rows:
            raise PlaygroundError(f"There is no {self._kind} '{name}'. Legal: {self._legal()}.")

    def _path(self, name: str) -> str:
        row = self._rows[name]
        return row if isinstance(row, str) else row.path

    def _type_of(self, name: str) -> type[Method]:
        self.check(name)
        module, _, attribute = self._path(name).partition(":")
        try:
            return cast(type[Method], getattr(importlib.import_module(module), attribute))
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in _ROOMS:  # a defect of ours, not of the installation
                raise
            raise PlaygroundError(
                f"The {self._kind} '{name}' needs the Python package {missing}, which is not "
                f"installed. Install the project's requirements, or choose another one of "
                f"{self._legal()}."
            ) from error

    def _config_of(self, name: str) -> type[Any]:
        annotation = typing.get_type_hints(self.type_of(name).__init__)["config"]
        if not dataclasses.is_dataclass(annotation):
            raise TypeError(f"{self._path(name)}: 'config' must be annotated with a dataclass")
        return cast(type[Any], annotation)

    def parse(self, spec: str) -> tuple[str, dict[str, str]]:
        """Split a spec into name and overrides, still as text.

        Checks the name, not the fields, so that it needs no method's module.
        """
        name, colon, rest = (part.strip() for part in spec.partition(":"))
        self.check(name)
        if not colon:
            return name, {}
        return name, overrides_of(rest, f"{self._kind} '{spec}'", lambda: self._fields(name))

    def config(self, spec: str) -> Any:
        """The config of a spec, checked."""
        name, overrides = self.parse(spec)
        cls = self.config_of(name)
        hints = typing.get_type_hints(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for field, text in overrides.items():
            if field not in known:
                raise PlaygroundError(
                    f"The {self._kind} '{name}' has no field '{field}'. Legal: "
                    f"{self._fields(name) or 'none'}."
                )
            try:
                values[field] = _convert(text, hints[field])
            except ValueError:
                raise PlaygroundError(
                    f"{field}={text} is not possible for the {self._kind} '{name}'. Legal: "
                    f"{_legal(hints[field])}, such as {field}={_text(getattr(cls(), field))}."
                ) from None
        return cls(**values)

    def canonical(self, spec: str) -> str:
        """The one spelling of all equal specs: fields sorted, values normalised, no defaults."""
        name, overrides = self.parse(spec)
        if not overrides:
            return name
        return spec_of(name, self.config(spec))

    def _fields(self, name: str) -> str:
        return ", ".join(field.name for field in dataclasses.fields(self.config_of(name)))


def overrides_of(text: str, what: str, legal: Callable[[], str]) -> dict[str, str]:
    """The overrides ``field=value`` between commas.

    Args:
        what: whose they are, for sentences.
        legal: names the fields, for sentences.
    """
    overrides: dict[str, str] = {}
    for part in text.split(","):
        field, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not field:
            raise PlaygroundError(
                f"'{part.strip()}' in the {what} is not field=value. Legal: a name, or "
                f"name:field=value,field=value with a field of {legal()}."
            )
        if field in overrides:
            raise PlaygroundError(f"The {what} sets {field} twice. Remove one of them.")
        overrides[field] = value
    return overrides


def spec_of(name: str, config: Any) -> str:
    """The canonical spec of a method with this config."""
    default = type(config)()
    changed = [
        f"{field}={_text(getattr(config, field))}"
        for field in sorted(one.name for one in dataclasses.fields(config))
        if getattr(config, field) != getattr(default, field)
    ]
    return f"{name}:{','.join(changed)}" if changed else name


def split_list(text: str) -> list[str]:
    """The specs of a list between commas; repetitions are dropped.

    A part such as ``p=2`` belongs to the spec before it: ``hog,resnet50:pooling=gem,p=2,bovw``.
    """
    specs: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        continues = "=" in part and ":" not in part.partition("=")[0]
        if continues and specs:
            # The first override follows the name's colon, the others a comma.
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return list(dict.fromkeys(specs))


def slug(canonical: str) -> str:
    """A file name for a canonical spec; different ones have different slugs.

    Only lower-case letters come out, so that it also holds where file names ignore case. Longer
    ones than 120 characters end with a hash.
    """
    name, colon, rest = canonical.partition(":")
    safe = name + ("@" if colon else "") + "".join(map(_escape, rest))
    if safe.endswith("."):  # Windows drops a final dot
        safe = safe[:-1] + "%2e"
    if len(safe) > _SLUG_LENGTH:
        # '~' marks a shortened slug; whole ones never contain it.
        mark = f"~{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"
        safe = safe[: _SLUG_LENGTH - len(mark)] + mark
    return safe


def _escape(char: str) -> str:
    return char if char in _SLUG_SAFE else "".join(f"%{byte:02x}" for byte in char.encode())


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
