"""The pictures of a run, as PNG bytes. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas._common._canvas import BLUE, GREY, ORANGE, add_legend, make_figure, plain_ticks, png
from hwnas._common._text import printable
from hwnas._costs._cost import LATENCY, axis_label
from hwnas._report._curves import Curves, FloatArray, measured_pairs
from hwnas._runs._agreement import quantiles_of
from hwnas._runs._delivered import latency_of, measured_or_predicted, samples_of
from hwnas._runs._front import BELOW
from hwnas._runs._metrics import metric_of, value_of
from hwnas.tasks import Metric


def front_plot(
    curves: Curves,
    networks: Sequence[dict[str, Any]],
    budget: float | None,
    original: dict[str, Any] | None = None,
) -> bytes:
    """Plot all trials, the front, the tested networks at their measured (else predicted) latency, and the budget.

    Args:
        curves: The trials.
        networks: The delivered networks.
        budget: Upper bound of the latency in milliseconds; None for none.
        original: The model that the search started from; None for none.
    """
    figure, axes = make_figure()
    metric = curves.metric
    rest, heights = ~curves.on_front, metric.scale * curves.values
    axes.scatter(curves.costs[rest], heights[rest], s=14, color=GREY, label="other trials")
    order = np.argsort(curves.costs[curves.on_front])
    x, y = curves.costs[curves.on_front][order], heights[curves.on_front][order]
    axes.step(x, y, where="post", color=BLUE, linewidth=1.2)
    seen = "score" if metric.score else "validation"
    how = "measured" if curves.measured else "predicted"
    axes.scatter(x, y, s=26, color=BLUE, label=f"front ({how}, {seen})", zorder=3)
    tested = [n for n in networks if value_of(n, "test") is not None and metric_of(n) == metric]
    if tested and curves.cost_name == LATENCY.key:
        _add_tested(axes, tested)
        if original is not None and metric_of(original) == metric:
            _add_original(axes, original)
    if budget is not None and curves.cost_name == LATENCY.key:
        axes.axvline(budget, color="black", linestyle="--", linewidth=1, label=f"budget {budget:g} ms")
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set_xlabel(axis_label(curves.cost_name))
    axes.set_ylabel(printable(metric.label))
    axes.set_title(f"{printable(metric.title)} against cost")
    shown = list(zip(*axes.get_legend_handles_labels(), strict=True))
    add_legend(axes, shown, framealpha=0.85, edgecolor="none", fontsize=8, loc=best_corner(metric))
    return png(figure)


def best_corner(metric: Metric) -> str:
    """Return the corner where a legend does not hide the front: at high cost, on the worse side."""
    return "lower right" if metric.direction == "max" else "upper right"


def _add_tested(axes: Any, tested: Sequence[dict[str, Any]]) -> None:
    """Draw test values with their standard errors; a cross marks networks that others dominate once measured."""
    how = measured_or_predicted(tested)
    for dominated, marker, label in (
        (False, "D", f"delivered ({how}, test)"),
        (True, "x", "dominated once measured (test)"),
    ):
        part = [n for n in tested if bool(n.get("dominated_by")) == dominated]
        if not part:
            continue
        metric = metric_of(part[0])
        values = [value for n in part if (value := value_of(n, "test")) is not None]
        errors = [metric.standard_error(v, samples_of(n, "test")) or 0.0 for n, v in zip(part, values, strict=True)]
        axes.errorbar(
            [latency_of(n) for n in part],
            [metric.scale * value for value in values],
            yerr=[metric.scale * error for error in errors],
            fmt=marker,
            color=ORANGE,
            markerfacecolor="none",
            markersize=6,
            elinewidth=0.8,
            label=label,
            zorder=4,
        )


def _add_original(axes: Any, original: dict[str, Any]) -> None:
    """Draw the test value of the model that the search started from."""
    value = value_of(original, "test")
    if value is not None:
        height = metric_of(original).scale * value
        axes.scatter(
            [latency_of(original)], [height], s=90, marker="*", color="black", label="original (test)", zorder=5
        )


_HYPERVOLUME = f"hypervolume (objectives scaled to 0-1, reference point at {-BELOW:g})"


def _draw_progress(axes: Any, x: FloatArray, curves: Curves) -> None:
    """Draw how far the search had come: the hypervolume, or the best value where one looked for that."""
    metric, best = curves.metric, curves.goal == "best"
    axes.plot(x, metric.scale * curves.volumes if best else curves.volumes, color=BLUE, drawstyle="steps-post")
    axes.set_ylabel(f"best within the budgets: {printable(metric.label)}" if best else _HYPERVOLUME)


def hypervolume_plot(curves: Curves) -> bytes:
    """Return the progress over samples."""
    figure, axes = make_figure()
    _draw_progress(axes, curves.samples.astype(np.float64), curves)
    axes.set_xlabel("evaluated architectures")
    axes.set_title("Progress of the search")
    axes.set_xlim(left=0)
    return png(figure)


def time_curve_plot(curves: Curves) -> bytes | None:
    """Return the progress against the time spent on evaluations; None where that is not known."""
    if curves.seconds is None or curves.seconds[-1] <= 0:
        return None
    figure, axes = make_figure()
    scale, unit = next(
        (s, u)
        for s, u in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
        if curves.seconds[-1] >= 3 * s or s == 1.0
    )
    _draw_progress(axes, curves.seconds / scale, curves)
    axes.set_xlabel(f"time spent on evaluations ({unit})")
    axes.set_title("Progress over time")
    axes.set_xlim(left=0)
    return png(figure)


def latency_plot(networks: Sequence[dict[str, Any]]) -> bytes | None:
    """Return predicted against measured latency of the delivered networks; None where none was measured."""
    pairs = measured_pairs(networks)
    if not len(pairs):
        return None
    figure, axes = equality_axes(pairs)
    predicted, low, high, measured = pairs.T
    bars = np.stack([predicted - low, high - predicted])
    axes.errorbar(
        measured,
        predicted,
        yerr=bars,
        fmt="o",
        color=ORANGE,
        markersize=5,
        capsize=2,
        label="delivered networks, 90 % prediction interval",
    )
    at_speed = all(quantiles_of(network["latency_ms"], "at_table_speed") for network in networks)
    speed = ", at the table's speed" if at_speed else ""
    finish_equality(axes, f"measured latency (q10{speed}, ms)", "predicted latency (ms)")
    axes.set_title("Predicted against measured")
    return png(figure)


def equality_axes(values: FloatArray) -> tuple[Any, Any]:
    """Return a figure and its axes with the line where both are equal, and a band of 10 % around it.

    Args:
        values: All positive values that will be drawn, in any shape; NaN is left out.
    """
    figure, axes = make_figure()
    ends = np.array([0.9 * np.nanmin(values), 1.1 * np.nanmax(values)])
    axes.plot(ends, ends, color="black", linewidth=1, label="equal")
    axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color=GREY, alpha=0.25, linewidth=0, label="within 10 %")
    return figure, axes


def finish_equality(axes: Any, x_label: str, y_label: str) -> None:
    """Set scales, labels and legend of axes that `equality_axes` made."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    add_legend(
        axes, list(zip(*axes.get_legend_handles_labels(), strict=True)), frameon=False, fontsize=8, loc="upper left"
    )
