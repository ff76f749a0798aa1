"""Charts of Altair, each made once: it checks all of a chart against a schema, which takes longer
than the rest of a page."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import altair as alt

from retrieval.cache import Cache

_specs: Cache[str] = Cache(256)


def once(make: Callable[..., alt.TopLevelMixin]) -> Callable[..., dict[str, Any]]:
    """Decorates what draws a chart of its arguments, which JSON knows.

    It gives the chart for ``st.vega_lite_chart`` then, made anew for new arguments only.
    """

    @functools.wraps(make)
    def spec(*arguments: Any) -> dict[str, Any]:
        key = f"{make.__module__}.{make.__qualname__} {json.dumps(arguments)}"
        text = _specs.get(key, lambda: json.dumps(make(*arguments).to_dict()))
        found: dict[str, Any] = json.loads(text)
        return found

    return spec
