"""Helpers of the scripts that write pages."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from latency_tables import write_atomic


def wrapped(text: str) -> list[str]:
    """Wrap a paragraph at 118 characters and append an empty line."""
    return [*textwrap.wrap(" ".join(text.split()), 118, break_on_hyphens=False), ""]


def bullet(text: str) -> list[str]:
    """Wrap an entry of a list."""
    return textwrap.wrap("* " + " ".join(text.split()), 118, subsequent_indent="  ", break_on_hyphens=False)


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure of matplotlib, in the format that the path ends in.

    Raises:
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], **options)
    write_atomic(path, buffer.getvalue())
