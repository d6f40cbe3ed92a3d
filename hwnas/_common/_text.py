"""Text from elsewhere (names of files, fields of tables, errors of plug-ins) on its way to people."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    r"""A text that moves no cursor, sets no title and turns no direction of writing, on one line.

    What Unicode does not count as printable (control characters, line ends, marks of direction, halves of surrogate
    pairs) is written as an escape, like ``\x1b`` or ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def json_text(value: object, indent: int | None = None) -> str:
    """JSON in printable ASCII; only the line ends between its parts are no escapes."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")
