"""The dialog on one photo: all of it, what is known about it, and what to do with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from data.base import Photo
from pages.parts import backend, feedback, state, why
from pages.parts.compare import is_weak
from pages.parts.text import address, plain

if TYPE_CHECKING:
    from data.store import Collection
    from retrieval.ranking import Hit

_AT = "dialog_at"  # in the session: which hit of its row the dialog shows


@dataclasses.dataclass(frozen=True)
class Place:
    """A hit as the dialog shows it.

    Attributes:
        verdict: whether it shows the query's landmark.
        kin: whether it shows another landmark of the same kind.
    """

    hit: Hit
    verdict: bool | None
    kin: bool = False


def begin() -> None:
    """Somebody clicked a hit: the next ``show_row`` begins with that one."""
    st.session_state.pop(_AT, None)


def show_row(
    members: Collection,
    places: Sequence[Place],
    photo_id: str,
    where: str,
    reason: why.Why,
    after: Callable[[], None],
) -> None:
    """Open the dialog on a hit of a row; buttons and arrow keys lead to its neighbours.

    Args:
        members: the photos' collection.
        places: the row.
        photo_id: the hit to begin with; nothing opens where the row does not have it.
        where: which row, such as "HOG · Flat".
        reason: what explains the hits.
        after: called when the dialog is closed, and once a photo was made the query.
    """
    ids = [place.hit.id for place in places]
    if photo_id not in ids:
        return
    st.session_state.setdefault(_AT, ids.index(photo_id))
    opened = st.dialog(plain(where), width="large", on_dismiss=after)(_row)
    opened(members, places, where, reason, after)


def _row(
    members: Collection,
    places: Sequence[Place],
    where: str,
    reason: why.Why,
    after: Callable[[], None],
) -> None:
    at = min(st.session_state.get(_AT, 0), len(places) - 1)
    # In this view the arrow keys belong to its slider.
    keys = st.session_state.get("why_before") != why.OVERLAY
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for words, step, key in (("Previous", -1, "left"), ("Next", 1, "right")):
            st.button(
                words,
                key=f"step_{key}",
                disabled=not 0 <= at + step < len(places),
                shortcut=key if keys else None,
                on_click=_step,
                args=(at + step,),
            )
        place = places[at]
        photo = members.photo(place.hit.id)
        st.markdown(f"**{plain(backend.caption(members, photo))}**")
    _body(members, photo, place.hit, where, place.verdict, after, reason, place.kin)


def _step(at: int) -> None:
    st.session_state[_AT] = at


def show_photo(
    members: Collection,
    photo: Photo,
    hit: Hit | None = None,
    where: str = "",
    verdict: bool | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Open the dialog on one photo.

    Args:
        members: the photo's collection.
        photo: what to show.
        hit: its place in a result, if it comes from one.
        where: which result, such as "HOG · Flat".
        verdict: whether it shows the query's landmark.
        after: what to do once the photo was made the query; None: draw this page again.
    """
    opened = st.dialog(plain(backend.caption(members, photo)), width="large")(_body)
    opened(members, photo, hit, where, verdict, after, None)


def _body(
    members: Collection,
    photo: Photo,
    hit: Hit | None,
    where: str,
    verdict: bool | None,
    after: Callable[[], None] | None,
    reason: why.Why | None,
    kin: bool = False,
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
                _place(hit, where, verdict, kin)
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
            if reason is not None and hit is not None:
                view = why.choose(reason, photo)
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


def _place(hit: Hit, where: str, verdict: bool | None, kin: bool = False) -> None:
    with st.container(horizontal=True, gap="small"):
        st.badge(f"rank {hit.rank} in {plain(where)}", color="blue")
        st.badge(f"score {_number(hit.score)}", color="gray")
        if not math.isnan(hit.distance):
            st.badge(f"distance {_number(hit.distance)}", color="gray")
        if hit.votes is not None:
            st.badge(f"{hit.votes:g} votes", color="violet")
        if hit.inliers is not None:
            weak = is_weak(hit)
            st.badge(
                f"{hit.inliers} verified matches{': weak' if weak else ''}",
                color="orange" if weak else "violet",
            )
        if verdict is not None:
            if verdict:
                st.badge("✓ right landmark", color="green")
            elif kin:
                st.badge("≈ same kind, another landmark", color="orange")
            else:
                st.badge("✗ another landmark", color="red")


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
