"""What a search expects of the statistic of latency that counts, where a table predicts another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import CostOfCodes, SpaceCosts
from hwnas._pipeline._known import rounded
from hwnas._pipeline._setup import SearchSetup, SearchTable
from hwnas._runs._agreement import PREDICTED
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._settings import SearchSettings


def trials_are_measured(settings: SearchSettings, latency: SearchTable) -> bool:
    """Return whether every trial is timed: the settings say so, and the table's device is available."""
    return settings.measure == "trials" and latency.table is not None and latency.backend is not None


def expected_latency(costs: SpaceCosts, statistic: str | None, tails: Mapping[str, float]) -> CostOfCodes:
    """Return the table's predictions as estimates of a statistic of the measured latency.

    A prediction is a q10. Where it is known how many times q10 the statistic is, the prediction is multiplied by that.

    Args:
        costs: Predict.
        statistic: Statistic that counts; None for the default one.
        tails: Each statistic over q10, of the table's reference networks.
    """
    tail = tails.get(statistic or DEFAULT_STATISTIC, 1.0)

    def expected_ms(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return expected latencies ``(n,)`` of codes ``(n, d)``."""
        return costs.latency_ms(codes) * tail

    return expected_ms


def expected_entry(setup: SearchSetup, latency: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry of ``pareto.json`` holds of a latency that is predicted only, beside the prediction of q10.

    Args:
        setup: The search.
        latency: The entry's latency so far.

    Returns:
        The statistic that counts and its expected milliseconds; empty where that is q10, or its tail is not known.
    """
    statistic, predicted = setup.latency_statistic, latency["predicted"]
    tail = setup.costs.tails.get(statistic)
    if statistic == PREDICTED or tail is None or predicted is None:
        return {}
    return {"statistic": statistic, "expected": rounded(predicted * tail)}
