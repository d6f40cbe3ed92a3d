"""What a network does with test samples: strips of pictures, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwnas._report._canvas import png
from hwnas._report._html import escape, image
from hwnas.tasks import Panel, Results, ResultTable

_HEIGHT, _WIDTH = 1.9, 2.6
_BLANK = "#f4f4f4"
_WIDEST_LEGEND = 12


def results_plot(results: Results) -> bytes:
    """Plot a row of panels for each example, with a legend of the classes."""
    from matplotlib.figure import Figure

    rows, columns = len(results.examples), max(map(len, results.examples))
    wide = any(panel.kind == "lines" for panel in results.examples[0])
    figure = Figure(
        figsize=(columns * _WIDTH * (1.3 if wide else 1), rows * _HEIGHT + 0.5), dpi=130, layout="constrained"
    )
    axes = np.reshape(figure.subplots(rows, columns), (rows, columns))
    colours = _colours(len(results.classes))
    for row, panels in zip(axes, results.examples, strict=True):
        for axis, panel in zip(row, panels, strict=True):
            _draw(axis, panel, colours)
    if 0 < len(results.classes) <= _WIDEST_LEGEND:
        from matplotlib.patches import Patch

        from hwnas._report._canvas import add_legend

        entries = [(Patch(color=colours[i]), name) for i, name in enumerate(results.classes)]
        add_legend(figure, entries, loc="outside lower center", ncols=min(6, len(entries)), fontsize=7, frameon=False)
    return png(figure)


def results_section(results: Results, name: str, pictures: Mapping[str, bytes]) -> str:
    """Return the section of a page.

    Args:
        results: What is shown.
        name: The network's id.
        pictures: Pictures of the report, with ``results``.
    """
    parts = [f"<h2>What {escape(name)} makes of test samples</h2>"]
    parts.append(image(pictures, "results", "Test samples with their targets and the network's outputs"))
    parts += map(_table, results.tables)
    return "".join(parts)


def _table(table: ResultTable) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.heads)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table.rows)
    note = f"<p class=note>{escape(table.note)}</p>" if table.note else ""
    return f"<h3>{escape(table.title)}</h3><div class=wide><table><tr>{head}{rows}</table></div>{note}"


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
