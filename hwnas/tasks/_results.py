"""`Results`: what a report shows of a network on test samples, as data; the report draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt


@dataclass(frozen=True)
class Panel:
    """One picture of an example.

    Attributes:
        title: What it shows.
        kind: How it is drawn: ``"picture"`` (pixels ``(H, W, C)`` uint8), ``"classes"`` (class indices ``(H, W)`` or
            ``(L,)``; 255 is left blank), ``"values"`` (``(H, W)``) or ``"lines"`` (``(channels, L)``).
        values: The values.
        extremes: Least and greatest value that the colours or the axis must cover; None for those of `values`.
    """

    title: str
    kind: Literal["picture", "classes", "values", "lines"]
    values: npt.NDArray[Any]
    extremes: tuple[float, float] | None = None


@dataclass(frozen=True)
class ResultTable:
    """A table.

    Attributes:
        title: What it shows.
        heads: The heads of its columns.
        rows: Its cells.
        note: A sentence below it; empty for none.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Results:
    """What a network does with samples of the test part.

    Attributes:
        examples: A row of panels for each sample that is shown.
        classes: Names of the classes of the panels; empty for none.
        tables: Figures over the whole part.
    """

    examples: tuple[tuple[Panel, ...], ...]
    classes: tuple[str, ...] = ()
    tables: tuple[ResultTable, ...] = ()
