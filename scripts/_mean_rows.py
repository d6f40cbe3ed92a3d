"""Rows of comparisons as means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def mean_row(rows: Sequence[Mapping[str, Any]], yardstick: str, who: str, share: float | None) -> dict[str, Any]:
    """Return what a contestant's networks at one limit are worth, over the seeds beside the yardstick's of that seed.

    Returns:
        ``test`` and ``lead`` (over the yardstick) as means, ``lead_error`` (standard error of the mean lead; None for
        one seed), ``leads`` of each seed, and ``latency``, the largest share of the yardstick's median latency.
    """
    own = [row for row in rows if row["who"] == who and row["share"] == share]
    beside = {row["seed"]: row for row in rows if row["who"] == yardstick}
    leads = [row["test"] - beside[row["seed"]]["test"] for row in own]
    return {
        "who": who,
        "share": share,
        "seeds": len(own),
        "test": float(np.mean([row["test"] for row in own])),
        "lead": float(np.mean(leads)),
        "lead_error": float(np.std(leads, ddof=1) / len(leads) ** 0.5) if len(leads) > 1 else None,
        "leads": leads,
        "latency": max(row["median_ms"] / beside[row["seed"]]["median_ms"] for row in own),
        "median_ms": float(np.mean([row["median_ms"] for row in own])),
        "macs": float(np.mean([row["macs"] for row in own])),
    }
