"""The interactive front: the data that its script draws, and the part of the page that holds both."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._common._text import printable
from hwnas._costs._cost import COSTS, LATENCY, MACS, MEMORY, PARAMS, ROM, Cost
from hwnas._costs._space_costs import SpaceCosts
from hwnas._report._html import asset
from hwnas._runs._agreement import statistic_of
from hwnas._runs._delivered import (
    SPEED_UP,
    checks,
    compared_by,
    compared_samples,
    latency_of,
    overruns,
    written_compared,
    written_ms,
    written_test,
)
from hwnas._runs._front import keeps
from hwnas._runs._metrics import value_of
from hwnas._runs._options import default
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import Space
from hwnas.tasks import Metric
from search import Trial, nondominated

MOST_TRIALS = 600
"""Most trials that the front shows beside the delivered networks."""
_MOST_BYTES = 250_000
_MOST_ARCH = 240
_UNITS = {MACS.key: (1e6, "M"), PARAMS.key: (1e3, "k"), MEMORY.key: (1024.0, "KiB"), ROM.key: (1024.0, "KiB")}
"""What values of a cost are divided by on the axis, and their unit there."""


def front_script() -> str:
    """Return the script that draws the front."""
    return asset("plot.js") + asset("front.js")


def front_section(data: Mapping[str, Any], picture: str) -> str:
    """Return the front as HTML: a picture, which the script replaces by one that answers.

    Args:
        data: See `front_data`.
        picture: The same as an image, in HTML; empty where there is none.
    """
    pictured = " pictured" if picture else ""
    return (
        f"<figure class='front{pictured}' id=front><div class=picture>{picture}</div><div class=live></div>"
        "<svg hidden width=0 height=0></svg>"
        f"<script type=application/json id=front-data>{_inline(data)}</script></figure>"
    )


def front_data(
    run: Run,
    networks: Sequence[Mapping[str, Any]],
    trials: Sequence[Trial],
    space: Space,
    metric: Metric,
    *,
    measured: bool = False,
    original: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what the script draws: axes, delivered networks, and the other trials of the same metric.

    Args:
        run: The run.
        networks: Its entries of ``pareto.json``.
        trials: All trials.
        space: What was searched.
        metric: The metric of the trials.
        measured: Whether the latencies of the trials were measured.
        original: The model that the search started from; None for none.
    """
    compared, values = compared_by(networks)
    budgets = dict(run.settings.budgets)
    if run.settings.memory_statistic != default("memory_statistic"):
        budgets.pop(MEMORY.key, None)  # it binds the arena, and the axis is that of live memory
    delivered = {int(network["trial"]) for network in networks if "trial" in network}
    others = [t for t in trials if t.ok and not t.low_fidelity and t.number not in delivered]
    same = compared == metric or not networks
    shown = _shown_trials(others, metric, space, run.settings) if same else []
    points = [_network(run, network, value) for network, value in zip(networks, values, strict=True)]
    valued = [point["costs"] for point in points if point["value"] is not None]
    used = {key for costs in valued for key, value in costs.items() if value is not None}
    return {
        "metric": {"label": printable(compared.label), "scale": compared.scale, "sign": compared.sign},
        "axes": [_axis(cost, budgets, networks) for cost in COSTS.values() if cost.key in used],
        "networks": points,
        **({} if original is None else {"original": _original(run, original)}),
        "trials": shown,
        "trial_latency": "measured" if measured else "predicted",
        "left_out": len(others) - len(shown) if same else 0,
        "other_metric": "" if same else printable(metric.label),
    }


