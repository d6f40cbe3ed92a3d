"""Winners measured on the device: latency, energy and the memory of ONNX Runtime's arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner
from profilers import (
    EnergyUnavailableError,
    Runnable,
    SampleSet,
    SamplingSettings,
    TextProgress,
    Timer,
    energy_mj,
    relative_half_width,
)

VERIFICATION = SamplingSettings(min_rounds=30, max_rounds=90, inner_seconds=1e-3)
"""Sampling of the winners: longer than in a profile, since they are few."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of one network.

    Attributes:
        latency_ms: ``"measured"`` and, where it was measured, ``"measured_half_width"`` of its 90 % interval.
        energy_mj: Energy of one inference in millijoules; None where the device has no counter.
        arena_bytes: Memory of ONNX Runtime's arena; None where it was not measured.
    """

    latency_ms: Mapping[str, float | None]
    energy_mj: float | None
    arena_bytes: int | None


def measure_winners(
    setup: SearchSetup, winners: Sequence[Winner], files: Sequence[Path], progress: TextProgress
) -> list[Measurement]:
    """Measure the winners on their device, in their order; nothing is measured where that is not available.

    Args:
        setup: The search, with an evaluator that holds the finished networks.
        winners: The networks.
        files: Their ONNX files.
        progress: Receives progress lines.
    """
    if setup.backend is None:
        progress(f"{len(files)} networks written; they are not measured: their device is not available")
        return [Measurement({"measured": None}, None, None) for _ in files]
    progress(f"measuring {len(files)} networks on {setup.run.settings.device}")
    runnables = {
        str(file): setup.backend.load_trained(
            setup.space.graph(winner.arch), setup.trainer.trained_weights(winner.arch), str(file)
        )
        for winner, file in zip(winners, files, strict=True)
    }
    samples = Timer(runnables, VERIFICATION).run() if runnables else {}
    energies = _energies_mj(setup, runnables, progress)
    arenas = setup.backend.arena_bytes(files)
    return [
        Measurement(_latency_ms(samples.get(str(file))), energies.get(str(file)), arena)
        for file, arena in zip(files, arenas, strict=True)
    ]


def rounded(value: float) -> float:
    """Return a number with six significant digits, as ``pareto.json`` holds it."""
    return float(f"{value:.6g}")


def _energies_mj(setup: SearchSetup, runnables: Mapping[str, Runnable], progress: TextProgress) -> dict[str, float]:
    """Return millijoules of one inference by file name; where there are none, one line says why."""
    assert setup.backend is not None
    try:
        counter = setup.backend.energy_counter()
        return {name: rounded(energy_mj(runnable, counter)) for name, runnable in runnables.items()}
    except EnergyUnavailableError as error:
        progress(str(error))
        return {}


def _latency_ms(samples: SampleSet | None) -> dict[str, float | None]:
    """Return the measured latency of one network, in milliseconds."""
    if samples is None:
        return {"measured": None}
    value = samples.quantile() * 1e3
    half_width = relative_half_width(samples.seconds, np.random.default_rng(0)) * value
    return {"measured": rounded(value), "measured_half_width": rounded(half_width)}
