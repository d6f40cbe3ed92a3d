"""Networks measured on the device: latency, energy and the memory of ONNX Runtime's arena."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import LATENCY
from hwnas._pipeline._arena import arenas_of, arenas_of_files
from hwnas._pipeline._known import rounded
from hwnas._pipeline._original import weights_of
from hwnas._pipeline._reference_tails import stated_statistics
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._time_networks import (
    PAUSE_S,
    PAUSES,
    Loader,
    TimedNetwork,
    first_after_pause_ms,
    joined,
    time_networks,
    widened,
)
from hwnas._pipeline._winner import Winner, cost_of
from hwnas.evaluators._base import Weights
from profilers import (
    STATISTICS,
    EnergyUnavailableError,
    Runnable,
    TextProgress,
    energy_mj,
    executed_graph,
    fusion_of,
)

_DELIVERY_SEED = 10_000
"""Sets the seeds of the delivered networks' sessions apart from those of candidates."""

_REPEATED = math.sqrt(2)
"""A later measurement has an error, too: the difference of two varies by so much more than one of them."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of one network.

    Attributes:
        latency_ms: What an entry of ``pareto.json`` holds of it beside the prediction.
        energy_mj: Energy of one inference in millijoules; None where the device has no counter.
        arena_bytes: Memory of ONNX Runtime's arena; None where it was not measured.
    """

    latency_ms: Mapping[str, Any]
    energy_mj: float | None = None
    arena_bytes: int | None = None


NOT_MEASURED = Measurement({"measured": None})


def time_candidates(
    setup: SearchSetup, winners: Sequence[Winner], session: int, progress: TextProgress
) -> dict[str, TimedNetwork]:
    """Time networks with random weights, on which latency does not depend.

    Args:
        setup: The search.
        winners: The networks.
        session: Number of the session; each has its own order, weights and sessions of the runtime.
        progress: Receives a line for each network that cannot be measured.

    Returns:
        Times by the networks' ids, without those that cannot be measured.
    """
    loaders = {winner.id: _random_loader(setup, winner) for winner in winners}
    total_ms, seed = _total_ms(setup, winners), _seed(setup, session)
    return time_networks(setup.timer, loaders, total_ms=total_ms, seed=seed, progress=progress)[0]


def measure_winners(
    setup: SearchSetup,
    winners: Sequence[Winner],
    files: Sequence[Path] | None,
    first: Mapping[str, TimedNetwork],
    progress: TextProgress,
) -> list[Measurement]:
    """Measure the winners on their device; nothing is measured where that is not available, or not wanted.

    Args:
        setup: The search, with an evaluator that holds the finished networks where there are files.
        winners: The networks.
        files: Their ONNX files; None where nothing was trained, so that they are measured with random weights.
        first: What was measured of them before, by id: consistent values are averaged, and stated half-widths explain
            the differences.
        progress: Receives progress lines.
    """
    if not setup.measures or setup.backend is None:
        if why := _why_not(setup, len(winners), written=files is not None):
            progress(why)
        return [NOT_MEASURED for _ in winners]
    progress(f"measuring {_count(winners)} on {setup.run.settings.device}{_beside(setup)}")
    if files is None:
        loaders = {winner.id: _random_loader(setup, winner) for winner in winners}
    else:
        loaders = {winner.id: _file_loader(setup, winner, file) for winner, file in zip(winners, files, strict=True)}
    seed = _seed(setup, _DELIVERY_SEED)
    total_ms = _total_ms(setup, winners)
    timed, runnables = time_networks(setup.timer, loaders, total_ms=total_ms, seed=seed, progress=progress)
    timed = joined(widened(timed, first), first)
    single, stated = setup.backend.times_one_inference, stated_statistics(setup.backend)
    if single and runnables:
        pause_s = f"{PAUSE_S * PAUSES * len(runnables):.0f} s"
        progress(f"timing the first inference after a pause, {PAUSES} times for each network ({pause_s})")
    pauses = {name: first_after_pause_ms(runnable) for name, runnable in runnables.items()} if single else {}
    energies = _energies_mj(setup, runnables, progress)
    arenas = arenas_of(winners, setup) if files is None else arenas_of_files(files, setup.backend)
    measured = []
    for winner, arena in zip(winners, arenas, strict=True):
        latency = dict(NOT_MEASURED.latency_ms)
        if winner.id in timed:
            latency = latency_entry(timed[winner.id], setup.latency_statistic, pauses.get(winner.id), stated)
        measured.append(Measurement(latency, energies.get(winner.id), arena))
    return measured


