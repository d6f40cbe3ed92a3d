"""ONNX Runtime's arena of networks that have no file yet, and whether a device reports it at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hwnas._costs._cost import MEMORY
from hwnas._errors import HwnasError
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import Space
from latency_tables import OpGraph, write_atomic
from profilers import ArenaTimeoutError, Backend, random_model


def binds_arena(settings: SearchSettings) -> bool:
    """Return whether there is a budget that binds the arena."""
    return settings.memory_statistic == "arena" and MEMORY.key in settings.budgets


def require_arena(settings: SearchSettings, backend: Backend | None, space: Space) -> None:
    """Refuse a budget of the arena where that cannot be measured; measures the arena of one network.

    Raises:
        HwnasError: Nothing is measured, or the device or its execution provider does not report its arena.
    """
    if not binds_arena(settings):
        return
    if backend is None or settings.measure == "none":
        raise HwnasError(
            "--memory-statistic arena must measure networks, but --measure none or --offline forbids it; use "
            "--memory-statistic live"
        )
    (arch,) = space.sample(1, np.random.default_rng(0))
    try:
        arenas = _arenas([space.graph(arch)], backend, settings)
    except ArenaTimeoutError as error:
        raise HwnasError(f"--memory-statistic arena cannot be measured: {error}; use --memory-statistic live") from None
    if arenas[0] is None:
        where = settings.device if settings.provider is None else f"provider {settings.provider}"
        raise HwnasError(
            f"--memory-statistic arena needs ONNX Runtime's CPU provider; {where} does not report the size of its "
            "arena. Use --memory-statistic live"
        )


def arenas_of(winners: Sequence[Winner], setup: SearchSetup) -> list[int | None]:
    """Return the bytes of the arena for networks without trained weights, on which it does not depend."""
    assert setup.backend is not None
    try:
        return _arenas([setup.space.graph(winner.arch) for winner in winners], setup.backend, setup.run.settings)
    except ArenaTimeoutError:
        return [None] * len(winners)


def arenas_of_files(files: Sequence[Path], backend: Backend) -> list[int | None]:
    """Return the bytes of the arena for ONNX files; None where they cannot be measured in time."""
    try:
        return backend.arena_bytes(files)
    except ArenaTimeoutError:
        return [None] * len(files)


def _arenas(graphs: Sequence[OpGraph], backend: Backend, settings: SearchSettings) -> list[int | None]:
    """Return the bytes of the arena for graphs with random weights."""
    with TemporaryDirectory() as folder:
        files = []
        for number, graph in enumerate(graphs):
            files.append(Path(folder) / f"{number}.onnx")
            model = random_model(graph, 0, (), batch=settings.batch, precision=settings.precision)
            write_atomic(files[-1], model)
        return backend.arena_bytes(files)
