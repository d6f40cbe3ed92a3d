"""What a search expects of the measured latency of its trials, where it measures these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import CostOfCodes, SpaceCosts
from hwnas._pipeline._setup import SearchTable
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._settings import SearchSettings
from hwnas._tables._references import tails_of


def trials_are_measured(settings: SearchSettings, latency: SearchTable) -> bool:
    """Return whether every trial is timed: the settings say so, and the table's device is available."""
    return settings.measure == "trials" and latency.table is not None and latency.backend is not None


def expected_latency(costs: SpaceCosts, statistic: str | None) -> CostOfCodes:
    """Return the table's predictions as estimates of a statistic of the measured latency.

    A prediction is a q10. Where the table says how many times q10 the statistic was when it was made, the prediction is
    multiplied by that.

    Args:
        costs: Predict.
        statistic: Statistic that is told; None for the default one.
    """
    tail = tails_of(costs.table).get(statistic or DEFAULT_STATISTIC, 1.0) if costs.table is not None else 1.0

    def expected_ms(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return expected latencies ``(n,)`` of codes ``(n, d)``."""
        return costs.latency_ms(codes) * tail

    return expected_ms
