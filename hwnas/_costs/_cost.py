"""Costs that are known before an architecture is evaluated, each stated once.

Budgets, ``--minimize``, files, reports and comparisons follow from the entries of `COSTS`. Imports nothing heavy: the
command line's help is made from them too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hwnas._common._plugins import load_plugin, make_plugin, plugin_names
from hwnas._costs._units import (
    parse_bytes,
    parse_count,
    parse_latency,
    rounded_up,
    written_bytes,
    written_count,
    written_latency,
)
from hwnas._errors import HwnasError

if TYPE_CHECKING:
    from latency_tables import OpGraph

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_KEY = re.compile(r"[a-z][a-z0-9_]*\Z")
_MOST_STEPS = 20
"""Steps up to a budget that is not below a value once it is written; six digits need one."""


@dataclass(frozen=True)
class Cost:
    """A cost of a network: less is better, and a budget is an upper bound.

    Attributes:
        name: One word, as in ``--minimize latency`` and ``--latency-budget``.
        key: Its name in files and results, with the unit where it has one: ``latency_ms``.
        title: Its name on the axis of a plot.
        heading: Its name above a column of a report.
        example: How a budget is typed, for the help: ``4ms or 250us``.
        unit: Unit of its values; empty for counts.
        parse: Reads a budget.
        format: Writes a value for people; `parse` reads it back.
        cell: Writes a value in a column of a report, where all values have one unit; None for `format`.
        of_graph: Computes the value from an op graph and the batch size. None for what the latency table predicts and
            a device measures.
        at_precision: Whether `of_graph` gets the graph as the number format of the networks executes it
            (`profilers.graph_at`), because the value depends on it.
        combine: How the values of a network's terms (see `Space.terms`) make the network's value.
        whole: Whether values are whole numbers.
        also: Another name for people: ``ram`` for ``memory``.
    """

    name: str
    key: str
    title: str
    heading: str
    example: str
    unit: str = ""
    parse: Callable[[str], float] = parse_count
    format: Callable[[float], str] = written_count
    cell: Callable[[float], str] | None = None
    of_graph: Callable[[OpGraph, int], float] | None = None
    at_precision: bool = False
    combine: Literal["sum", "max"] = "sum"
    whole: bool = True
    also: str = ""

    @property
    def budget_option(self) -> str:
        """The option that sets its budget."""
        return f"--{self.name}-budget"

    @property
    def axis(self) -> str:
        """The label of its axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def written_cell(self, value: float) -> str:
        """Return a value for a column of a report."""
        return (self.cell or self.format)(value)

    def value(self, graph: OpGraph, batch: int = 1, precision: str = "fp32") -> float:
        """Return the cost of a network, or of a part of one.

        Args:
            graph: As its space builds it.
            batch: Samples of one inference.
            precision: Its number format, as in ``--precision``.
        """
        assert self.of_graph is not None
        if self.at_precision and precision != "fp32":
            from profilers import graph_at

            graph = graph_at(graph, precision)
        return self.of_graph(graph, batch)

    def least_budget(self, value: float) -> float:
        """Return a budget of few digits that a network with this value meets, also as `format` writes it."""
        rounded = rounded_up(value)
        for _ in range(_MOST_STEPS):
            if not 0 < rounded < math.inf or self.parse(self.format(rounded)) >= value:
                break
            rounded *= 1.0005
        return rounded

    def stored(self, value: float) -> float:
        """Return a value as files hold it."""
        return int(value) if self.whole else value


def _macs(graph: OpGraph, batch: int) -> float:
    from profilers import graph_macs

    return graph_macs(graph)


def _params(graph: OpGraph, batch: int) -> float:
    from profilers import graph_params

    return graph_params(graph)


def _memory(graph: OpGraph, batch: int) -> float:
    from profilers import peak_memory_bytes

    return peak_memory_bytes(graph, batch=batch)


def _rom(graph: OpGraph, batch: int) -> float:
    from profilers import stored_bytes

    return stored_bytes(graph)


def _kib(value: float) -> str:
    return f"{value / 1024:.4g} KiB"


