"""A button that copies the page's address, which says all of its settings."""

from __future__ import annotations

import streamlit as st

_HTML = '<button type="button" aria-live="polite">Copy link</button>'

_CSS = """
:host { display: block; }
button { font: inherit; font-size: .85rem; padding: .2rem .7rem; min-height: 2rem; cursor: pointer;
  color: inherit; background: var(--st-background-color); white-space: nowrap;
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, .6rem); }
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 1px; }
"""

_JS = """
export default function ({ parentElement, data }) {
  const button = parentElement.querySelector('button');
  button.title = data.help;
  const copy = async () => {
    // Browsers have a clipboard on https and on this machine alone; elsewhere there is the old way.
    if (navigator.clipboard) { await navigator.clipboard.writeText(location.href); return true; }
    const field = document.createElement('textarea');
    field.value = location.href;
    document.body.append(field); field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  };
  button.onclick = async () => {
    const done = await copy().catch(() => false);
    button.textContent = done ? 'Copied' : 'Copy it from the address bar';
    setTimeout(() => { button.textContent = 'Copy link'; }, 2500);
  };
}
"""

_button = st.components.v2.component("playground_link", html=_HTML, css=_CSS, js=_JS)


def copy_button(help: str) -> None:
    """Draw the button.

    Args:
        help: what the link says, as a tooltip.
    """
    _button(key="copy_link", data={"help": help}, width="content")
