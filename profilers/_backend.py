"""What a profiler needs of a runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from latency_tables import Op, OpGraph
from profilers._division import Cores
from profilers._energy import EnergyCounter
from profilers._executed import Fusion
from profilers._operators._base import FloatArray
from profilers._sampling import Runnable


class Backend(Protocol):
    """A device and a runtime on it: makes graphs runnable and says what they are measured on.

    Where every word to the device takes long, its runnables share a `Group` and its energy counter is an `EnergyMeter`.
    """

    image_channels: int
    batch: int
    fast_cache_bytes: int
    """Size of the cache that an inference should stay in; 0 where prices are measured beyond it anyway.

    That of one core, however many threads there are: each of them needs all weights of its convolutions.
    """
    element_bytes: int
    """Bytes of one weight or activation."""
    cores: Cores | None
    """How several threads share ops, where that is known."""
    fusion: Fusion
    """Which chains of ops the runtime executes as one kernel (`fusion_of` reads it)."""

    @property
    def protocol(self) -> str:
        """How times are taken, with the version of that; tables of another protocol are refused."""

    def identity(self) -> dict[str, object]:
        """Stable facts: device, runtime, settings. A table is valid for these alone."""

    def environment(self) -> dict[str, object]:
        """Volatile facts, noted beside a table."""

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> Runnable:
        """Make a graph runnable with random weights.

        Args:
            graph: what to run.
            seed: of the weights.
            tied: ops whose nodes share theirs.
            cold: whether nothing of an execution may be in the fast caches when the next one begins; only asked for
                where `fast_cache_bytes` is not 0.

        Raises:
            UnsupportedGraphError: the runtime cannot execute it.
        """

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> Runnable:
        """Make a finished network runnable.

        Args:
            graph: the network.
            weights: its trained weights by ``"node.parameter"``.
            path: the ONNX file of the same network, which runtimes that read such files measure.

        Raises:
            UnsupportedGraphError: the runtime cannot execute it.
        """

    def energy_counter(self) -> EnergyCounter:
        """The counter that what this backend executes moves.

        Raises:
            EnergyUnavailableError: the device has none, or it may not be read.
        """

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """Bytes that the runtime holds for activations during one inference of each ONNX file; None where unknown."""

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Where the runtime executes networks otherwise than a table prices them, one line each.

        Args:
            networks: a few of them, by name.

        Returns:
            Nothing where there is no difference, or where the runtime does not show what it executes.
        """

    def warnings(self) -> list[str]:
        """What may have disturbed the measurements so far, one line each."""
