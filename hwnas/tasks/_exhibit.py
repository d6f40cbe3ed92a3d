"""`Exhibit`: what a report shows of a network at work on the test part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exhibit:
    """A table, pictures or both, with a title.

    Attributes:
        title: What is shown.
        note: A sentence that explains it.
        rows: Cells of a table, row by row; the first row is its head.
        pictures: Captions, each with a PNG file.
    """

    title: str
    note: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    pictures: tuple[tuple[str, bytes], ...] = ()
