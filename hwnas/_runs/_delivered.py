"""Delivered networks against their budgets and each other: entries of ``pareto.json``, also of earlier versions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas._costs._cost import LATENCY, MEMORY, name_of_key, written_cost
from hwnas._runs._agreement import statistic_of
from hwnas._runs._metrics import Source, metric_of, score_of, value_of
from hwnas.tasks import DEFAULT_METRIC, Metric

Network = Mapping[str, Any]
FINAL: Source = "final_validation"
SEARCHED: Source = "validation"
"""The validation part after a final training, and as the search saw it."""
BESIDE = "test_beside"
"""Where an entry holds figures of the test part beside the metric, by name."""
SPEED_UP = "speed_up"
"""How many times as fast as the model a network is that its search started from, both measured."""
_ROUNDING = 1e-5
"""What is written of a latency has six digits: beyond a budget is what lies beyond it by more than that."""


@dataclass(frozen=True)
class Check:
    """One budget compared with one network.

    Attributes:
        cost: Name of the cost.
        upper: The budget.
        value: The network's cost, measured where it was measured.
        half_width: Half the range in which nine of ten later measurements lie; None where the value was not measured.
        measured: Whether the value was measured.
        statistic: Which statistic the value is, as in ``median`` or ``arena``; None where there is only one.
    """

    cost: str
    upper: float
    value: float
    half_width: float | None
    measured: bool
    statistic: str | None = None

    @property
    def within(self) -> bool:
        """Whether the network meets the budget."""
        return self.value <= self._limit

    @property
    def surely_within(self) -> bool:
        """Whether it meets the budget by more than the error of the measurement."""
        return self.value + (self.half_width or 0.0) <= self._limit

    @property
    def _limit(self) -> float:
        return self.upper * (1 + _ROUNDING * (self.cost == LATENCY.key))

    @property
    def excess(self) -> float:
        """How far over the budget it is, as a share of the budget; negative within it."""
        return self.value / self.upper - 1

    @property
    def text(self) -> str:
        """For people: ``latency 0.1059 ± 0.0003 ms (median) measured, 5.9 % over the budget of 0.1 ms``."""
        if math.isnan(self.value):
            return f"{name_of_key(self.cost)} is not known, the budget is {written_cost(self.cost, self.upper)}"
        how = f" ({self.statistic})" if self.statistic is not None else ""
        how += " measured" if self.measured else " predicted" if self.cost == LATENCY.key else ""
        value = written_ms(self.value, self.half_width) if self.half_width else written_cost(self.cost, self.value)
        side = f"{100 * abs(self.excess):.3g} % {'over' if self.excess > 0 else 'below'}"
        near = self.half_width is not None and abs(self.value - self.upper) <= self.half_width
        doubt = ", within the error of the measurement" if near else ""
        return (
            f"{name_of_key(self.cost)} {value}{how}, {side} the budget of {written_cost(self.cost, self.upper)}{doubt}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            "upper": self.upper,
            "value": None if math.isnan(self.value) else self.value,
            "half_width": self.half_width,
            "measured": self.measured,
            "within": self.within,
            **({} if self.statistic is None else {"statistic": self.statistic}),
        }


def checks(network: Network, budgets: Mapping[str, float]) -> list[Check]:
    """Compare a network with every budget; an unknown cost meets none."""
    return [_check(network, cost, upper) for cost, upper in budgets.items()]


def _check(network: Network, cost: str, upper: float) -> Check:
    """Compare a network with one budget."""
    if cost == LATENCY.key:
        latency = network["latency_ms"]
        measured = latency.get("measured") is not None
        half_width = latency.get("measured_half_width") if measured else None
        said = measured or latency.get("statistic") is not None  # a benchmark table's own latency has none
        statistic = statistic_of(latency) if said else None
        return Check(cost, upper, latency_of(network), half_width, measured, statistic)
    if cost == MEMORY.key and network.get("memory_statistic") == "arena":
        arena = network.get("arena_bytes")
        return Check(cost, upper, math.nan if arena is None else float(arena), None, arena is not None, "arena")
    return Check(cost, upper, float(network.get(cost, math.nan)), None, False)


def overruns(network: Network, budgets: Mapping[str, float]) -> list[Check]:
    """Return the budgets that a network is over."""
    return [check for check in checks(network, budgets) if not check.within]


def judge(entries: Sequence[dict[str, Any]], budgets: Mapping[str, float], costs: Sequence[str]) -> None:
    """Write into entries which budgets they keep, and which other one dominates them.

    Args:
        entries: Entries of one run; they get ``within_budget``, ``budgets`` and ``dominated_by``.
        budgets: Upper bounds, by cost name.
        costs: Names of what is minimised.
    """
    dominators = dominators_of(entries, costs)
    for entry, better in zip(entries, dominators, strict=True):
        against = checks(entry, budgets)
        entry["within_budget"] = all(check.within for check in against)
        entry["budgets"] = {check.cost: check.as_dict() for check in against}
        entry["dominated_by"] = better


def dominators_of(networks: Sequence[Network], costs: Sequence[str]) -> list[str | None]:
    """Return for each network the id of one of the front that dominates it; None for networks of the front.

    Latencies are as measured, and networks are compared by `compared_by`: the test part decides nothing.
    """
    from search import nondominated

    if not networks:
        return []
    metric, values = compared_by(networks)
    columns = [[metric.sign * value for value in values]]
    for cost in costs:
        columns.append([-latency_of(n) if cost == LATENCY.key else -float(n.get(cost, math.nan)) for n in networks])
    points = np.array(columns, dtype=np.float64).T
    points = points[:, ~np.isnan(points).any(axis=0)]  # what is not known of all compares none of them
    front = nondominated(points) if points.shape[1] else np.ones(len(networks), dtype=bool)
    dominating: list[str | None] = []
    for point, kept in zip(points, front, strict=True):
        better = front & (points >= point).all(axis=1) & (points > point).any(axis=1)
        dominating.append(None if kept else str(networks[int(better.argmax())]["id"]))
    return dominating


def compared_by(networks: Sequence[Network]) -> tuple[Metric, list[float]]:
    """Return what networks are compared by, and its values; never their test values, which nothing may be chosen by.

    That is the metric on the validation part after a final training, else what the search saw: the same metric or a
    score.
    """
    for source in (FINAL, SEARCHED):
        values = [value_of(network, source) for network in networks]
        if networks and None not in values:
            return metric_of(networks[0]), [float(value) for value in values if value is not None]
    scores = [score_of(network) for network in networks]
    first = scores[0] if scores else None
    if first is None:
        return (metric_of(networks[0]) if networks else DEFAULT_METRIC), [math.nan] * len(networks)
    return first[0], [score[1] if score is not None and score[0] == first[0] else math.nan for score in scores]


def latency_of(network: Network) -> float:
    """Return measured latency in milliseconds, or what is predicted of the same statistic where it was not measured."""
    latency = network["latency_ms"]
    values = (latency["measured"], latency.get("expected"), latency["predicted"])
    value = next((value for value in values if value is not None), None)
    return float(value) if value is not None else math.nan


def measured_or_predicted(networks: Sequence[Network]) -> str:
    """Return in a word what `latency_of` says of networks."""
    measured = {network["latency_ms"]["measured"] is not None for network in networks}
    if len(measured) == 2:
        return "measured or predicted"
    return "measured" if True in measured else "predicted"


def samples_of(network: Network, part: str) -> int | None:
    """Return how many samples a value comes from; None where that is not known.

    Args:
        network: Its entry in ``pareto.json``.
        part: ``"test"``, ``"validation"`` (what the search saw) or ``"final_validation"``.
    """
    counts = network.get("images")  # whatever the samples are
    count = counts.get(part) if isinstance(counts, dict) else None
    return count if type(count) is int and count > 0 else None


def compared_samples(network: Network) -> int | None:
    """Return how many samples the value comes from that `compared_by` compares a network by."""
    return samples_of(network, FINAL if value_of(network, FINAL) is not None else SEARCHED)


def written_test(network: Network) -> str:
    """Format its test value: ``93.06% ± 1.34%``, with one standard error where that is known."""
    metric, value = metric_of(network), value_of(network, "test")
    assert value is not None
    return metric.format(value, metric.standard_error(value, samples_of(network, "test")))


def written_compared(network: Network) -> str:
    """Format the value that it is chosen by: ``validation accuracy 93.06% ± 1.34%``, or a score and its value."""
    metric, (value,) = compared_by([network])
    where = "" if metric.score else "validation "
    return f"{where}{metric.text} {metric.format(value, metric.standard_error(value, compared_samples(network)))}"


def written_latency(network: Network) -> str:
    """Format its latency: ``0.1059 ± 0.0003 ms (median) measured``, or ``0.1 ms predicted, not measured``."""
    latency = network["latency_ms"]
    if latency["measured"] is None:
        statistic = "" if latency.get("expected") is None else f" ({statistic_of(latency)})"
        return f"{latency_of(network):.4g} ms{statistic} predicted, not measured"
    return f"{written_ms(latency['measured'], latency.get('measured_half_width'))} ({statistic_of(latency)}) measured"


def written_ms(value: float, half_width: float | None) -> str:
    """Format a latency with four digits and its uncertainty to as many places: ``0.1059 ± 0.0003 ms``."""
    if not half_width or not 0 < value < math.inf:
        return f"{value:.4g} ms"
    places = max(0, 3 - math.floor(math.log10(value)))
    return f"{value:.4g} ± {max(half_width, 10.0**-places):.{places}f} ms"


def described(network: Network, budgets: Mapping[str, float]) -> str:
    """Describe an exported network: architecture, metric, latency, and the budgets that it is over."""
    tested = written_test(network)
    uncertainty = " (± one standard error)" if "±" in tested else ""
    values = [written_compared(network), f"test {metric_of(network).text} {tested}{uncertainty}"]
    over = [check.text for check in overruns(network, budgets)]
    dominated = [f"dominated by {network['dominated_by']}"] if network.get("dominated_by") else []
    return "; ".join([", ".join([str(network["arch"]), *values, written_latency(network)]), *over, *dominated])


def shortcomings(networks: Sequence[Network], budgets: Mapping[str, float]) -> list[str]:
    """Return warnings about a run's networks: over the budget, dominated by others, or doubtful."""
    lines = []
    over = [(n, failed) for n in networks if (failed := overruns(n, budgets))]
    if over:
        texts = "; ".join(f"{n['id']}: {', '.join(check.text for check in failed)}" for n, failed in over)
        which = "all" if len(over) == len(networks) else f"{len(over)} of {len(networks)}"
        lines.append(
            f"{which} networks are over the budget: {texts}; `hwnas export` needs --allow-over-budget for these"
        )
    dominated = [n for n in networks if n.get("dominated_by")]
    if dominated:
        pairs = ", ".join(f"{n['id']} by {n['dominated_by']}" for n in dominated)
        how = measured_or_predicted(networks)
        lines.append(f"{len(dominated)} of {len(networks)} networks are dominated by another one, as {how}: {pairs}")
    return [*lines, *(str(n["doubt"]) for n in networks if n.get("doubt"))]


def error_lines(networks: Sequence[Network]) -> list[str]:
    """Return a line on what ± means; none where the number of samples or the uncertainty is not known."""
    if not networks or metric_of(networks[0]).uncertainty is None:
        return []
    parts = {"validation": compared_samples(networks[0]), "test": samples_of(networks[0], "test")}
    counts = " and ".join(f"{count} {part}" for part, count in parts.items() if count)
    metric = metric_of(networks[0])
    line = f"{metric.text} comes from {counts} samples: ± is one standard error, {metric.uncertainty}"
    return [line] if counts else []


def remarks(networks: Sequence[Network], budgets: Mapping[str, float]) -> list[str]:
    """Return the warnings about a run's networks, and what ± means."""
    return [*shortcomings(networks, budgets), *error_lines(networks)]
