"""`Panel`: one picture of an example, and how rows of them are drawn. Drawing needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hwnas._common._canvas import add_legend, png

_HEIGHT, _WIDTH, _WIDER = 1.9, 2.6, 1.3
_BLANK = "#f4f4f4"
_WIDEST_LEGEND = 12


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


def panels_plot(examples: Sequence[Sequence[Panel]], classes: Sequence[str] = ()) -> bytes:
    """Plot a row of panels for each example, with a legend of the classes."""
    from matplotlib.figure import Figure

    rows, columns = len(examples), max(map(len, examples))
    wide = any(panel.kind == "lines" for panel in examples[0])
    size = columns * _WIDTH * (_WIDER if wide else 1), rows * _HEIGHT + 0.5
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    axes = np.reshape(figure.subplots(rows, columns), (rows, columns))
    colours = _colours(len(classes))
    for row, panels in zip(axes, examples, strict=True):
        for axis, panel in zip(row, panels, strict=True):
            _draw(axis, panel, colours)
    if 0 < len(classes) <= _WIDEST_LEGEND:
        from matplotlib.patches import Patch

        entries = [(Patch(color=colours[i]), name) for i, name in enumerate(classes)]
        add_legend(figure, entries, loc="outside lower center", ncols=min(6, len(entries)), fontsize=7, frameon=False)
    return png(figure)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    few = colormaps["tab10"] if count <= 10 else colormaps["nipy_spectral"]
    return [few(i) if count <= 10 else few(i / max(1, count - 1)) for i in range(count)]


def _draw(axis: Any, panel: Panel, colours: list[Any]) -> None:
    """Draw one panel."""
    axis.set_title(panel.title, fontsize=7)
    axis.tick_params(labelsize=6)
    values = panel.values
    if panel.kind == "lines":
        axis.plot(values.T, linewidth=0.8)
        if panel.extremes is not None:
            low, high = panel.extremes
            margin = 0.1 * (high - low) or 1.0
            axis.set_ylim(low - margin, high + margin)
        return
    if panel.kind == "classes":
        from matplotlib.colors import ListedColormap

        blank = np.ma.masked_greater_equal(np.atleast_2d(values), len(colours))
        colormap = ListedColormap(colours)
        colormap.set_bad(_BLANK)
        low, high = -0.5, len(colours) - 0.5
        aspect = "auto" if values.ndim == 1 else "equal"
        axis.imshow(blank, cmap=colormap, vmin=low, vmax=high, interpolation="nearest", aspect=aspect)
    elif panel.kind == "picture":
        shown = values[..., 0] if values.shape[2] == 1 else values
        axis.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        low, high = panel.extremes or (float(values.min()), float(values.max()))
        axis.imshow(values, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axis.set_yticks([])
    if values.ndim > 1:
        axis.set_xticks([])
