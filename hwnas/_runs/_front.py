"""Which networks of a search to deliver, and which one to pick."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import LATENCY, cost_named
from hwnas._errors import RunError
from hwnas._runs._delivered import compared_by, dominators_of, latency_of, overruns
from hwnas._runs._settings import SearchSettings
from search import Objective, hypervolume

PICKS = ("fastest", "knee", "best")
_EARLIER = {"most-accurate": "best"}
"""Picks by the names that they had."""
BELOW = 0.1
"""How far below the worst point the reference of a hypervolume lies, as a share of the range."""
_POINTS = 100
_DIGITS = 9
_ROUNDING = 1e-9
"""Sums of the same areas in another order differ in the sixteenth digit."""


def spread_along(latencies_ms: Sequence[float], most: int) -> list[int]:
    """Return indices of at most `most` points along a front: both ends, then by the largest gap in log latency.

    Args:
        latencies_ms: Positive, in any order.
        most: How many to keep, at least 2.

    Returns:
        Indices, sorted by latency.
    """
    order = sorted(range(len(latencies_ms)), key=lambda i: latencies_ms[i])
    if len(order) <= most:
        return order
    logs = np.log(np.maximum([latencies_ms[i] for i in order], 1e-9))
    kept = [0, len(order) - 1]
    while len(kept) < most:
        distances = np.abs(logs[:, None] - logs[kept][None]).min(axis=1)
        distances[kept] = -1.0
        kept.append(int(distances.argmax()))
    return [order[k] for k in sorted(kept)]


def hypervolume_curve(
    scaled: npt.NDArray[np.float64], counted: npt.NDArray[np.bool_] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return how the hypervolume of a run grew, at a hundred numbers of trials at most.

    Args:
        scaled: Objectives ``(n, m)``, all to be maximised, 0 to 1; the reference lies at minus `BELOW`.
        counted: Which trials count ``(n,)``; None for all.

    Returns:
        Numbers of trials ``(k,)``, and the hypervolume ``(k,)`` after so many.
    """
    kept = np.ones(len(scaled), dtype=np.bool_) if counted is None else counted
    reference = np.full(scaled.shape[1], -BELOW)
    samples = np.unique(np.linspace(1, len(scaled), min(len(scaled), _POINTS)).astype(np.int64))
    return samples, np.array([hypervolume(scaled[:n][kept[:n]], reference) for n in samples])


def fixed_hypervolume(
    objectives: Sequence[Objective], values: npt.NDArray[np.float64], batches: npt.NDArray[np.int64]
) -> float | None:
    """Return hypervolume of a run's front beyond a reference that stays where it is, so that it never falls.

    A metric with a best value counts from 0 to that, and costs from the most expensive to the cheapest network within
    the budgets, whatever was found so far: 1 is a network with the best value that is as cheap as any. (Strategies have
    a scale of their own, which moves while the first batch comes in.)

    Args:
        objectives: The m objectives of the problem.
        values: Natural values ``(n, m)`` of the trials within the budgets.
        batches: Number of the batch of each ``(n,)``.

    Returns:
        The hypervolume; None where a score has no scale yet: that is the range of the first batch with values, once
        that batch is complete.
    """
    if not len(values):
        return 0.0
    first = batches == batches.min()
    points, reference = np.empty(values.shape), np.zeros(len(objectives))
    for i, objective in enumerate(objectives):
        column = np.log(values[:, i]) if objective.log else values[:, i]
        worst, best = objective.worst, objective.best
        if worst is None and objective.direction == "max" and objective.ceiling is not None:
            worst, best = 0.0, objective.ceiling
        if worst is None or best is None:
            if first.all():
                return None
            ends = float(column[first].min()), float(column[first].max())
            worst, best = ends if objective.direction == "max" else ends[::-1]
            best += (best == worst) * objective.sign
            reference[i] = -BELOW
        elif objective.log:
            worst, best = math.log(worst), math.log(best)
        points[:, i] = (column - worst) / (best - worst)
    return round(hypervolume(points, reference), _DIGITS)


def knee_index(latencies_ms: Sequence[float], values: Sequence[float]) -> int | None:
    """Return the point farthest above the chord between the front's ends, in log latency and values (maximised).

    None where no point lies above it: then nothing is gained more cheaply at first than later on.
    """
    x, y = np.log(np.maximum(np.asarray(latencies_ms, dtype=float), 1e-9)), np.asarray(values, dtype=float)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return int(np.lexsort((x, -y))[0])
    u, v = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    first, last = int(x.argmin()), int(x.argmax())
    height = v - (v[first] + (v[last] - v[first]) * u)
    highest = int(height.argmax())
    return highest if height[highest] > _ROUNDING else None


