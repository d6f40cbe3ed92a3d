"""Delivered networks against their budgets and each other: entries of ``pareto.json``, also of earlier versions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas._costs._cost import LATENCY, name_of_key, written_cost

Network = Mapping[str, Any]
_ROUNDING = 1e-5
"""What is written of a latency has six digits: beyond a budget is what lies beyond it by more than that."""


@dataclass(frozen=True)
class Check:
    """One budget held against one network.

    Attributes:
        cost: Name of the cost.
        upper: The budget.
        value: The network's cost, measured where it was measured.
        half_width: Half the measurement's 90 % interval; None where the value was not measured.
        measured: Whether the value was measured.
    """

    cost: str
    upper: float
    value: float
    half_width: float | None
    measured: bool

    @property
    def within(self) -> bool:
        """Whether the network meets the budget."""
        return self.value <= self.upper * (1 + _ROUNDING * (self.cost == LATENCY.key))

    @property
    def excess(self) -> float:
        """How far over the budget it is, as a share of the budget; negative within it."""
        return self.value / self.upper - 1

    @property
    def text(self) -> str:
        """For people: ``latency 0.1059 ± 0.0003 ms measured, 5.9 % over the budget of 0.1 ms``."""
        if math.isnan(self.value):
            return f"{name_of_key(self.cost)} is not known, the budget is {written_cost(self.cost, self.upper)}"
        how = " measured" if self.measured else " predicted" if self.cost == LATENCY.key else ""
        value = written_ms(self.value, self.half_width) if self.half_width else written_cost(self.cost, self.value)
        side = f"{100 * abs(self.excess):.3g} % {'over' if self.excess > 0 else 'below'}"
        near = self.half_width is not None and abs(self.value - self.upper) <= self.half_width
        doubt = ", within the error of the measurement" if near else ""
        return (
            f"{name_of_key(self.cost)} {value}{how}, {side} the budget of {written_cost(self.cost, self.upper)}{doubt}"
        )

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
    against = []
    for cost, upper in budgets.items():
        latency = network["latency_ms"] if cost == LATENCY.key else {}
        measured = latency.get("measured") is not None
        value = latency_of(network) if cost == LATENCY.key else float(network.get(cost, math.nan))
        against.append(Check(cost, upper, value, latency.get("measured_half_width") if measured else None, measured))
    return against


def overruns(network: Network, budgets: Mapping[str, float]) -> list[Check]:
    """The budgets that a network is over."""
    return [check for check in checks(network, budgets) if not check.within]


def judge(entries: Sequence[dict[str, Any]], budgets: Mapping[str, float], costs: Sequence[str]) -> None:
    """Write into entries which budgets they keep, and which other one dominates them.

    Args:
        entries: Entries of one run; they get ``within_budget``, ``budgets`` and ``dominated_by``.
        budgets: Upper bounds, by cost name.
        costs: Names of what is minimised.
    """
    beaten = beaten_by(entries, costs)
    for entry, better in zip(entries, beaten, strict=True):
        against = checks(entry, budgets)
        entry["within_budget"] = all(check.within for check in against)
        entry["budgets"] = {check.cost: check.as_dict() for check in against}
        entry["dominated_by"] = better


def beaten_by(networks: Sequence[Network], costs: Sequence[str]) -> list[str | None]:
    """Ids of networks of the front that are no worse in anything and better in something, None for the front itself.

    Latencies are as measured, and networks are compared by `measure_of`: the test part decides nothing.
    """
    from search import nondominated

    if not networks:
        return []
    _, values = measure_of(networks)
    columns = [values]
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


def measure_of(networks: Sequence[Network]) -> tuple[str, list[float]]:
    """What networks are compared by, and its values; never their test accuracy, which nothing may be chosen by.

    That is the validation accuracy of the finished networks after a final training, else what the search saw: an
    accuracy or a score.
    """
    for name in ("final_validation_accuracy", "validation_accuracy"):
        if all(network.get(name) is not None for network in networks):
            return "accuracy", [float(network[name]) for network in networks]
    scores = [score if isinstance(score := network.get("score"), dict) else {} for network in networks]
    name = next(iter(scores[0]), "accuracy") if scores else "accuracy"
    return name, [float(score.get(name, math.nan)) for score in scores]


def latency_of(network: Network) -> float:
    """Measured latency in milliseconds, or the predicted one where it was not measured."""
    latency = network["latency_ms"]
    value = latency["measured"] if latency["measured"] is not None else latency["predicted"]
    return float(value) if value is not None else math.nan


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy on so many images: of a binomial share, sqrt(p (1 - p) / n).

    All right or all wrong would give 0, as if a further image could not be otherwise: p then counts half an image.
    """
    p = min(max(accuracy, 0.5 / images), 1 - 0.5 / images)
    return math.sqrt(p * (1 - p) / images)


