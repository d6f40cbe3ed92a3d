"""Comparison of fronts by their hypervolume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from search import hypervolume

MARGIN = 0.1
"""How far below the worst network the reference point lies, as a share of the range."""


def hypervolumes(networks: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """Return the hypervolume of each variant's networks: metric and log latency, scaled to 0-1 over all of them.

    Args:
        networks: Metric (more is better) and latency of each network, by variant.
    """
    points = {
        variant: np.array([[value, -np.log(latency_ms)] for value, latency_ms in part])
        for variant, part in networks.items()
    }
    everything = np.concatenate(list(points.values()))
    low, span = everything.min(axis=0), np.maximum(np.ptp(everything, axis=0), 1e-12)
    reference = np.full(2, -MARGIN)
    return {variant: float(hypervolume((part - low) / span, reference)) for variant, part in points.items()}
