"""Text from elsewhere (names of files, fields of tables, errors of plug-ins) on its way to people."""

from __future__ import annotations

import json
from collections.abc import Sequence


def printable(text: str) -> str:
    r"""Return a text on one line, without terminal control sequences or changes of writing direction.

    What Unicode does not count as printable (control characters, line ends, marks of direction, halves of surrogate
    pairs) is written as an escape, like ``\x1b`` or ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first names and the number of the others: ``a, b and 3 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def json_text(value: object, indent: int | None = None) -> str:
    """Return JSON in printable ASCII, with line ends only between its parts."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")
