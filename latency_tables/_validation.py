"""How well predicted latencies match measured ones, and against what noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from latency_tables._grade import GOOD, SHAKY, UNUSABLE, grade_validation

FloatArray = npt.NDArray[np.float64]
SPLITS = ("calibration", "interval", "held-out")
"""What a network's measurement may be used for, from most to least."""


@dataclass(frozen=True)
class NetworkMeasurement:
    """One whole network, measured twice with sessions of its own.

    Attributes:
        arch: the architecture's text.
        split: one of `SPLITS`: ``"calibration"`` (predictions are fitted to it), ``"interval"`` (it says how far
            predictions may be off, and changes none) or ``"held-out"`` (only ever compared with).
        unfitted_ms: what the table predicts with nothing fitted to whole networks.
        measured_ms: q10 of the first measurement.
        repeat_ms: q10 of the second.
    """

    arch: str
    split: str
    unfitted_ms: float
    measured_ms: float
    repeat_ms: float

    @property
    def latency_ms(self) -> float:
        """What predictions are held against: the geometric mean of both measurements."""
        return math.sqrt(self.measured_ms * self.repeat_ms)


@dataclass(frozen=True)
class Agreement:
    """Statistics of predictions against measurements; errors are relative to the measurement.

    Attributes:
        spearman: rank correlation.
        kendall: Kendall's tau-b.
        mape: mean absolute relative error.
        bias: median relative error, signed.
        within_5: share of networks within 5 %.
        within_10: share of networks within 10 %.
    """

    spearman: float
    kendall: float
    mape: float
    bias: float
    within_5: float
    within_10: float


@dataclass(frozen=True)
class NoiseFloor:
    """Relative difference between two measurements of the same network: no prediction can be better.

    Attributes:
        median: of the absolute differences.
        p90: their 90th percentile.
    """

    median: float
    p90: float


@dataclass(frozen=True)
class EndError:
    """Predictions of the fastest or the slowest tenth of the held-out networks.

    Attributes:
        name: ``"fastest tenth"`` or ``"slowest tenth"``, by prediction.
        networks: how many.
        mape: mean absolute relative error.
        bias: mean relative error, signed.
        worst: the relative error that is farthest from 0, signed.
        inside: share of them inside their 90 % interval.
    """

    name: str
    networks: int
    mape: float
    bias: float
    worst: float
    inside: float

    def line(self) -> str:
        """For people."""
        return (
            f"  {self.name} ({self.networks}): MAPE {self.mape:.2%}, bias {self.bias:+.2%}, worst {self.worst:+.2%}, "
            f"90 % intervals hold {self.inside:.0%}"
        )