def _axis(cost: Cost, budgets: Mapping[str, float], networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an axis: its name, unit, and the run's budget."""
    divisor, unit = _UNITS.get(cost.key, (1.0, cost.unit))
    name = cost.heading
    if cost is LATENCY and networks:
        latencies = [network["latency_ms"] for network in networks]
        measured = all(latency["measured"] is not None for latency in latencies)
        statistics = sorted({statistic_of(latency) for latency in latencies})
        name = f"measured {' or '.join(statistics)} latency" if measured else "predicted latency"
    return {
        "key": cost.key,
        "name": printable(name),
        "divisor": divisor,
        "unit": printable(unit),
        "budget": budgets.get(cost.key),
    }


def _network(run: Run, network: Mapping[str, Any], value: float) -> dict[str, Any]:
    """Return a delivered network with everything that is said of it, written out."""
    metric, latency, budgets = compared_by([network])[0], network["latency_ms"], run.settings.budgets
    costs = {cost.key: _known(network.get(cost.key)) for cost in COSTS.values() if cost is not LATENCY}
    return {
        "id": printable(str(network["id"])),
        "arch": printable(str(network["arch"])),
        "value": _known(value),
        "error": metric.standard_error(value, compared_samples(network)),
        "costs": {LATENCY.key: _known(latency_of(network)), **costs},
        "half_width": latency.get("measured_half_width") if latency["measured"] is not None else None,
        "low": latency.get("low"),
        "high": latency.get("high"),
        "dominated": printable(str(network.get("dominated_by") or "")),
        "over": [check.cost for check in overruns(network, budgets)],
        "facts": [[printable(name), printable(text)] for name, text in _facts(network, budgets)],
        "export": _export_command(run, network),
    }


def _original(run: Run, original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model that the search started from like a delivered network; no command exports it."""
    return {**_network(run, original, compared_by([original])[1][0]), "export": None}


def _facts(network: Mapping[str, Any], budgets: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return what people read of a network, by name."""
    latency = network["latency_ms"]
    facts = [("compared by", written_compared(network))]
    if value_of(network, "test") is not None:
        facts.append(("on the test part", written_test(network)))
    if latency["measured"] is not None:
        written = written_ms(latency["measured"], latency.get("measured_half_width"))
        facts.append((f"measured latency ({statistic_of(latency)})", written))
    if network.get(SPEED_UP):
        facts.append(("speed-up over the original", f"{network[SPEED_UP]:.3g}x"))
    if latency["predicted"] is not None:
        ends = latency.get("low"), latency.get("high")
        interval = f" (90 %: {ends[0]:.4g} to {ends[1]:.4g})" if None not in ends else ""
        facts.append(("predicted latency (q10)", f"{latency['predicted']:.4g} ms{interval}"))
    for cost in COSTS.values():
        if cost is not LATENCY and network.get(cost.key) is not None:
            facts.append((cost.heading, cost.written_cell(network[cost.key])))
    if network.get("arena_bytes"):
        facts.append(("ONNX Runtime arena", MEMORY.written_cell(network["arena_bytes"])))
    for check in checks(network, budgets):
        facts.append(("within the budget" if check.within else "over the budget", check.text))
    if network.get("dominated_by"):
        facts.append(("dominated by", str(network["dominated_by"])))
    return facts


def _export_command(run: Run, network: Mapping[str, Any]) -> str | None:
    """Return the command that exports a network; None where there is no file."""
    if network["onnx"] is None:
        return None
    words = ["hwnas", "export", str(run.path), "--pick", str(network["id"])]
    words += [] if keeps(network, run.settings.budgets) else ["--allow-over-budget"]
    return printable(shlex.join(words))


def _shown_trials(
    trials: Sequence[Trial], metric: Metric, space: Space, settings: SearchSettings
) -> list[dict[str, Any]]:
    """Return trials with their costs: the best ones, then others spread over the search, up to a size."""
    kept = _spread(trials, metric)
    if not kept:
        return []
    codes = np.array([trial.codes for trial in kept], dtype=np.int64)
    space_costs = SpaceCosts(space, None, batch=settings.batch, precision=settings.precision)
    graph_costs = [cost.key for cost in COSTS.values() if cost.of_graph is not None]
    columns = {key: space_costs.cost(key)(codes) for key in graph_costs}
    rows, size = [], 0
    for place, trial in enumerate(kept):
        costs = {key: _known(float(column[place])) for key, column in columns.items()}
        costs[LATENCY.key] = _known(trial.values.get(LATENCY.key))
        arch = printable(space.format(space.decode(trial.codes)))
        row = {
            "number": trial.number,
            "arch": arch if len(arch) <= _MOST_ARCH else f"{arch[:_MOST_ARCH]}...",
            "value": _known(trial.values.get(metric.name)),
            "written": printable(metric.format(trial.values[metric.name])),
            "costs": costs,
        }
        size += len(_inline(row))
        if size > _MOST_BYTES:
            break
        rows.append(row)
    return rows


def _spread(trials: Sequence[Trial], metric: Metric) -> list[Trial]:
    """Return at most `MOST_TRIALS` trials: those of the front of metric and latency, then every k-th of the others."""
    if len(trials) <= MOST_TRIALS:
        return list(trials)
    latencies = [trial.values.get(LATENCY.key, 0.0) for trial in trials]
    points = np.array([[metric.sign * trial.values[metric.name] for trial in trials], [-ms for ms in latencies]]).T
    front: npt.NDArray[np.intp] = np.flatnonzero(nondominated(points))[:MOST_TRIALS]
    rest = np.setdiff1d(np.arange(len(trials)), front)
    places = np.linspace(0, len(rest) - 1, MOST_TRIALS - len(front)).astype(np.int64)
    return [trials[int(i)] for i in [*front, *rest[np.unique(places)]]]


def _known(value: float | None) -> float | int | None:
    """Return a number that JSON and a plot can hold; None for the others."""
    return None if value is None or not math.isfinite(value) else value


def _inline(data: object) -> str:
    """Return JSON that cannot end the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
