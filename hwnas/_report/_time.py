"""Where the time of each network goes: the prices of its ops, by stage or by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas._common._text import printable
from hwnas._report._html import escape
from hwnas._tables._fit import PROTOCOL as FITTED
from hwnas.spaces import Architecture, Space
from latency_tables import LatencyTable, Op

START, MEMORY = "start of an inference", "memory beyond the caches"
CORE_CROSSINGS = "core crossings"
_MOST_GROUPS = 10
_DEAREST = 3
_ROUNDING_MS = 1e-12


@dataclass(frozen=True)
class Spent:
    """One network's predicted latency, part by part.

    Attributes:
        id: The network's id.
        parts: Milliseconds by stage or kind of op; they add up to the prediction.
        costliest: Its most expensive ops: a text for each, and milliseconds.
    """

    id: str
    parts: Mapping[str, float]
    costliest: tuple[tuple[str, float], ...]


def time_spent(space: Space, table: LatencyTable | None, networks: Sequence[Mapping[str, Any]]) -> list[Spent]:
    """Return the parts of each network, from fast to slow; none where no op was measured (a fitted or no table)."""
    if table is None or table.identity.get("protocol") == FITTED:
        return []
    archs = [space.parse(str(network["arch"])) for network in networks]
    return [_spent(str(n["id"]), space, table, arch) for n, arch in zip(networks, archs, strict=True)]


def _spent(name: str, space: Space, table: LatencyTable, arch: Architecture) -> Spent:
    if len(space.terms) > 1:
        graphs = [(term.name, space.term_graph(term, arch)) for term in space.terms]
        parts = [(term, graph) for term, graph in graphs if graph is not None]
        rows = [(term.split(".")[0], term, node.op) for term, graph in parts for node in graph.nodes]
    else:
        parts = [("network", space.graph(arch))]
        rows = [(_kind(node.op), _kind(node.op), node.op) for _, graph in parts for node in graph.nodes]
    prices = table.pricing.breakdown([graph for _, graph in parts])
    ops_ms = [ms for part in prices.ops_ms for ms in part]
    groups = {START: prices.session_ms}
    for (group, _, _), ms in zip(rows, ops_ms, strict=True):
        groups[group] = groups.get(group, 0.0) + ms
    groups[CORE_CROSSINGS] = prices.core_crossings_ms
    groups[MEMORY] = prices.cache_ms
    order = sorted(range(len(rows)), key=lambda i: -ops_ms[i])[:_DEAREST]
    costliest = tuple((f"{rows[i][1]}: {_op_text(rows[i][2])}", ops_ms[i]) for i in order)
    return Spent(name, {group: ms for group, ms in groups.items() if ms > _ROUNDING_MS}, costliest)


def time_plot(spent: Sequence[Spent]) -> bytes:
    """Plot a bar for each network, stacked by part."""
    from matplotlib import colormaps

    from hwnas._common._canvas import GREY, ORANGE, add_legend, make_figure, png

    apart = (START, CORE_CROSSINGS, MEMORY)
    groups = list(dict.fromkeys(group for network in spent for group in network.parts if group not in apart))
    if len(groups) > _MOST_GROUPS:
        totals = {group: sum(network.parts.get(group, 0.0) for network in spent) for group in groups}
        groups = sorted(groups, key=lambda group: -totals[group])[: _MOST_GROUPS - 1]
    steps = {group: colormaps["viridis"](i / max(1, len(groups) - 1)) for i, group in enumerate(groups)}
    colours: dict[str, Any] = {START: GREY, **steps, "other": "#c9c2b8", CORE_CROSSINGS: "#b07aa1", MEMORY: ORANGE}
    figure, axes = make_figure(size=(6.4, 1.9 + 0.32 * len(spent)))
    axes.grid(visible=False)
    rows, left, shown = range(len(spent)), [0.0] * len(spent), []
    for group, colour in colours.items():
        values = [_value(network, group, colours) for network in spent]
        if any(values):
            bars = axes.barh(rows, values, left=left, color=colour, height=0.7, edgecolor="white", linewidth=0.4)
            shown.append((bars, group))
            left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_yticks(rows, [printable(network.id) for network in spent])
    axes.invert_yaxis()
    axes.set_xlabel("predicted latency (ms)")
    axes.set_title("Where the time goes")
    add_legend(figure, shown, frameon=False, fontsize=8, ncols=3, loc="outside lower center")
    return png(figure)


def time_table(spent: Sequence[Spent]) -> str:
    """Return the most expensive ops of each network, as HTML."""
    rows = []
    for network in spent:
        total = sum(network.parts.values())
        cells = "".join(f"<li>{escape(op)}: {ms:.3g} ms ({ms / total:.0%})</li>" for op, ms in network.costliest)
        rows.append(f"<dt>{escape(network.id)}, {total:.3g} ms</dt><dd><ol>{cells}</ol></dd>")
    return f"<dl class=time>{''.join(rows)}</dl>"


def _value(network: Spent, group: str, known: Mapping[str, object]) -> float:
    if group == "other":
        return sum(ms for name, ms in network.parts.items() if name not in known)
    return network.parts.get(group, 0.0)


def _kind(op: Op) -> str:
    """Return kind of op, with the kernels that decide what it costs."""
    axes = len(op.output) - 1
    kernels = [op.integers(name, axes, 0) for name in ("kernel", "beside")]
    texts = ["x".join(map(str, kernel)) for kernel in kernels if any(kernel)]
    shift = ["shift"] if op.kind == "mbconv" and op.integer("shift", 0) else []
    return " ".join([op.kind.replace("_", " "), *shift, *([" + ".join(texts)] if texts else [])])


def _op_text(op: Op) -> str:
    """Return an op for people: its kind and shapes."""
    shape = "x".join(map(str, op.inputs[0])) if op.inputs else ""
    return f"{_kind(op)}, {shape} to {'x'.join(map(str, op.output))}"
