"""How well a table's predictions match held-out networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from latency_tables._agreement import Agreement, NoiseFloor, agreement, noise_floor
from latency_tables._grade import GOOD, SHAKY, UNUSABLE, Grade, grade_held_out
from latency_tables._measurement import NetworkMeasurement

FloatArray = npt.NDArray[np.float64]
_WORDS_OF_FILES = {"correction_networks": "calibration_networks", "predicted": "calibrated"}
"""Names of fields in table files, in their earlier spelling."""


@dataclass(frozen=True)
class EndError:
    """Predictions of the fastest or the slowest tenth of the held-out networks.

    Attributes:
        name: ``"fastest tenth"`` or ``"slowest tenth"``, by prediction.
        networks: Number of networks.
        mape: Mean absolute relative error.
        bias: Mean relative error, signed.
        worst: The relative error that is farthest from 0, signed.
        inside: Share of the networks inside their 90 % interval.
    """

    name: str
    networks: int
    mape: float
    bias: float
    worst: float
    inside: float

    def line(self, *, intervals: bool = True) -> str:
        """Return the errors for people, in one line.

        Args:
            intervals: Whether the predictions have intervals.
        """
        text = f"  {self.name} ({self.networks}): MAPE {self.mape:.2%}, bias {self.bias:+.2%}, worst {self.worst:+.2%}"
        return f"{text}, 90 % intervals contain {self.inside:.0%}" if intervals else text


@dataclass(frozen=True)
class ValidationReport:
    """A table judged on networks that nothing was fitted to.

    Attributes:
        networks: Number of held-out networks.
        correction_networks: Number of networks that the correction was fitted to.
        interval_networks: Number of networks that the intervals are fitted to, those of the correction included.
        unfitted: Agreement of predictions with nothing fitted to whole networks.
        predicted: Agreement of the prices that the table gives.
        noise_floor: Difference of the two measurements of these networks.
        interval_coverage: Share of held-out networks inside their 90 % interval.
        corrected: Whether the correction is applied: it must not harm networks that it was not fitted to.
        ends: Predictions at both ends of the range.
    """

    networks: int
    correction_networks: int
    interval_networks: int
    unfitted: Agreement
    predicted: Agreement
    noise_floor: NoiseFloor
    interval_coverage: float
    corrected: bool = True
    ends: tuple[EndError, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON-able data, in the words of table files."""
        return {_WORDS_OF_FILES.get(name, name): value for name, value in asdict(self).items()}

    @cached_property
    def grade(self) -> Grade:
        """The grade by held-out networks alone."""
        return grade_held_out(
            error=self.predicted.mape,
            floor=self.noise_floor.median,
            networks=self.networks,
            outside=round((1.0 - self.interval_coverage) * self.networks) if self.interval_networks else 0,
            ends=[(end.name, end.networks, end.mape) for end in self.ends],
        )

    @property
    def verdict(self) -> str:
        """The answer to "is the table accurate?" in a sentence."""
        error = f"predictions of {self.networks} held-out networks are off by {self.predicted.mape:.1%} on average"
        tenths = ", ".join(f"{end.name}: {end.mape:.1%}" for end in self.ends)
        ends = f" ({tenths})" if tenths else ""
        word = {GOOD: "yes", SHAKY: "roughly", UNUSABLE: "no"}[self.grade.level]
        reasons = f"; {'; '.join(self.grade.reasons)}" if self.grade.reasons else ""
        return f"{word}: {error}{ends}{reasons}"

    def lines(self) -> list[str]:
        """Return the report for people, with the noise floor beside every error."""
        floor = f"noise floor: median {self.noise_floor.median:.2%}, p90 {self.noise_floor.p90:.2%}"
        rows = [
            f"is the table accurate? {self.verdict}",
            f"validated on {self.networks} held-out networks ({floor})",
            _agreement_line("uncorrected", self.unfitted),
        ]
        if not self.interval_networks:
            return [*rows, *(end.line(intervals=False) for end in self.ends)]
        if self.corrected:
            rows.append(_agreement_line(f"corrected with {self.correction_networks} other networks", self.predicted))
        else:
            rows.append(
                f"  the correction with {self.correction_networks} networks is not applied, because it makes "
                "predictions of other networks worse"
            )
        rows += [end.line() for end in self.ends]
        rows.append(
            f"  90 % intervals (fitted to {self.interval_networks} other networks) contain "
            f"{self.interval_coverage:.0%} of the held-out networks"
        )
        return rows


def _agreement_line(name: str, statistics: Agreement) -> str:
    return (
        f"  {name}: Spearman {statistics.spearman:.4f}, Kendall {statistics.kendall:.4f}, MAPE {statistics.mape:.2%}, "
        f"bias {statistics.bias:+.2%}, within 5 % {statistics.within_5:.0%}, within 10 % {statistics.within_10:.0%}"
    )


def validate_predictions(
    held_out: Sequence[NetworkMeasurement],
    predicted_ms: FloatArray,
    half_widths: FloatArray,
    *,
    correction_networks: int,
    interval_networks: int,
    corrected: bool,
) -> ValidationReport:
    """Judge predictions on held-out networks.

    Args:
        held_out: The networks.
        predicted_ms: What the table predicts for them, ``(n,)``.
        half_widths: Half-widths of their 90 % intervals in log latency, ``(n,)``.
        correction_networks: Number of networks that the correction was fitted to.
        interval_networks: Number of networks that the intervals are fitted to.
        corrected: Whether the correction is applied.
    """
    measured = np.array([n.latency_ms for n in held_out])
    inside = np.abs(np.log(measured / predicted_ms)) <= half_widths
    return ValidationReport(
        networks=len(held_out),
        correction_networks=correction_networks,
        interval_networks=interval_networks,
        unfitted=agreement(np.array([n.unfitted_ms for n in held_out]), measured),
        predicted=agreement(predicted_ms, measured),
        noise_floor=noise_floor([n.measured_ms for n in held_out], [n.repeat_ms for n in held_out]),
        interval_coverage=float(inside.mean()),
        corrected=corrected,
        ends=_ends(predicted_ms, predicted_ms / measured - 1.0, inside),
    )


def _ends(predicted_ms: FloatArray, errors: FloatArray, inside: npt.NDArray[np.bool_]) -> tuple[EndError, ...]:
    """Judge the fastest and the slowest tenth, by prediction: a measurement's own noise must not choose them."""
    order, count = np.argsort(predicted_ms, kind="stable"), math.ceil(len(predicted_ms) / 10)
    ends = []
    for name, rows in (("fastest tenth", order[:count]), ("slowest tenth", order[-count:])):
        worst = float(errors[rows][np.abs(errors[rows]).argmax()])
        mape, bias, share = (float(np.mean(part[rows])) for part in (np.abs(errors), errors, inside))
        ends.append(EndError(name, count, mape, bias, worst, share))
    return tuple(ends)