def pick_network(
    networks: Sequence[Mapping[str, Any]],
    pick: str,
    budgets: Mapping[str, float] | None = None,
    *,
    allow_over_budget: bool = False,
) -> Mapping[str, Any]:
    """Pick one of a run's networks that meet the budgets and that no other one dominates, by `compared_by`.

    Args:
        networks: Entries of ``pareto.json``.
        pick: One of `PICKS`, or an id.
        budgets: Upper bounds of the run by cost name.
        allow_over_budget: Whether networks that are over them may be picked.

    Raises:
        RunError: There is none of that name, or none that meets the budgets.
    """
    if not networks:
        raise RunError("the run has no networks to export")
    pick = _EARLIER.get(pick, pick)
    if pick not in PICKS:
        return _named(networks, pick, budgets or {}, allow_over_budget)
    front, latencies, values = _front(networks, budgets or {}, allow_over_budget)
    if pick == "fastest":
        return front[int(np.argmin(latencies))]
    knee = knee_index(latencies, values) if pick == "knee" else None
    return front[int(np.argmax(values)) if knee is None else knee]


def settled_pick(
    networks: Sequence[Mapping[str, Any]], pick: str, budgets: Mapping[str, float], *, allow_over_budget: bool = False
) -> str:
    """Return what a network is really picked by: ``best`` in place of ``knee`` where the front has no knee.

    The arguments and errors are those of `pick_network`.
    """
    if _EARLIER.get(pick, pick) != "knee" or not networks:
        return pick
    _, latencies, values = _front(networks, budgets, allow_over_budget)
    return "best" if knee_index(latencies, values) is None else pick


def _front(
    networks: Sequence[Mapping[str, Any]], budgets: Mapping[str, float], allow_over_budget: bool
) -> tuple[list[Mapping[str, Any]], list[float], list[float]]:
    """Return the networks that may be picked, their latencies, and the values that they are compared by, maximised.

    Raises:
        RunError: None meets the budgets.
    """
    kept = [n for n in networks if allow_over_budget or keeps(n, budgets)]
    if not kept:
        advice = "add --allow-over-budget to export it anyway, or raise the budget, or increase --samples"
        raise RunError(f"{nearest(networks, budgets)}; {advice}")
    ids = [network["id"] for network in kept]
    front = [network for network in kept if network.get("dominated_by") not in ids] or kept
    front = [n for n, better in zip(front, dominators_of(front, ["latency_ms"]), strict=True) if better is None]
    metric, natural = compared_by(front)
    return front, [latency_of(network) for network in front], [metric.sign * value for value in natural]


def usual_pick(settings: SearchSettings) -> str:
    """Return the pick where nobody names one: the best within the budget, or the knee of a front without a bound.

    A search for the best network is asked for that. A budget on the latency, or on another cost that the search
    minimises, says how cheap is cheap enough, so the best network within it is what it was given for. Without one, the
    network is picked from which a better metric costs much more, or the best where the front has no such knee
    (`settled_pick`).
    """
    bounded = any(cost_named(word).key in settings.budgets for word in {*settings.minimize, LATENCY.name})
    return "best" if bounded or settings.goal == "best" else "knee"


def pick_text(network: Mapping[str, Any], pick: str) -> str:
    """Return why a network was picked: ``as fastest: the lowest latency``, or ``by its id``."""
    metric, _ = compared_by([network])
    compared = metric.text if metric.score else f"validation {metric.text}"
    kept = network.get("budgets") and network.get("within_budget") is not False
    reasons = {
        "fastest": "the lowest latency",
        "knee": f"from here on, a better {compared} costs much more latency",
        "best": f"the best {compared}{' within the budgets' if kept else ''}",
    }
    pick = _EARLIER.get(pick, pick)
    return f"as {pick}: {reasons[pick]}" if pick in reasons else "by its id"


def keeps(network: Mapping[str, Any], budgets: Mapping[str, float]) -> bool:
    """Return whether a network keeps its run's budgets, by what was written of it and by what they are now."""
    return network.get("within_budget") is not False and not overruns(network, budgets)


def _named(
    networks: Sequence[Mapping[str, Any]], name: str, budgets: Mapping[str, float], allow_over_budget: bool
) -> Mapping[str, Any]:
    """Return the network of an id.

    Raises:
        RunError: There is none, or it is over the budgets.
    """
    for network in networks:
        if network["id"] == name:
            if allow_over_budget or keeps(network, budgets):
                return network
            why = _why_not(network, budgets)
            raise RunError(f"{name} is over the budget: {why}; pick another one or add --allow-over-budget")
    ids = ", ".join(str(n["id"]) for n in networks)
    raise RunError(f"the run has no network {name!r}; pick {', '.join(PICKS)} or one of {ids}")


def nearest(networks: Sequence[Mapping[str, Any]], budgets: Mapping[str, float]) -> str:
    """Return a line that says that no network meets the budgets, and how far over them the nearest one is."""

    def farthest(network: Mapping[str, Any]) -> float:
        """Return the largest excess over a budget."""
        return max((check.excess for check in overruns(network, budgets)), default=math.inf)

    closest = min(networks, key=farthest)
    return f"no network of the run meets its budget; the nearest is {closest['id']}: {_why_not(closest, budgets)}"


def _why_not(network: Mapping[str, Any], budgets: Mapping[str, float]) -> str:
    return ", ".join(check.text for check in overruns(network, budgets)) or "it was over the budget at its delivery"
