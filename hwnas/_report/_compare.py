"""The picture of several runs, as a PNG file or on a page of its own."""

from __future__ import annotations

from pathlib import Path

from hwnas._common._canvas import pictures_of
from hwnas._common._text import printable
from hwnas._common._write import write_file
from hwnas._costs._cost import axis_label
from hwnas._errors import HwnasError
from hwnas._report._html import escape, image, page
from hwnas._runs._compare import Comparison, table_lines

COLOURS = ("#1f5f99", "#d9741a", "#3c8d5a", "#8a4fa3", "#b5413f", "#4d6a79", "#a58a1f", "#d06c9a")


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the picture, as ``.png`` or as a self-contained ``.html`` page.

    Raises:
        HwnasError: Another ending, no matplotlib, or a place that cannot be written.
    """
    if path.suffix not in (".png", ".html"):
        raise HwnasError(f"cannot write {path}: choose a name that ends in .png or .html")
    picture = pictures_of(lambda: {"picture": comparison_plot(comparison)})["picture"]
    write_file(path, picture if path.suffix == ".png" else _page(comparison, picture))


def comparison_plot(comparison: Comparison) -> bytes:
    """Plot fronts on the left, hypervolume over trials on the right."""
    from hwnas._common._canvas import add_legend, make_figure, plain_ticks, png

    figure, (left, right) = make_figure(2)
    shown = []
    metric, cost = comparison.metric, comparison.objectives[1]
    for number, run in enumerate(comparison.runs):
        colour = COLOURS[number % len(COLOURS)]
        front = run.values[run.front]
        front = front[front[:, 1].argsort()]
        left.plot(
            front[:, 1],
            metric.scale * front[:, 0],
            color=colour,
            marker="o",
            markersize=3.5,
            drawstyle="steps-post",
            lw=1.2,
        )
        (line,) = right.plot(run.samples, run.volumes, color=colour, drawstyle="steps-post")
        shown.append((line, run.name))
    left.set_xscale("log")
    plain_ticks(left.xaxis)
    left.set_xlabel(axis_label(cost))
    left.set_ylabel(printable(metric.label))
    left.set_title("Fronts")
    right.set_xlabel("evaluated architectures")
    right.set_ylabel("hypervolume (common reference)")
    right.set_title("Progress")
    right.set_xlim(left=0)
    add_legend(right, shown, frameon=False, fontsize=8, loc="lower right")
    return png(figure)


def _page(comparison: Comparison, picture: bytes) -> str:
    lines = "\n".join(escape(line) for line in table_lines(comparison))
    body = (
        "<h1>hwnas: comparison of runs</h1>\n"
        f"{image({'picture': picture}, 'picture', 'Fronts and hypervolumes of the runs')}\n"
        f"<div class=wide><pre>{lines}</pre></div>"
    )
    return page("comparison of runs", body)
