"""The tables of the networks: the front, and those that others dominate once they were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas._costs._cost import COSTS, Cost
from hwnas._report._html import escape
from hwnas._runs._agreement import statistic_of
from hwnas._runs._delivered import (
    BESIDE,
    SPEED_UP,
    Check,
    checks,
    compared_by,
    compared_samples,
    written_ms,
    written_test,
)
from hwnas._runs._metrics import metric_of, value_of
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._tables._references import percent_text
from hwnas.tasks import written_name

_FINAL = {
    "finetune": "were trained further from the weights of the search",
    "distil": "were trained further from the weights of the search, with {teacher} as teacher",
    "train": "were trained again from the start",
}


def final_training(settings: SearchSettings) -> str:
    """Return a sentence on the final training of the networks, with a space before it; empty where there was none."""
    if settings.finalize == "none":
        return ""
    teacher = "the largest network of the supernet" if settings.model is None else "the original model"
    how = _FINAL[settings.finalize].format(teacher=teacher)
    return f" The networks {how} (--finalize {settings.finalize}) before they were exported."


def networks_section(run: Run, networks: Sequence[dict[str, Any]], original: Mapping[str, Any] | None = None) -> str:
    """Return the front, and below it the networks that others dominate once they were measured.

    Args:
        run: The run.
        networks: Its delivered networks.
        original: The model that the search started from, the last row of the front; None for none.
    """
    budgets = run.settings.budgets
    dominated = [network for network in networks if network.get("dominated_by")]
    measured = any(network["latency_ms"].get("measured") is not None for network in networks)
    beside = [] if original is None else [dict(original)]
    section = _network_table([*(network for network in networks if network not in dominated), *beside], budgets)
    if original is not None:
        section += (
            "<p class=note>The original is the model that the search started from, with its own weights, written, "
            "measured and tested like the other networks. Speed-ups are its measured latency, divided by a "
            "network's.</p>"
        )
    if dominated:
        section += (
            f"<h3>Dominated {'once measured' if measured else 'as predicted'}</h3><p class=note>With "
            f"{'measured' if measured else 'predicted'} latencies, another network is at least as "
            "good in every objective and better in one. These networks are no longer on the front; "
            "<code>hwnas export</code> takes them only by id.</p>"
        )
        section += _network_table(dominated, budgets)
    return section


def _network_table(networks: Sequence[dict[str, Any]], budgets: Mapping[str, float]) -> str:
    """Return a row for each network and one for its architecture, without columns that have no values."""
    columns = [(name, cells) for name, cells in _columns(networks, budgets) if any(cell != "-" for cell in cells)]
    rows = []
    for place, n in enumerate(networks):
        rows.append("<tr>" + "".join(f"<td>{cells[place]}</td>" for _, cells in columns))
        rows.append(f"<tr><td class=text colspan={len(columns)}><small>{escape(n['arch'])}</small></td>")
    head = "".join(f"<th>{escape(name)}</th>" for name, _ in columns)
    return f"<div class=wide><table><tr>{head}{''.join(rows)}</table></div>"


def _columns(networks: Sequence[dict[str, Any]], budgets: Mapping[str, float]) -> list[tuple[str, list[str]]]:
    """Return cells of the table of networks by column, ``"-"`` for what is not known."""
    shipped = any(n["onnx"] for n in networks)
    metric, values = compared_by(networks)
    errors = [metric.standard_error(value, compared_samples(n)) for n, value in zip(networks, values, strict=True)]
    latencies = [n["latency_ms"] for n in networks]
    links = [escape(n["onnx"] or "") for n in networks]
    compared = [metric.format(value, error) for value, error in zip(values, errors, strict=True)]
    tested = metric_of(networks[0]).text if networks else ""
    return [
        ("id", [escape(n["id"]) for n in networks]),
        (f"validation {metric.text}" if shipped and not metric.score else metric.text, compared),
        (f"test {tested}", [written_test(n) if value_of(n, "test") is not None else "-" for n in networks]),
        *((f"test {written_name(name)}", [_beside(n, name) for n in networks]) for name in _names_beside(networks)),
        (f"measured latency ({_statistics(latencies)}, ms)", [_measured(latency) for latency in latencies]),
        ("speed-up", [f"{value:.3g}x" if (value := n.get(SPEED_UP)) else "-" for n in networks]),
        ("budget", [_met(checks(n, budgets)) for n in networks]),
        ("predicted (q10, 90 % interval, ms)", [_predicted(latency) for latency in latencies]),
        *((cost.heading, [_cost(cost, n) for n in networks]) for cost in COSTS.values() if cost.of_graph is not None),
        (
            "ONNX Runtime arena",
            [f"{value / 1024:.4g} KiB" if (value := n.get("arena_bytes")) else "-" for n in networks],
        ),
        ("energy per inference", [f"{value:.4g} mJ" if (value := n.get("energy_mj")) else "-" for n in networks]),
        ("dominated by", [escape(n.get("dominated_by") or "-") for n in networks]),
        ("ONNX", [f"<a href='{link}'>file</a>" if link else "-" for link in links]),
    ]


def _names_beside(networks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the figures that the networks have beside the metric."""
    return sorted({escape(name) for network in networks for name in network.get(BESIDE, {})})


def _beside(network: Mapping[str, Any], name: str) -> str:
    value = network.get(BESIDE, {}).get(name)
    return "-" if value is None else metric_of(network).format(value)


def _cost(cost: Cost, network: Mapping[str, Any]) -> str:
    return cost.written_cell(network[cost.key]) if cost.key in network else "-"


def _measured(latency: Mapping[str, Any]) -> str:
    if latency["measured"] is None:
        return "-"
    return written_ms(latency["measured"], latency.get("measured_half_width")).removesuffix(" ms")


def _met(against: Sequence[Check]) -> str:
    """Return whether budgets are met; ``"-"`` without one."""
    over = max((check.excess for check in against if not check.within), default=None)
    return "-" if not against else "met" if over is None else f"<b>{percent_text(over)} over</b>"


def _predicted(latency: Mapping[str, Any]) -> str:
    """Return a prediction with its interval."""
    if latency["predicted"] is None:
        return "-"
    interval = "" if latency["low"] is None else f" ({latency['low']:.4g}-{latency['high']:.4g})"
    return f"{latency['predicted']:.4g}{interval}"


def _statistics(latencies: Sequence[Mapping[str, Any]]) -> str:
    """Return which statistic the measured latencies are."""
    return " or ".join(sorted({statistic_of(latency) for latency in latencies}))