def images_of(network: Network, part: str) -> int | None:
    """How many images an accuracy comes from; None where that is not known.

    Args:
        network: its entry.
        part: ``"test"``, ``"validation"`` (what the search saw) or ``"final_validation"``.
    """
    images = network.get("images")
    count = images.get(part) if isinstance(images, dict) else None
    return count if type(count) is int and count > 0 else None


def compared_images(network: Network) -> int | None:
    """How many images the accuracy comes from that `measure_of` compares it by."""
    final = network.get("final_validation_accuracy") is not None
    return images_of(network, "final_validation" if final else "validation")


def written_accuracy(accuracy: float, images: int | None) -> str:
    """For people: ``93.06% ± 1.34%``, the latter one standard error."""
    return f"{accuracy:.2%}" + (f" ± {standard_error(accuracy, images):.2%}" if images else "")


def written_test(network: Network) -> str:
    """Its test accuracy for people."""
    return written_accuracy(float(network["accuracy"]), images_of(network, "test"))


def written_measure(network: Network) -> str:
    """What it is chosen by, for people: ``validation accuracy 93.06% ± 1.34%``, or a score and its value."""
    name, (value,) = measure_of([network])
    if name == "accuracy":
        return f"validation accuracy {written_accuracy(value, compared_images(network))}"
    return f"{name} {value:.4g}"


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


def described(network: Network, budgets: Mapping[str, float]) -> str:
    """An exported network for people: what it is, how good and how fast, and what must be known before it is used."""
    told = " (± one standard error)" if images_of(network, "test") else ""
    accuracies = [written_measure(network), f"test accuracy {written_test(network)}{told}"]
    over = [check.text for check in overruns(network, budgets)]
    beaten = [f"dominated by {network['dominated_by']}"] if network.get("dominated_by") else []
    return "; ".join([", ".join([str(network["arch"]), *accuracies, written_latency(network)]), *over, *beaten])


def shortcomings(networks: Sequence[Network], budgets: Mapping[str, float]) -> list[str]:
    """What people must know of a run's networks: which are over the budget, dominated by others, or doubtful."""
    lines = []
    over = [(n, failed) for n in networks if (failed := overruns(n, budgets))]
    if over:
        texts = "; ".join(f"{n['id']}: {', '.join(check.text for check in failed)}" for n, failed in over)
        which = "all" if len(over) == len(networks) else f"{len(over)} of {len(networks)}"
        lines.append(
            f"{which} networks are over the budget: {texts}; `hwnas export` needs --allow-over-budget for these"
        )
    beaten = [n for n in networks if n.get("dominated_by")]
    if beaten:
        pairs = ", ".join(f"{n['id']} by {n['dominated_by']}" for n in beaten)
        lines.append(f"{len(beaten)} of {len(networks)} networks are dominated by another one, as measured: {pairs}")
    return [*lines, *(str(n["doubt"]) for n in networks if n.get("doubt"))]


def error_lines(networks: Sequence[Network]) -> list[str]:
    """What ± means behind a run's accuracies; nothing where no number of images is known."""
    parts = {"validation": compared_images(networks[0]), "test": images_of(networks[0], "test")} if networks else {}
    told = " and ".join(f"{count} {part}" for part, count in parts.items() if count)
    return [f"accuracies come from {told} images: ± is one standard error, binomial"] if told else []


def remarks(networks: Sequence[Network], budgets: Mapping[str, float]) -> list[str]:
    """What people must know of a run's networks, and what ± means."""
    return [*shortcomings(networks, budgets), *error_lines(networks)]
