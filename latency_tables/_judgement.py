"""What whole networks say about a table: its correction, its intervals and its validation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from latency_tables._correction import (
    Correction,
    correction_helps,
    fit_correction,
    left_out_errors,
    predictive_spread,
)
from latency_tables._interval import Interval, fit_interval
from latency_tables._measurement import CORRECTION_SPLIT, HELD_OUT_SPLIT, INTERVAL_SPLIT, NetworkMeasurement
from latency_tables._validation import ValidationReport, validate_predictions

FloatArray = npt.NDArray[np.float64]


class Judgement:
    """Correction, interval and validation of a table, from the networks that it holds.

    Args:
        networks: The table's networks; each split serves its own purpose.
        checked: Whether a correction must help networks that it was not fitted to, and intervals depend on the latency;
            not in tables of earlier versions, which are priced as they were when they were made.
    """

    def __init__(self, networks: Sequence[NetworkMeasurement], *, checked: bool) -> None:
        self.networks, self._checked = networks, checked

    @cached_property
    def correction(self) -> Correction:
        """Correction fitted to the networks of its split; the identity without any, or where it is worse."""
        return self._fitted if self.corrected else Correction()

    @cached_property
    def corrected(self) -> bool:
        """Whether the correction makes predictions of networks that it was not fitted to no worse."""
        unseen = self._unseen
        if not self._checked or not len(unseen[0]):
            return True
        return correction_helps(unseen[0], self._corrected_errors, unseen[1])

    @cached_property
    def _fitted(self) -> Correction:
        """The correction, whether it helps or not."""
        return fit_correction(*self._of_split(CORRECTION_SPLIT))

    @cached_property
    def _unseen(self) -> tuple[FloatArray, FloatArray]:
        """Predictions with nothing fitted and measurements ``(n,)`` of all networks that are not held out."""
        pairs = [self._of_split(split) for split in (CORRECTION_SPLIT, INTERVAL_SPLIT)]
        return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])

    @cached_property
    def _corrected_errors(self) -> FloatArray:
        """Log errors ``(n,)`` of these networks, each under a correction that has not seen it."""
        predicted, measured = self._of_split(INTERVAL_SPLIT)
        return np.concatenate(
            [
                left_out_errors(*self._of_split(CORRECTION_SPLIT)),
                np.log(measured / self._fitted.apply(predicted)),
            ]
        )

    @cached_property
    def interval(self) -> Interval | None:
        """Half-widths of the 90 % intervals by predicted latency, from networks not held out; None without any."""
        x, y = self._unseen
        if not len(x):
            return None
        if not self._checked:
            spread = predictive_spread(*self._of_split(CORRECTION_SPLIT), self._of_split(INTERVAL_SPLIT))
            return Interval((0.0,), (spread,), beyond=0.0)
        errors = self._corrected_errors if self.corrected else np.log(y / x)
        return fit_interval(self.correction.apply(x), errors)

    def _of_split(self, split: str) -> tuple[FloatArray, FloatArray]:
        """Predictions with nothing fitted and measurements of the networks of one split."""
        chosen = [n for n in self.networks if n.split == split]
        return np.array([n.unfitted_ms for n in chosen]), np.array([n.latency_ms for n in chosen])

    @cached_property
    def validation(self) -> ValidationReport | None:
        """The table judged on its held-out networks; None without any."""
        held = [n for n in self.networks if n.split == HELD_OUT_SPLIT]
        if not held:
            return None
        predicted = self.correction.apply([n.unfitted_ms for n in held])
        widths = self.interval.half_width(predicted) if self.interval is not None else np.zeros(len(held))
        return validate_predictions(
            held,
            predicted,
            widths,
            correction_networks=sum(n.split == CORRECTION_SPLIT for n in self.networks),
            interval_networks=len(self.networks) - len(held),
            corrected=self.corrected,
        )
