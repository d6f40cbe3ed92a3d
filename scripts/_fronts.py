"""Comparison of fronts by their hypervolume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search import hypervolume, nondominated

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


def front_of(networks: Mapping[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """Return the front of networks: ``arch``, ``value`` and ``predicted_ms`` of each.

    Args:
        networks: Metric (more is better) and predicted latency, by architecture.
    """
    kept = nondominated(np.array([[value, -latency_ms] for value, latency_ms in networks.values()]))
    return [
        {"arch": arch, "value": value, "predicted_ms": latency_ms}
        for (arch, (value, latency_ms)), on_front in zip(networks.items(), kept, strict=True)
        if on_front
    ]


def compared_fronts(
    fronts: Mapping[str, Sequence[Mapping[str, Any]]], times: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return the hypervolume of each front on each device.

    Args:
        fronts: Fronts, as `front_of` gives them, by name.
        times: Milliseconds by architecture, by device.
    """
    return {
        device: hypervolumes({name: [(n["value"], ms[n["arch"]]) for n in front] for name, front in fronts.items()})
        for device, ms in times.items()
    }
