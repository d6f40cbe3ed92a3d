"""What handed-over networks promise and keep: entries of ``pareto.json``, those of earlier versions too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas._runs._metrics import Source, metric_of, score_of, value_of
from hwnas._runs._settings import OBJECTIVES
from hwnas.tasks import DEFAULT_METRIC, Metric

Network = Mapping[str, Any]
FINAL: Source = "final_validation"
SEARCHED: Source = "validation"
"""The validation part after a final training, and as the search saw it."""
WORD_OF = {name: word for word, name in OBJECTIVES.items()}
"""Costs as ``--minimize`` and ``budgets`` call them, by their names."""
_ROUNDING = 1e-5
"""What is written of a latency has six digits: beyond a budget is what lies beyond it by more than that."""


@dataclass(frozen=True)
class Check:
    """One budget held against one network.

    Attributes:
        cost: name of the cost.
        upper: the budget.
        value: what the network takes: measured where it can be and was.
        half_width: of the measurement's 90 % interval; None for what is no measurement.
        measured: whether the value was measured.
    """

    cost: str
    upper: float
    value: float
    half_width: float | None
    measured: bool

    @property
    def within(self) -> bool:
        """Whether the network keeps the budget."""
        return self.value <= self.upper * (1 + _ROUNDING * (self.cost == "latency_ms"))

    @property
    def excess(self) -> float:
        """How far over the budget it is, as a share of the budget; negative within it."""
        return self.value / self.upper - 1

    @property
    def text(self) -> str:
        """For people: ``latency 0.1059 ± 0.0003 ms measured, 5.9 % over the budget of 0.1 ms``."""
        if math.isnan(self.value):
            return f"{WORD_OF[self.cost]} is not known, the budget is {written_cost(self.cost, self.upper)}"
        how = " measured" if self.measured else " predicted" if self.cost == "latency_ms" else ""
        value = written_ms(self.value, self.half_width) if self.half_width else written_cost(self.cost, self.value)
        side = f"{100 * abs(self.excess):.3g} % {'over' if self.excess > 0 else 'below'}"
        near = self.half_width is not None and abs(self.value - self.upper) <= self.half_width
        doubt = ", which is less than the measurement can tell" if near else ""
        return f"{WORD_OF[self.cost]} {value}{how}, {side} the budget of {written_cost(self.cost, self.upper)}{doubt}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "upper": self.upper,
            "value": None if math.isnan(self.value) else self.value,
            "half_width": self.half_width,
            "measured": self.measured,
            "within": self.within,
        }


def checks(network: Network, budgets: Mapping[str, float]) -> list[Check]:
    """Every budget held against a network; a cost that is not known of it keeps none."""
    found = []
    for cost, upper in budgets.items():
        latency = network["latency_ms"] if cost == "latency_ms" else {}
        measured = latency.get("measured") is not None
        value = latency_of(network) if cost == "latency_ms" else float(network.get(cost, math.nan))
        found.append(Check(cost, upper, value, latency.get("measured_half_width") if measured else None, measured))
    return found


def overruns(network: Network, budgets: Mapping[str, float]) -> list[Check]:
    """The budgets that a network does not keep."""
    return [check for check in checks(network, budgets) if not check.within]


def judge(entries: Sequence[dict[str, Any]], budgets: Mapping[str, float], costs: Sequence[str]) -> None:
    """Write into entries which budgets they keep, and which other one beats them.

    Args:
        entries: of one run; they get ``within_budget``, ``budgets`` and ``dominated_by``.
        budgets: upper bounds, by cost name.
        costs: names of what is minimised.
    """
    beaten = beaten_by(entries, costs)
    for entry, better in zip(entries, beaten, strict=True):
        found = checks(entry, budgets)
        entry["within_budget"] = all(check.within for check in found)
        entry["budgets"] = {check.cost: check.as_dict() for check in found}
        entry["dominated_by"] = better


def beaten_by(networks: Sequence[Network], costs: Sequence[str]) -> list[str | None]:
    """Ids of networks of the front that are no worse in anything and better in something, None for the front itself.

    Latencies are as measured, and networks are compared by `compared_by`: the test part decides nothing.
    """
    from search import nondominated

    if not networks:
        return []
    metric, values = compared_by(networks)
    columns = [[metric.sign * value for value in values]]
    for cost in costs:
        columns.append([-latency_of(n) if cost == "latency_ms" else -float(n.get(cost, math.nan)) for n in networks])
    points = np.array(columns, dtype=np.float64).T
    points = points[:, ~np.isnan(points).any(axis=0)]  # what is not known of all compares none of them
    front = nondominated(points) if points.shape[1] else np.ones(len(networks), dtype=bool)
    found: list[str | None] = []
    for point, kept in zip(points, front, strict=True):
        better = front & (points >= point).all(axis=1) & (points > point).any(axis=1)
        found.append(None if kept else str(networks[int(better.argmax())]["id"]))
    return found


def compared_by(networks: Sequence[Network]) -> tuple[Metric, list[float]]:
    """What networks are compared by, and its values; never their test values, which nothing may be chosen by.

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
    """Measured latency in milliseconds, or the predicted one where it was not measured."""
    latency = network["latency_ms"]
    value = latency["measured"] if latency["measured"] is not None else latency["predicted"]
    return float(value) if value is not None else math.nan


