"""What the scripts that write pages share."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from latency_tables import write_atomic


def wrapped(text: str) -> list[str]:
    """A paragraph in lines of at most 118 characters, and an empty one."""
    return [*textwrap.wrap(" ".join(text.split()), 118, break_on_hyphens=False), ""]


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure of matplotlib, in the format that the path ends in.

    Raises:
        OSError: It cannot be written.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], **options)
    write_atomic(path, buffer.getvalue())
