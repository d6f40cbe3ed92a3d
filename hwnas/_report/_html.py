"""What every page has: one style, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from pathlib import Path

from hwnas._common._text import printable


def page(title: str, body: str, script: str = "", more_style: str = "") -> str:
    """Return a whole page. Its policy lets a browser run `script` alone, and load nothing.

    Args:
        title: Plain text.
        body: HTML without handlers, ``style`` attributes and scripts: a browser would ignore these.
        script: Text of the page's script; see `asset`.
        more_style: Text of a style sheet for this page, beside the one that all pages have.
    """
    style = asset("page.css") + more_style
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{_policy(style, script)}">'
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<link rel=icon href='data:,'><title>hwnas: {escape(title)}</title>"
        f"<style>{style}</style></head><body>\n{body}\n"
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


def asset(name: str, beside: str | None = None) -> str:
    """Return the text of a style sheet or script.

    Args:
        name: Its name.
        beside: A file in its folder; None for this one.

    Raises:
        ValueError: It would end its own element in a page.
    """
    text = Path(beside or __file__).with_name(name).read_text(encoding="utf-8")
    if any(end in text.lower() for end in ("</script", "</style", "<!--")):
        raise ValueError(f"{name} cannot stand in a page")
    return text


def _policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy of a page: this style, this script, pictures in the page, no network."""
    rules = {
        "default-src": "'none'",
        "script-src": _hash(script) if script else "'none'",
        "style-src": _hash(style),
        "img-src": "data:",
        "connect-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    """Return the source expression that allows an inline element of this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def image(pictures: Mapping[str, bytes], name: str, description: str) -> str:
    """Return one of the pictures inside the page; nothing where it is absent."""
    if name not in pictures:
        return ""
    data = base64.b64encode(pictures[name]).decode("ascii")
    return f"<img alt='{escape(description)}' src='data:image/png;base64,{data}'>"


def escape(text: object) -> str:
    """Return text on one line that is safe in HTML and in attributes."""
    return html.escape(printable(str(text)), quote=True)
