"""Whether networks do what was said of them: on the test part as in the search, on the device as predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeGuard

from hwnas._runs._options import LATENCY_STATISTICS
from hwnas._tables._references import THIS_MACHINE, percent_text, speed_text
from hwnas.tasks import BINOMIAL, Metric

QUANTILES = LATENCY_STATISTICS
"""Statistics of a latency, from the least to the greatest."""
PREDICTED = "q10"
"""The statistic that a latency table predicts."""
_SIGMAS = 4.0
_MOST_MS = 1e300


@dataclass(frozen=True)
class Compared:
    """A predicted and a measured latency of one network.

    Attributes:
        predicted: The prediction in milliseconds.
        low: Lower end of its 90 % interval; NaN where there is none.
        high: Upper end.
        measured: The measured q10, at the table's speed where that is known.
        at_table_speed: Whether it is.
    """

    predicted: float
    low: float
    high: float
    measured: float
    at_table_speed: bool

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return abs(self.predicted - self.measured) / self.measured

    @property
    def inside(self) -> bool | None:
        """Whether the interval contains the measurement; None without an interval."""
        return None if math.isnan(self.low) or math.isnan(self.high) else self.low <= self.measured <= self.high


def quantiles_of(latency: Mapping[str, Any], speed: str) -> dict[str, float]:
    """Return the measured quantiles of a network in milliseconds, by name; empty where they are not known.

    Networks of earlier versions have one value, their q10 as timed.

    Args:
        latency: ``latency_ms`` of an entry of ``pareto.json``.
        speed: ``"at_table_speed"`` or ``"raw"`` (as timed).
    """
    values = latency.get(speed)
    earlier = "raw" not in latency and "at_table_speed" not in latency and statistic_of(latency) == PREDICTED
    if earlier and speed == "raw":
        values = {PREDICTED: latency.get("measured")}
    if not isinstance(values, Mapping):
        return {}
    return {name: float(values[name]) for name in QUANTILES if is_time(values.get(name))}


def statistic_of(latency: Mapping[str, Any]) -> str:
    """Return which statistic the latency is that counts: the measured one, or the prediction that stands for it.

    Entries that do not say it are those of earlier versions, and predictions of a table: a q10.
    """
    name = latency.get("statistic")
    return str(name) if name in QUANTILES else PREDICTED


def slowness_of(latency: Mapping[str, Any]) -> tuple[float, float | None] | None:
    """Return how many times longer everything took than when the table was made, and half its interval, relative."""
    slowness, half_width = latency.get("slowness"), latency.get("slowness_half_width")
    if not is_time(slowness):
        return None
    return slowness, half_width if is_time(half_width) else None


def compared_latency(latency: Mapping[str, Any]) -> Compared | None:
    """Return what a network's prediction is compared with; None where either is not known."""
    here = quantiles_of(latency, "at_table_speed").get(PREDICTED)
    measured = here if here is not None else quantiles_of(latency, "raw").get(PREDICTED)
    if measured is None or not is_time(latency.get("predicted")):
        return None
    ends = [float(latency[end]) if latency.get(end) is not None else math.nan for end in ("low", "high")]
    return Compared(float(latency["predicted"]), ends[0], ends[1], measured, here is not None)


def agreement(networks: Sequence[Mapping[str, Any]], who: str = THIS_MACHINE, *, stored: bool = False) -> str | None:
    """Return how fast the machine is, and how far predictions are off; None where nothing was measured.

    As in: this machine is now 12 % slower than when the table was made; at the table's speed, predictions are off by
    1.8 % in the median; the 90 % interval contains the measurement for 9 of 10 networks.

    Args:
        networks: Entries of ``pareto.json``.
        who: The machine.
        stored: Whether the text is read later: it then says how fast the machine was at the measurement.
    """
    latencies = [network["latency_ms"] for network in networks]
    pairs = [pair for pair in map(compared_latency, latencies) if pair is not None]
    if not pairs:
        return None
    speeds = [speed for speed in map(slowness_of, latencies) if speed is not None]
    machine = f"{_speed_line(speeds, who, stored=stored)}; " if speeds else ""
    text = f"predictions are off by {percent_text(median(pair.error for pair in pairs))} in the median"
    if all(pair.at_table_speed for pair in pairs):
        text = f"at the table's speed, {text}"
    else:
        text += " from the times as measured" + (" (the machine's speed is not known)" if not speeds else "")
    inside = [pair.inside for pair in pairs if pair.inside is not None]
    contain = f"; the 90 % interval contains the measurement for {sum(inside)} of {len(inside)} networks"
    return machine + text + contain * bool(inside)


def _speed_line(speeds: Sequence[tuple[float, float | None]], who: str = THIS_MACHINE, *, stored: bool = False) -> str:
    """Return how fast the machine is.

    Args:
        speeds: Slowness and half its interval, relative, of at least one session.
        who: The machine.
        stored: Whether the text is read later.
    """
    widths = [width for _, width in speeds if width is not None]
    slowness, half_width = median(speed for speed, _ in speeds), median(widths) if widths else 0.0
    if stored:
        return speed_text(slowness, half_width, "when they were measured, the machine", "was")
    return speed_text(slowness, half_width, who)


def is_time(value: object) -> TypeGuard[float]:
    """Return whether a value from a file is a positive number."""
    return type(value) in (int, float) and 0 < value <= _MOST_MS  # type: ignore[operator]


def chance_gap(share: float, validation: int, test: int, trials: int, *, above: bool) -> float:
    """Return the largest chance difference between a network's shares of right answers on two parts of the data.

    Either part's share has a binomial error; `_SIGMAS` standard deviations of the difference are allowed. Where the
    search's share is the better one, its network was also chosen for it: the greatest of n normal errors is
    expected below ``sqrt(2 ln n)`` standard deviations.

    Args:
        share: Share of right answers on both parts together.
        validation: Samples of the validation part.
        test: Samples of the test part.
        trials: Number of trials that the network was chosen from.
        above: Whether the search's share is the better one.
    """
    samples = validation + test
    share = (share * samples + 2) / (samples + 4)  # never 0 or 1 (Agresti and Coull 1998)
    variance = share * (1 - share)
    gap = _SIGMAS * math.sqrt(variance / validation + variance / test)
    chosen = math.sqrt(2 * math.log(max(trials, 1)) * variance / validation) if above else 0.0
    return gap + chosen


def doubt(
    name: str, metric: Metric, searched: float, tested: float, validation: int, test: int, trials: int
) -> str | None:
    """Return a warning where a network's values differ by more than chance explains; None where they do not.

    This is known only for metrics with a binomial uncertainty.

    Args:
        name: The network's id.
        metric: What the values are.
        searched: Its value on the validation part.
        tested: Its value on the test part.
        validation: Samples of the validation part.
        test: Samples of the test part.
        trials: Number of trials that the network was chosen from.
    """
    if validation < 1 or test < 1 or metric.uncertainty != BINOMIAL:
        return None
    pooled = (searched * validation + tested * test) / (validation + test)
    better = metric.sign * searched > metric.sign * tested
    allowed = chance_gap(pooled, validation, test, trials, above=better)
    if abs(searched - tested) <= allowed:
        return None
    return (
        f"{name}: test {metric.text} {metric.format(tested)}, but {metric.format(searched)} in the search; chance "
        f"explains a difference of up to {metric.format(allowed)}: the test samples "
        "differ in kind, or the weights are damaged"
    )
