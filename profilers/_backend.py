"""What a profiler needs from a device and its runtime; support for another device is one such class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from latency_tables import Op, OpGraph
from profilers._division import Cores
from profilers._energy import EnergyCounter
from profilers._errors import EnergyUnavailableError
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._operators._base import FloatArray
from profilers._timing import Runnable


class Backend(Protocol):
    """A device and a runtime on it: makes graphs runnable and states what they are measured on.

    A subclass must define `identity` and `load`; everything else has a default. Where each request to the device takes
    long, the runnables share a `Group` and the energy counter is an `EnergyMeter`.

    Attributes:
        image_channels: Channels of the images that graphs read.
        batch: Images of one inference.
        element_bytes: Bytes of one weight or activation.
        fast_cache_bytes: Size of the cache that an inference should fit into: that of one core, even with several
            threads, because each thread needs all weights of its convolutions. 0 where every price is measured with
            data outside the caches.
        cores: How several threads share ops; None where that is not known.
        fusion: Which chains of ops the runtime executes as one kernel.
        times_one_inference: Whether ``run(1)`` of its runnables times one inference alone. Where it times many and
            returns their mean, neither the tail of single inferences nor the first one after a pause is known.
    """

    image_channels: int = 3
    batch: int = 1
    element_bytes: int = 4
    fast_cache_bytes: int = 0
    cores: Cores | None = None
    fusion: Fusion = CONVOLUTION_FUSION
    times_one_inference: bool = True

    def identity(self) -> dict[str, object]:
        """Return the stable facts that a table is valid for: device, runtime, settings, and how times are taken.

        ``device`` must be the name that ``--device`` takes. A version of the way that times are taken belongs in it,
        too: tables with another identity are refused.
        """

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> Runnable:
        """Make a graph runnable with random weights.

        Args:
            graph: The graph to run.
            seed: Seeds the weights and inputs.
            tied: Ops whose nodes share their weights.
            cold: Whether the fast caches must hold nothing of one execution when the next begins; only requested where
                `fast_cache_bytes` is not 0.

        Raises:
            UnsupportedGraphError: The runtime cannot execute the graph.
        """

    def environment(self) -> dict[str, object]:
        """Return volatile facts to record in a table; none by default."""
        return {}

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> Runnable:
        """Make a trained network runnable.

        By default, it is loaded with random weights of the same shapes: where kernels do not depend on the values of
        weights, that changes no time.

        Args:
            graph: The network.
            weights: Its trained weights by ``"node.parameter"``.
            path: The ONNX file of the same network, for runtimes that execute such files.

        Raises:
            UnsupportedGraphError: The runtime cannot execute the network.
        """
        return self.load(graph)

    def energy_counter(self) -> EnergyCounter:
        """Return the counter of the energy that the device consumes.

        Raises:
            EnergyUnavailableError: The device has none (the default), or reading it is not permitted.
        """
        raise EnergyUnavailableError("energy is unavailable: this device has no energy counter")

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """Return the bytes that the runtime holds for activations during one inference of each ONNX file.

        None where that is not known, as by default.

        Raises:
            ArenaTimeoutError: The runtime takes too long for each of them.
        """
        return [None] * len(models)

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Return how executed networks differ from what a table prices, one line each.

        Args:
            networks: A few networks, by name.

        Returns:
            No line where nothing differs, or where the runtime does not show what it executes, as by default.
        """
        return []

    def warnings(self) -> list[str]:
        """Return what may have disturbed the measurements so far, one line each; none by default."""
        return []