LATENCY = Cost(
    name="latency",
    key="latency_ms",
    title="latency",
    heading="latency",
    example="4ms or 250us",
    unit="ms",
    parse=parse_latency,
    format=written_latency,
    whole=False,
)
MACS = Cost(
    name="macs",
    key="macs",
    title="multiply-accumulates",
    heading="MACs",
    example="50M",
    cell=lambda value: f"{value / 1e6:.3g} M",
    of_graph=_macs,
)
PARAMS = Cost(
    name="params",
    key="params",
    title="parameters",
    heading="parameters",
    example="600k",
    cell=lambda value: f"{value / 1e3:.4g} k",
    of_graph=_params,
)
MEMORY = Cost(
    name="memory",
    key="peak_memory_bytes",
    title="peak activation memory",
    heading="memory",
    example="64k or 64KiB (k = 1024)",
    unit="bytes",
    parse=parse_bytes,
    format=written_bytes,
    cell=_kib,
    of_graph=_memory,
    at_precision=True,
    combine="max",
    also="ram",
)
ROM = Cost(
    name="rom",
    key="rom_bytes",
    title="weights",
    heading="ROM",
    example="256k or 1M (k = 1024)",
    unit="bytes",
    parse=parse_bytes,
    format=written_bytes,
    cell=_kib,
    of_graph=_rom,
    at_precision=True,
)
COSTS: dict[str, Cost] = {cost.name: cost for cost in (LATENCY, MACS, PARAMS, MEMORY, ROM)}
"""The costs by name: ours, then those that `register_cost` and plug-ins added."""
MOST_BOUND = 1e300
"""Largest budget."""
OWN = tuple(COSTS)
"""Names of our own."""


def register_cost(cost: Cost) -> None:
    """Make a cost known by its name: it can be minimised and budgeted, and is reported from then on.

    Args:
        cost: The cost, computed from the op graph (`Cost.of_graph`).

    Raises:
        HwnasError: Its name or key cannot be used or is taken, or it does not say how to compute it.
    """
    require_usable(cost)
    COSTS[cost.name] = cost


def require_usable(cost: Cost) -> None:
    """Refuse a cost that cannot be registered.

    Raises:
        HwnasError: Its name or key cannot be used or is taken, or it does not say how to compute it.
    """
    if not _NAME.match(cost.name) or not _KEY.match(cost.key):
        raise HwnasError(f"cost {cost.name!r}: name and key must be words of lower-case letters and digits")
    if cost.of_graph is None:
        raise HwnasError(f"cost {cost.name}: it needs of_graph, which computes it from an op graph")
    known = COSTS.get(cost.name) or next((c for c in COSTS.values() if c.key == cost.key or c.also == cost.name), None)
    if known is not None and known != cost:
        raise HwnasError(f"cost {cost.name} with key {cost.key}: a cost of this name or key exists already")


def cost_names() -> list[str]:
    """Return names of all costs, those of plug-ins too."""
    return [*COSTS, *plugin_names("cost", COSTS)]


def cost_named(name: str, where: str = "--minimize") -> Cost:
    """Return the cost of a name; a plug-in's is loaded and registered.

    Args:
        name: As on the command line; `Cost.also` is read, too.
        where: What named it, for the error.

    Raises:
        HwnasError: There is none of that name.
        PluginError: It is a plug-in's that cannot be used.
    """
    name = next((cost.name for cost in COSTS.values() if name and cost.also == name), name)
    if name in COSTS:
        return COSTS[name]
    if not isinstance(name, str) or load_plugin("cost", name) is None:
        raise HwnasError(f"unknown cost {name!r} in {where}; known costs: {', '.join(cost_names())}")
    made = make_plugin("cost", name, wants=("key", "parse", "format", "of_graph"))
    register_cost(made)
    return COSTS[name]


def cost_of_key(key: str) -> Cost | None:
    """Return the cost that files call `key`; None where neither hwnas nor a plug-in has one.

    Raises:
        PluginError: A plug-in's cost cannot be used.
    """
    for cost in COSTS.values():
        if cost.key == key:
            return cost
    others = (cost_named(name) for name in plugin_names("cost", COSTS))
    return next((cost for cost in others if cost.key == key), None)


def is_bound(value: object) -> bool:
    """Return whether a value can be a budget: a positive number up to `MOST_BOUND`."""
    return type(value) in (int, float) and 0 < value <= MOST_BOUND  # type: ignore[operator]


def bound_of(cost: Cost, value: object) -> float:
    """Return a budget from a number or a text like ``"4ms"``.

    Raises:
        HwnasError: It is neither.
    """
    if isinstance(value, str):
        return cost.parse(value)
    if not is_bound(value):
        raise HwnasError(f"budget {cost.name} must be a positive number, or text like '4ms' or '600k', got {value!r}")
    return float(value)  # type: ignore[arg-type]


def written_cost(key: str, value: float) -> str:
    """Return a cost for people: ``4 ms``, ``600k``."""
    cost = cost_of_key(key)
    return cost.format(value) if cost is not None else f"{value:g}"


def written_budgets(budgets: Mapping[str, float]) -> str:
    """Return budgets by key: ``latency 4 ms, params 600k``."""
    return ", ".join(f"{name_of_key(key)} {written_cost(key, upper)}" for key, upper in budgets.items()) or "none"


def name_of_key(key: str) -> str:
    """Return what the command line calls a cost; the key itself for one that is not known."""
    cost = cost_of_key(key)
    return cost.name if cost is not None else key


def axis_label(key: str) -> str:
    """Return the label of an axis; the key itself for a cost that is not known."""
    cost = cost_of_key(key)
    return cost.axis if cost is not None else key
