"""What is known of a network without a measurement, as an entry of ``pareto.json``."""

from __future__ import annotations

from typing import Any

from hwnas._costs._cost import COSTS
from hwnas._costs._space_costs import SpaceCosts
from hwnas._pipeline._winner import Winner
from hwnas._runs._agreement import PREDICTED
from hwnas._runs._metrics import METRIC, SCORE, SCORE_METRIC, key_of
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric, metric_named


def rounded(value: float) -> float:
    """Return a number with six significant digits, as ``pareto.json`` holds it."""
    return float(f"{value:.6g}")


def known_costs(
    winner: Winner,
    space: Space,
    costs: SpaceCosts,
    searched: Metric = DEFAULT_METRIC,
    tested: Metric = DEFAULT_METRIC,
) -> dict[str, Any]:
    """Return an entry of ``pareto.json`` with what needs no measurement; the rest is None.

    Without a latency table the predicted latency is the one that the search used.

    Args:
        winner: The network.
        space: Its space.
        costs: Costs of the space's networks.
        searched: The metric that the search saw.
        tested: The metric that networks are tested by.
    """
    codes = space.encode(winner.arch)[None]
    graph_costs = [cost for cost in COSTS.values() if cost.of_graph is not None]
    latency: dict[str, float | str | None] = {"predicted": winner.values.get("latency_ms"), "low": None, "high": None}
    if costs.table is not None:
        price = costs.table.corrected_price(float(costs.unfitted_ms(codes)[0]))
        interval = {"predicted": price.value_ms, "low": price.low_ms, "high": price.high_ms}
        latency = {name: None if value is None else rounded(value) for name, value in interval.items()}
        latency["statistic"] = PREDICTED
    return {
        "id": winner.id,
        "trial": winner.trial,
        "arch": space.format(winner.arch),
        **({} if tested == DEFAULT_METRIC else {METRIC: tested.as_dict()}),
        key_of(tested, "test"): None,
        key_of(tested, "validation"): winner.values.get(tested.name) if searched == tested else None,
        **({} if searched == tested else _score(winner, searched)),
        "latency_ms": {**latency, "measured": None},
        **{cost.key: cost.stored(float(costs.cost(cost.key)(codes)[0])) for cost in graph_costs},
        "energy_mj": None,
        "arena_bytes": None,
        "onnx": None,
    }


def _score(winner: Winner, metric: Metric) -> dict[str, Any]:
    """Return what the search saw of a network, where that is another metric than the one it is tested by."""
    costs = {cost.key for cost in COSTS.values()}
    score = {name: value for name, value in winner.values.items() if name not in costs}
    return {SCORE: score, **({} if metric == metric_named(metric.name) else {SCORE_METRIC: metric.as_dict()})}
