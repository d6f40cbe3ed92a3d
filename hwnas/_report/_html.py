"""What every page has: one style, and nothing from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

from hwnas._common._text import printable

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c2733;margin:0 auto;max-width:66rem;padding:1rem}
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin-top:2rem}
img{max-width:100%;height:auto;display:block;margin:.5rem 0}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem}
th,td{padding:.3rem .6rem;border-bottom:1px solid #dde3e8;text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1rem;font-size:.875rem}
dd{margin:0;overflow-wrap:anywhere}dt{color:#5b6977}.note{color:#5b6977;font-size:.875rem}
.warn{color:#9c2f10}
p{overflow-wrap:anywhere}ol{margin:0;padding-left:1.2rem}
dl.choices span{display:inline-block;background:#eef1f4;border-radius:.3rem;padding:0 .4rem;margin:0 .3rem .2rem 0}
dl.choices .more{background:#cfe2f3}dl.choices .less b{text-decoration:line-through}
@media(max-width:40rem){dl{grid-template-columns:minmax(0,1fr)}dt{margin-top:.3rem}}
"""


def page(title: str, body: str) -> str:
    """Return a whole page; `title` is plain text, `body` is HTML."""
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<link rel=icon href='data:,'><title>hwnas: {escape(title)}</title>"
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def image(pictures: Mapping[str, bytes], name: str, description: str) -> str:
    """Return one of the pictures inside the page; nothing where it is absent."""
    if name not in pictures:
        return ""
    data = base64.b64encode(pictures[name]).decode("ascii")
    return f"<img alt='{escape(description)}' src='data:image/png;base64,{data}'>"


def escape(text: object) -> str:
    """Return text on one line that is safe in HTML and in attributes."""
    return html.escape(printable(str(text)), quote=True)
