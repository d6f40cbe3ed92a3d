"""What the scripts that write pages share."""

from __future__ import annotations

import textwrap


def wrapped(text: str) -> list[str]:
    """A paragraph in lines of at most 118 characters, and an empty one."""
    return [*textwrap.wrap(" ".join(text.split()), 118, break_on_hyphens=False), ""]