def samples_of(network: Network, part: str) -> int | None:
    """How many samples a value comes from; None where that is not told.

    Args:
        network: its entry.
        part: ``"test"``, ``"validation"`` (what the search saw) or ``"final_validation"``.
    """
    counts = network.get("images")  # whatever the samples are
    count = counts.get(part) if isinstance(counts, dict) else None
    return count if type(count) is int and count > 0 else None


def compared_samples(network: Network) -> int | None:
    """How many samples the value comes from that `compared_by` compares a network by."""
    return samples_of(network, FINAL if value_of(network, FINAL) is not None else SEARCHED)


def written_test(network: Network) -> str:
    """Its test value for people: ``93.06% ± 1.34%``, the latter one standard error where that is known."""
    metric, value = metric_of(network), value_of(network, "test")
    assert value is not None
    return metric.format(value, metric.standard_error(value, samples_of(network, "test")))


def written_compared(network: Network) -> str:
    """What it is chosen by, for people: ``validation accuracy 93.06% ± 1.34%``, or a score and its value."""
    metric, (value,) = compared_by([network])
    where = "" if metric.score else "validation "
    return f"{where}{metric.name} {metric.format(value, metric.standard_error(value, compared_samples(network)))}"


def written_latency(network: Network) -> str:
    """For people: ``0.1059 ± 0.0003 ms measured``, or ``0.1 ms predicted, not measured``."""
    latency = network["latency_ms"]
    if latency["measured"] is None:
        return f"{latency_of(network):.4g} ms predicted, not measured"
    return f"{written_ms(latency['measured'], latency.get('measured_half_width'))} measured"


def written_ms(value: float, half_width: float | None) -> str:
    """A latency for people, four digits of it and its uncertainty to as many places: ``0.1059 ± 0.0003 ms``."""
    if not half_width or not 0 < value < math.inf:
        return f"{value:.4g} ms"
    places = max(0, 3 - math.floor(math.log10(value)))
    return f"{value:.4g} ± {max(half_width, 10.0**-places):.{places}f} ms"


def written_cost(cost: str, value: float) -> str:
    """A cost for people: milliseconds, or a count like ``600k``."""
    if cost == "latency_ms":
        return f"{value:.4g} ms"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def described(network: Network, budgets: Mapping[str, float]) -> str:
    """An exported network for people: what it is, how good and how fast, and what must be known before it is used."""
    tested = written_test(network)
    told = " (± one standard error)" if "±" in tested else ""
    values = [written_compared(network), f"test {metric_of(network).name} {tested}{told}"]
    over = [check.text for check in overruns(network, budgets)]
    beaten = [f"{network['dominated_by']} beats it in all that counts"] if network.get("dominated_by") else []
    return "; ".join([", ".join([str(network["arch"]), *values, written_latency(network)]), *over, *beaten])


def shortcomings(networks: Sequence[Network], budgets: Mapping[str, float]) -> list[str]:
    """What people must know of a run's networks: which are over the budget, beaten by others, or doubtful."""
    found = []
    over = [(n, failed) for n in networks if (failed := overruns(n, budgets))]
    if over:
        told = "; ".join(f"{n['id']}: {', '.join(check.text for check in failed)}" for n, failed in over)
        some = f"{len(over)} of {len(networks)} networks do not keep"
        which = "no network keeps" if len(over) == len(networks) else some
        found.append(f"{which} the budget: {told}; `hwnas export` wants --allow-over-budget for these")
    beaten = [n for n in networks if n.get("dominated_by")]
    if beaten:
        told = ", ".join(f"{n['id']} by {n['dominated_by']}" for n in beaten)
        found.append(f"{len(beaten)} of {len(networks)} networks are beaten in all that counts, as measured: {told}")
    return [*found, *(str(n["doubt"]) for n in networks if n.get("doubt"))]


def error_lines(networks: Sequence[Network]) -> list[str]:
    """What ± means behind a run's values; nothing where no number of samples is known, or no uncertainty."""
    if not networks or metric_of(networks[0]).uncertainty is None:
        return []
    parts = {"validation": compared_samples(networks[0]), "test": samples_of(networks[0], "test")}
    told = " and ".join(f"{count} {part}" for part, count in parts.items() if count)
    metric = metric_of(networks[0])
    return [f"{metric.name} comes from {told} samples: ± is one standard error, {metric.uncertainty}"] if told else []


def remarks(networks: Sequence[Network], budgets: Mapping[str, float]) -> list[str]:
    """Both, for people who read no report."""
    return [*shortcomings(networks, budgets), *error_lines(networks)]
