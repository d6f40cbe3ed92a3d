"""Latencies as measured: distributions of the delivered networks, and estimates of trials against measurements."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import LATENCY
from hwnas._report._html import escape
from hwnas._runs._agreement import PREDICTED, QUANTILES, compared_latency, is_time, quantiles_of, slowness_of
from hwnas._runs._journal import TrialRecord
from hwnas._tables._references import percent_text

FEWEST_ESTIMATES = 10
"""Fewest trials with an estimate and a measurement for a picture of both."""
FloatArray = npt.NDArray[np.float64]
_SPEEDS = {"at_table_speed": "at the table's speed", "raw": "as timed"}
_AT_TABLE_SPEED = (
    "<q>At the table's speed</q> means: as the machine was when the latency table was made. The q10 is divided by the "
    "slowness of the reference networks; median, p90 and p99 follow from it with the tail that the references had "
    "then, so other work on the machine does not count."
)
_MARK_WIDTH = 120.0


def latencies_section(networks: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with the measured latencies of each network, as HTML; empty where nothing was measured."""
    shown = [network for network in networks if any(quantiles_of(network["latency_ms"], speed) for speed in _SPEEDS)]
    if not shown:
        return ""
    scale = _mark_scale([network["latency_ms"] for network in shown])
    writers = {**_COLUMNS, "distribution": partial(_mark_cells, scale=scale)}
    columns = {name: [cell for network in shown for cell in cells(network)] for name, cells in writers.items()}
    columns = {name: cells for name, cells in columns.items() if any(cell != "-" for cell in cells)}
    rows = []
    for place, (network, speed) in enumerate((network, speed) for network in shown for speed in _SPEEDS):
        if quantiles_of(network["latency_ms"], speed):
            first = " class=first" if speed == "at_table_speed" else ""
            rows.append(f"<tr{first}>" + "".join(f"<td>{cells[place]}</td>" for cells in columns.values()) + "</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    return (
        "<h2>Latency of the delivered networks</h2>"
        + f"<p class=note>{_explained(shown, columns)}</p>"
        + f"<div class='wide marks'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def estimates_and_measurements(records: Iterable[TrialRecord], statistic: str) -> FloatArray:
    """Return the estimated and the measured latency ``(n, 2)`` in milliseconds of the trials that have both.

    Both are of one statistic at the table's speed.

    Args:
        records: Lines of the journal.
        statistic: The statistic that the search was told.
    """
    pairs = []
    for record in records:
        estimate = record.estimates.get(LATENCY.key)
        measured = record.measurements.get(LATENCY.key, {}).get(f"at_table_speed_{statistic}")
        if is_time(estimate) and is_time(measured):
            pairs.append((estimate, measured))
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def estimates_plot(pairs: FloatArray, statistic: str) -> bytes | None:
    """Plot estimates against measurements of trials; None where there are fewer than `FEWEST_ESTIMATES`.

    Args:
        pairs: What `estimates_and_measurements` returns.
        statistic: The statistic that they are of.
    """
    if len(pairs) < FEWEST_ESTIMATES:
        return None
    from hwnas._common._canvas import BLUE, png
    from hwnas._report._plots import equality_axes, finish_equality

    figure, axes = equality_axes(pairs)
    estimated, measured = pairs.T
    errors = np.abs(estimated - measured) / measured
    label = f"{len(pairs)} trials, off by {percent_text(float(np.median(errors)))} in the median"
    axes.scatter(measured, estimated, s=12, color=BLUE, alpha=0.7, label=label)
    finish_equality(axes, f"measured latency of trials ({statistic}, ms)", "estimate before the measurement (ms)")
    axes.set_title("Estimates against measurements in the search")
    return png(figure)


def _explained(networks: Sequence[Mapping[str, Any]], columns: Mapping[str, object]) -> str:
    """Return what the table shows, in words."""
    sentences = ["Milliseconds of one inference, from the rounds of the measurement after the search."]
    if any(quantiles_of(network["latency_ms"], "at_table_speed") for network in networks):
        sentences.append(_AT_TABLE_SPEED)
    if "after a pause" in columns:
        sentences.append('"After a pause" is the first inference after a pause of one second, as timed.')
    sentences.append(f"The table predicts the {PREDICTED} (the 10th percentile).")
    if "distribution" in columns:
        sentences.append(
            "In the last column, the line goes from q10 to p99, the box to p90, the bar is the median, and the line "
            "below is the 90 % interval of the prediction. All rows share one logarithmic scale, relative to the "
            "network's own q10."
        )
    return " ".join(sentences)


def _id_cells(network: Mapping[str, Any]) -> list[str]:
    both = all(quantiles_of(network["latency_ms"], speed) for speed in _SPEEDS)
    return [escape(network["id"]), "" if both else escape(network["id"])]


def _speed_cells(network: Mapping[str, Any]) -> list[str]:
    """Return what each row holds, with how much slower the machine was."""
    names, speed = list(_SPEEDS.values()), slowness_of(network["latency_ms"])
    if speed is not None:
        names[1] += f" ({_change_text(*speed)})"
    return names


def _change_text(slowness: float, half_width: float | None) -> str:
    """Return how much slower the machine was: ``12 ± 1.5 % slower``.

    Args:
        slowness: How many times longer it took.
        half_width: Half the width of the interval of that, relative.
    """
    factor, word = (slowness, "slower") if slowness >= 1 else (1 / slowness, "faster")
    width = "" if half_width is None else f" ± {percent_text(factor * half_width).removesuffix(' %')}"
    return f"{percent_text(factor - 1).removesuffix(' %')}{width} % {word}"


def _quantile_cells(name: str) -> Any:
    """Return the function that writes a quantile of a network, at both speeds."""

    def cells(network: Mapping[str, Any]) -> list[str]:
        values = [quantiles_of(network["latency_ms"], speed).get(name) for speed in _SPEEDS]
        return ["-" if value is None else f"{value:.4g}" for value in values]

    return cells


def _pause_cells(network: Mapping[str, Any]) -> list[str]:
    value = network["latency_ms"].get("after_pause")
    return ["-", f"{value:.4g}" if is_time(value) else "-"]


def _prediction_cells(network: Mapping[str, Any]) -> list[str]:
    """Return the prediction in the row that it is compared with."""
    latency = network["latency_ms"]
    pair = compared_latency(latency)
    if pair is None:
        return ["-", "-"]
    inside = {True: ", holds", False: ", <b>missed</b>", None: ""}[pair.inside]
    interval = "" if pair.inside is None else f" ({pair.low:.4g} to {pair.high:.4g}{inside})"
    cell = f"{pair.predicted:.4g}{interval}"
    return [cell, "-"] if pair.at_table_speed else ["-", cell]


_COLUMNS: dict[str, Any] = {
    "network": _id_cells,
    "speed": _speed_cells,
    **{name: _quantile_cells(name) for name in QUANTILES},
    "after a pause": _pause_cells,
    "predicted q10 (90 % interval)": _prediction_cells,
}


def _mark_scale(latencies: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the lowest and highest value of all marks, relative to each network's q10."""
    ratios = [1.0]
    for latency in latencies:
        for speed in _SPEEDS:
            values = quantiles_of(latency, speed)
            ratios += [value / values[PREDICTED] for value in values.values() if PREDICTED in values]
        pair = compared_latency(latency)
        if pair is not None and pair.inside is not None:
            ratios += [pair.low / pair.measured, pair.high / pair.measured]
    positive = [ratio for ratio in ratios if ratio > 0]
    return min(positive) / 1.02, max(positive) * 1.02


def _mark_cells(network: Mapping[str, Any], scale: tuple[float, float]) -> list[str]:
    latency = network["latency_ms"]
    pair = compared_latency(latency)
    at_speed = pair is not None and pair.at_table_speed
    return [
        _mark(quantiles_of(latency, speed), pair if (speed == "at_table_speed") == at_speed else None, scale)
        for speed in _SPEEDS
    ]


def _mark(values: Mapping[str, float], pair: Any, scale: tuple[float, float]) -> str:
    """Return a small picture of a distribution, and of the predicted interval; ``"-"`` where there is one value."""
    if len(values) < len(QUANTILES):
        return "-"

    def place(ms: float) -> str:
        low, high = scale
        return f"{_MARK_WIDTH * math.log(ms / values[PREDICTED] / low) / math.log(high / low):.1f}"

    q10, middle, p90, p99 = (place(values[name]) for name in QUANTILES)
    described = escape(", ".join(f"{name} {values[name]:.4g} ms" for name in QUANTILES))
    guess = ""
    if pair is not None and pair.inside is not None and pair.low > 0:
        low, high = place(pair.low), place(pair.high)
        guess = f"<line class=guess x1={low} x2={high} y1=15 y2=15 />"
        guess += f"<circle class=guessed cx={place(pair.predicted)} cy=15 r=2 />"
    return (
        f"<svg viewBox='0 0 {_MARK_WIDTH:g} 18' preserveAspectRatio=none role=img aria-label='{described}'>"
        f"<line class=span x1={q10} x2={p99} y1=7 y2=7 />"
        f"<rect class=most x={q10} y=3 width={max(0.5, float(p90) - float(q10)):.1f} height=8 />"
        f"<line class=middle x1={middle} x2={middle} y1=1 y2=13 />{guess}</svg>"
    )