@dataclass(frozen=True)
class ValidationReport:
    """A table judged on networks that nothing was fitted to.

    Attributes:
        networks: number of held-out networks.
        calibration_networks: number of networks that the calibration was fitted to.
        interval_networks: number of networks, calibration networks among them, that the interval's width is from.
        unfitted: agreement of predictions with nothing fitted to whole networks.
        calibrated: agreement of the prices that the table gives.
        noise_floor: the same networks measured twice.
        interval_coverage: share of held-out networks inside their 90 % interval.
        corrected: whether the correction is applied: it must not harm networks that it was not fitted to.
        ends: predictions at both ends of the range.
    """

    networks: int
    calibration_networks: int
    interval_networks: int
    unfitted: Agreement
    calibrated: Agreement
    noise_floor: NoiseFloor
    interval_coverage: float
    corrected: bool = True
    ends: tuple[EndError, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """JSON-able."""
        return asdict(self)

    @property
    def verdict(self) -> str:
        """The answer to "does the table hold?" in a sentence."""
        grade = grade_validation(self)
        error = f"predictions of {self.networks} held-out networks are off by {self.calibrated.mape:.1%} on average"
        ends = "".join(f", of the {end.name} by {end.mape:.1%}" for end in self.ends)
        word = {GOOD: "yes", SHAKY: "roughly", UNUSABLE: "no"}[grade.level]
        reasons = f" ({'; '.join(grade.reasons)})" if grade.reasons else ""
        return f"{word}: {error}{ends}{reasons}"

    def lines(self) -> list[str]:
        """The report for people, noise floor beside every error."""
        floor = f"noise floor: median {self.noise_floor.median:.2%}, p90 {self.noise_floor.p90:.2%}"
        rows = [
            f"does the table hold? {self.verdict}",
            f"validated on {self.networks} held-out networks ({floor})",
        ]
        named = [("nothing fitted", self.unfitted)]
        if self.corrected:
            named.append((f"calibrated by {self.calibration_networks} other networks", self.calibrated))
        for name, a in named:
            rows.append(
                f"  {name}: Spearman {a.spearman:.4f}, Kendall {a.kendall:.4f}, MAPE {a.mape:.2%}, "
                f"bias {a.bias:+.2%}, within 5 % {a.within_5:.0%}, within 10 % {a.within_10:.0%}"
            )
        if not self.corrected:
            rows.append(
                f"  the correction by {self.calibration_networks} networks is not applied: it makes predictions of "
                "networks that it was not fitted to worse"
            )
        rows += [end.line() for end in self.ends]
        rows.append(
            f"  90 % intervals (their width from {self.interval_networks} other networks) hold "
            f"{self.interval_coverage:.0%} of the held-out networks"
        )
        return rows


def validate_predictions(
    held: Sequence[NetworkMeasurement],
    calibrated_ms: FloatArray,
    half_widths: FloatArray,
    *,
    calibration_networks: int,
    interval_networks: int,
    corrected: bool,
) -> ValidationReport:
    """Judge predictions on held-out networks.

    Args:
        held: the networks.
        calibrated_ms: what the table says of them, ``(n,)``.
        half_widths: of their 90 % intervals in log latency, ``(n,)``.
        calibration_networks: how many the correction was fitted to.
        interval_networks: how many the intervals are from.
        corrected: whether the correction is applied.
    """
    measured = np.array([n.latency_ms for n in held])
    inside = np.abs(np.log(measured / calibrated_ms)) <= half_widths
    return ValidationReport(
        networks=len(held),
        calibration_networks=calibration_networks,
        interval_networks=interval_networks,
        unfitted=agreement(np.array([n.unfitted_ms for n in held]), measured),
        calibrated=agreement(calibrated_ms, measured),
        noise_floor=noise_floor([n.measured_ms for n in held], [n.repeat_ms for n in held]),
        interval_coverage=float(inside.mean()),
        corrected=corrected,
        ends=_ends(calibrated_ms, calibrated_ms / measured - 1.0, inside),
    )


def _ends(predicted: FloatArray, errors: FloatArray, inside: npt.NDArray[np.bool_]) -> tuple[EndError, ...]:
    """The fastest and the slowest tenth, by prediction: a measurement's own noise must not choose them."""
    order, count = np.argsort(predicted, kind="stable"), math.ceil(len(predicted) / 10)
    found = []
    for name, rows in (("fastest tenth", order[:count]), ("slowest tenth", order[-count:])):
        worst = float(errors[rows][np.abs(errors[rows]).argmax()])
        mape, bias, share = (float(np.mean(part[rows])) for part in (np.abs(errors), errors, inside))
        found.append(EndError(name, count, mape, bias, worst, share))
    return tuple(found)


def agreement(predicted: Sequence[float] | FloatArray, measured: Sequence[float] | FloatArray) -> Agreement:
    """Compare predictions ``(n,)`` with measurements ``(n,)``; correlations are 0 where they are undefined."""
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    errors = x / y - 1.0
    spearman, kendall = rank_correlations(x, y)
    return Agreement(
        spearman=spearman,
        kendall=kendall,
        mape=float(np.mean(np.abs(errors))),
        bias=float(np.median(errors)),
        within_5=float(np.mean(np.abs(errors) <= 0.05)),
        within_10=float(np.mean(np.abs(errors) <= 0.10)),
    )


def rank_correlations(x: Sequence[float] | FloatArray, y: Sequence[float] | FloatArray) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b of two series ``(n,)``; 0 where they are undefined."""
    from scipy import stats

    if not (len(x) > 1 and np.ptp(x) > 0 and np.ptp(y) > 0):
        return 0.0, 0.0
    return float(stats.spearmanr(x, y).statistic), float(stats.kendalltau(x, y).statistic)


def noise_floor(first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray) -> NoiseFloor:
    """Relative differences between two measurements ``(n,)`` of the same networks."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    differences = np.abs(a - b) / ((a + b) / 2)
    return NoiseFloor(float(np.median(differences)), float(np.quantile(differences, 0.9)))
