"""Who sits at a session: the owner of the machine; in classroom mode a visitor or the teacher."""

from __future__ import annotations

import ipaddress
import socket

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from data import permission
from data.errors import PlaygroundError
from pages.parts.text import plain

COOKIE = "playground_teacher"
ENTRANCE = "teacher"  # where the form below is sent to, beside the pages
WRONG, TOO_MANY = "wrong", "wait"  # what becomes of a token, in the address that follows
_TEACHER = "is_teacher"
_has_entrance = False
# A form of the browser's own: the answer to it can set a cookie that no script reads.
_FORM = f"""
<form class="teacher-form" action="{ENTRANCE}" method="post">
<label for="teacher-token">Token</label>
<input id="teacher-token" name="token" type="password" maxlength="100" autocomplete="off" required>
<button type="submit">Enter</button>
</form>
"""
_NOT_IT = "That is not the token. It was shown on the terminal at the first start."
VISITORS = "Visitors search, compare, evaluate and measure; only the teacher changes what is here."


def begin() -> None:
    """Call it first in every run; nothing is drawn where the server may not be reached like this.

    Raises:
        PlaygroundError: an unknown mode, or others reach a server that is not a classroom's.
    """
    permission.identify(_is_teacher)
    if permission.classroom():
        announce()
        return
    address = st.get_option("server.address")
    if not _is_loopback(address):
        raise PlaygroundError(
            f"This server listens on {address or 'all addresses'}, where others reach it, and "
            f"whoever does could change everything. Start it for visitors, who cannot: make app "
            f"CLASSROOM=1, or set {permission.MODE}={permission.CLASSROOM}. To be alone on it, "
            f"start it with --server.address 127.0.0.1"
        )


@st.cache_resource(show_spinner=False)
def announce() -> None:
    """Show the teacher's token on the terminal, the one time that it is made."""
    token = permission.new_token()
    if token is not None:
        print(
            f"\nClassroom mode. The teacher's token, shown this once:\n\n    {token}\n\nEnter it "
            f"on the Collections page. For another one delete {permission.token_file()} and start "
            f"again.\n",
            flush=True,
        )


def _is_teacher() -> bool:
    if get_script_run_ctx() is None:  # threads of ours have no session, and nobody's rights
        return False
    return st.session_state.get(_TEACHER) is True or permission.sessions.knows(_secret())


def _secret() -> str:
    """That of the teacher's cookie, as the browser sent it; empty without one."""
    return str(st.context.cookies.get(COOKIE, ""))


def open_entrance() -> None:
    """Say that the server takes the token itself, and answers with a cookie."""
    global _has_entrance
    _has_entrance = True


@st.cache_data(show_spinner=False)
def _is_loopback(address: str | None) -> bool:
    """Whether only this machine reaches a server that is bound to the address."""
    if not address:
        return False
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(address, None)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(one).is_loopback for one in found)


def door() -> None:
    """What visitors may do, and where the teacher enters the token; nothing without visitors."""
    if not permission.classroom():
        return
    if permission.allowed():
        with st.container(horizontal=True, vertical_alignment="center", key="teacher"):
            until = "you leave or close the browser, for some hours at most"
            if _TEACHER in st.session_state:
                until = "this page is closed or loaded again"
            st.caption(f"You are the teacher, until {until}.")
            if st.button("Leave", key="teacher_leave", type="tertiary"):
                st.session_state.pop(_TEACHER, None)
                permission.sessions.end(_secret())
                st.rerun()
        return
    with st.container(horizontal=True, vertical_alignment="center", key="visitor"):
        st.caption(VISITORS, width="content")
        with st.popover("I am the teacher", type="tertiary"):
            _ask()


def _ask() -> None:
    """For the token: by the server's entrance where it has one, else in this session alone."""
    if not _has_entrance:
        with st.form("teacher_form", border=False):
            given = st.text_input(
                "Token", type="password", key="teacher_token", max_chars=100, autocomplete="off"
            )
            sent = st.form_submit_button("Enter", type="primary")
            if sent and given:
                _enter(given)
        return
    st.html(_FORM)
    became = st.query_params.get(ENTRANCE)
    if became == WRONG:
        st.error(_NOT_IT)
    elif became == TOO_MANY:
        st.error("Too many wrong tokens. Try again in a minute.")


def _enter(given: str) -> None:
    try:
        if permission.is_token(given):
            st.session_state[_TEACHER] = True
            st.rerun()
        st.error(_NOT_IT)
    except PlaygroundError as error:
        st.error(plain(str(error)))
