"""Latencies of the networks of scripts/cifar10.py on this CPU, one thread."""

from __future__ import annotations

from collections.abc import Mapping

from _cifar_baselines import BASELINES, Baseline
from _progress import say

from latency_tables import OpGraph
from profilers import OnnxRuntimeBackend, Runnable, SamplingSettings, Timer, measure_twice

WIDTHS = tuple(round(0.05 * k, 2) for k in range(1, 81))
SLACK = 1.03
"""Largest latency of a baseline relative to the network of the search: the noise of two measurements."""
MEASURING = SamplingSettings(min_rounds=20, max_rounds=60, inner_seconds=1e-3)


def measure(graphs: dict[str, OpGraph]) -> dict[str, dict[str, float]]:
    """Measure latencies on this CPU in milliseconds, all networks in the same interleaved rounds, twice."""
    times = measure_twice(OnnxRuntimeBackend(threads=1), list(graphs.values()), MEASURING, progress=say)
    return {name: {"ms": (a + b) / 2, "repeat_ms": b} for name, (a, b) in zip(graphs, times, strict=True)}


def matched_widths(limits_ms: list[float], families: Mapping[str, Baseline] = BASELINES) -> list[dict[str, float]]:
    """Return, for each latency, the largest width of every family that takes no longer (within `SLACK`).

    A family without such a width is absent.
    """
    quick = SamplingSettings(min_rounds=8, max_rounds=12, inner_seconds=3e-4)
    backend, times = OnnxRuntimeBackend(threads=1), dict[tuple[str, float], float]()
    for family, build in families.items():
        loaded: dict[str, Runnable] = {}
        for width in WIDTHS:
            loaded[str(width)] = backend.load(build(width))
            loaded[str(width)].run(2)
            if min(loaded[str(width)].run(1) for _ in range(5)) * 1e3 > 1.5 * max(limits_ms):
                break
        samples = Timer(loaded, quick).run()
        times |= {(family, float(width)): sample_set.quantile() * 1e3 for width, sample_set in samples.items()}
    matched = []
    for limit in limits_ms:
        fitting = [key for key, ms in times.items() if ms <= SLACK * limit]
        matched.append({family: max(w for f, w in fitting if f == family) for family, _ in fitting})
    return matched
