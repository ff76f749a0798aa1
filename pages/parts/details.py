"""The dialog on one photo: all of it, what is known about it, and what to do with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from data.base import Photo
from pages.parts import backend, feedback, state, why
from pages.parts.text import address, plain

if TYPE_CHECKING:
    from data.store import Collection
    from retrieval.ranking import Hit


def show_photo(
    members: Collection,
    photo: Photo,
    hit: Hit | None = None,
    where: str = "",
    verdict: bool | None = None,
    after: Callable[[], None] | None = None,
    reason: why.Why | None = None,
    on_dismiss: Callable[[], None] | None = None,
) -> None:
    """Open the dialog; see ``_body`` for what is in it.

    Args:
        members: the photo's collection.
        photo: what to show.
        hit: its place in a result, if it comes from one.
        where: which result, such as "HOG · Flat".
        verdict: whether it shows the query's landmark.
        after: what to do once the photo was made the query; None: draw this page again.
        reason: what explains the hit; None: the photo alone.
        on_dismiss: called when the dialog is closed.
    """
    opened = st.dialog(
        plain(backend.caption(members, photo)), width="large", on_dismiss=on_dismiss or "ignore"
    )(_body)
    opened(members, photo, hit, where, verdict, after, reason)


def _body(
    members: Collection,
    photo: Photo,
    hit: Hit | None,
    where: str,
    verdict: bool | None,
    after: Callable[[], None] | None,
    reason: why.Why | None,
) -> None:
    with backend.guard("show this photo"):
        explained = reason is not None and hit is not None
        changed = members.changed(photo)
        if changed:
            st.warning(plain(changed))
        left, right = st.columns([7, 3] if explained else [3, 2], gap="medium")
        pixels, _ = backend.read_photo(members, photo)
        marked = False
        with right:
            if hit is not None:
                _place(hit, where, verdict)
            _facts(members, photo)
            clicked = _use_button(members, photo)
            # Votes are of local features, which have no one query that could be moved.
            if reason is not None and hit is not None and hit.votes is None:
                marked = feedback.buttons(photo.id)
            below = st.container()
        if clicked and after is not None:
            after()
        if clicked or marked:
            st.rerun()  # before the explanation, which takes longer than anything else here
        with left:
            view = why.choose(reason, photo) if reason is not None and explained else why.PHOTO
            if reason is not None and hit is not None and view != why.PHOTO:
                with backend.guard("explain this hit"):
                    why.show(reason, view, photo, pixels, hit, below)
            else:
                height, width = pixels.shape[:2]
                # The dialog is 1,200 px wide at most; a tall photo should not fill two screens.
                fits = round(min(680.0, 560 * width / height))
                st.image(backend.picture_url(pixels, 1400), width=fits, alt=photo.label or photo.id)
        if photo.extra:
            with st.expander("How this picture came about"):
                st.table(
                    [
                        {"What": plain(key), "Value": plain(value)}
                        for key, value in flat(photo.extra)
                    ]
                )


def _use_button(members: Collection, photo: Photo) -> bool:
    return bool(
        st.button(
            "Use as query",
            type="primary",
            key="use_as_query",
            on_click=state.use_as_query,
            args=(members.name, photo.id),
            kwargs={"is_query": photo not in members.photos},
        )
    )


def _place(hit: Hit, where: str, verdict: bool | None) -> None:
    with st.container(horizontal=True, gap="small"):
        st.badge(f"rank {hit.rank} in {plain(where)}", color="blue")
        st.badge(f"score {_number(hit.score)}", color="gray")
        if not math.isnan(hit.distance):
            st.badge(f"distance {_number(hit.distance)}", color="gray")
        if hit.votes is not None:
            st.badge(f"{hit.votes:g} votes", color="violet")
        if hit.inliers is not None:
            st.badge(f"{hit.inliers} verified matches", color="violet")
        if verdict is not None:
            st.badge(
                "right landmark" if verdict else "another landmark",
                color="green" if verdict else "red",
            )


def _number(value: float) -> str:
    """Votes and bits are whole numbers, cosines and distances are not."""
    return f"{value:,.0f}" if float(value).is_integer() and value > 1 else f"{value:.4f}"


def _facts(members: Collection, photo: Photo) -> None:
    lines = [f"**Photo** {plain(photo.id)}, {photo.width} x {photo.height} px"]
    lines.append(f"**Landmark** {plain(photo.label) if photo.label else 'unknown'}")
    if photo.title and photo.title != photo.label:
        lines.append(f"**Title** {plain(photo.title)}")
    named = (photo.author or members.author, photo.licence or members.licence)
    rights = [plain(part) for part in named if part]
    lines.append("**By** " + (", ".join(rights) if rights else "author and licence unknown"))
    if photo.url and photo.url.startswith(("http://", "https://")):
        lines.append(f"**Source** <{address(photo.url)}>")
    st.markdown("  \n".join(lines))


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as lines: ("camera azimuth", "112.5")."""
    for key, value in values.items():
        name = f"{before} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat(value, name)
        elif isinstance(value, float):
            yield name, f"{value:.4g}"
        elif isinstance(value, list):
            yield name, ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value)
        else:
            yield name, str(value)