def latency_entry(
    timed: TimedNetwork,
    statistic: str,
    after_pause_ms: float | None = None,
    stated: Collection[str] = tuple(STATISTICS),
) -> dict[str, Any]:
    """Return what an entry of ``pareto.json`` holds of a measured latency, in milliseconds.

    Its half-widths are such that nine of ten later measurements of the same kind lie within them: they are wider by
    sqrt(2) than those of a journal, which are half the 90 % interval of one measurement. That of the slowness is half
    its 90 % interval, relative, as in a journal.

    Args:
        timed: The measurement.
        statistic: Which statistic ``"measured"`` is.
        after_pause_ms: First inference after a pause, as timed; None where it was not measured.
        stated: The statistics that are written.

    Returns:
        ``"at_table_speed"`` only where the machine's speed is known.
    """
    taken = timed.time
    raw, at_table_speed, half_widths = (
        {name: values[name] for name in STATISTICS if name in stated}
        for values in (taken.raw, taken.at_table_speed, taken.half_widths)
    )
    half_widths = _rounded({name: _REPEATED * width for name, width in half_widths.items()})
    return {
        "statistic": statistic,
        "measured": rounded(taken.at_table_speed[statistic]),
        "measured_half_width": rounded(_REPEATED * taken.half_widths[statistic]),
        "raw": _rounded(raw),
        **({} if timed.slowness is None else {"at_table_speed": _rounded(at_table_speed)}),
        "half_widths": half_widths,
        "after_pause": None if after_pause_ms is None else rounded(after_pause_ms),
        "slowness": None if timed.slowness is None else rounded(timed.slowness),
        "slowness_half_width": None if timed.slowness_half_width is None else rounded(timed.slowness_half_width),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: rounded(value) for name, value in values.items()}


def _seed(setup: SearchSetup, session: int) -> int:
    """Return the seed of a session of a search."""
    return (setup.run.settings.seed + 1) * 2 * _DELIVERY_SEED + session


def _random_loader(setup: SearchSetup, winner: Winner) -> Loader:
    backend = setup.backend
    assert backend is not None
    graph = executed_graph(setup.space.graph(winner.arch), fusion_of(backend))
    return lambda seed: backend.load(graph, seed=seed)


def _file_loader(setup: SearchSetup, winner: Winner, file: Path) -> Loader:
    backend = setup.backend
    assert backend is not None
    graph = setup.space.graph(winner.arch)
    # weights are made where a back end reads them, and released with its session
    return lambda seed: backend.load_trained(graph, _LazyWeights(lambda: weights_of(setup, winner)), str(file))


class _LazyWeights(Mapping[str, npt.NDArray[np.float32]]):
    """Trained weights that are made when they are first read; ONNX Runtime reads the file instead.

    Args:
        make: Makes them.
    """

    def __init__(self, make: Callable[[], Weights]) -> None:
        self._make = make

    @cached_property
    def _weights(self) -> Weights:
        return self._make()

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def _total_ms(setup: SearchSetup, winners: Sequence[Winner]) -> float:
    """Return about what one inference of each network and of each reference takes together, in milliseconds."""
    own = sum(cost_of(winner, LATENCY.key, setup) for winner in winners)
    return own + sum(reference.then_ms for reference in setup.timer.references.networks)


def _count(winners: Sequence[Winner]) -> str:
    return "1 network" if len(winners) == 1 else f"{len(winners)} networks"


def _beside(setup: SearchSetup) -> str:
    """Return what is timed beside the networks, or that slow moments of the machine are not corrected."""
    count = len(setup.timer.references.networks)
    if not count:
        return "; without reference networks, a slow moment of the machine is not corrected"
    return f", beside {count} reference networks"


def _why_not(setup: SearchSetup, networks: int, *, written: bool) -> str | None:
    """Return a line that says why nothing is measured; None where nothing else was to be expected."""
    if setup.run.settings.measure == "none" and not setup.run.settings.offline and setup.backend is not None:
        return f"{networks} {'network is' if networks == 1 else 'networks are'} not measured, because of --measure none"
    if setup.backend is None:
        return f"{networks} networks written; they are not measured: their device is not available" if written else None
    return None


def _energies_mj(setup: SearchSetup, runnables: Mapping[str, Runnable], progress: TextProgress) -> dict[str, float]:
    """Return millijoules of one inference by id; where there are none, one line says why."""
    assert setup.backend is not None
    try:
        counter = setup.backend.energy_counter()
        return {name: rounded(energy_mj(runnable, counter)) for name, runnable in runnables.items()}
    except EnergyUnavailableError as error:
        progress(str(error))
        return {}
