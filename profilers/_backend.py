"""What a profiler needs of a runtime."""

from __future__ import annotations

from typing import ClassVar, Protocol

from latency_tables import OpGraph
from profilers._sampling import Runnable


class Backend(Protocol):
    """A device and a runtime on it: makes graphs runnable and says what they are measured on."""

    image_channels: int
    protocol: ClassVar[str]

    def identity(self) -> dict[str, object]:
        """Stable facts: device, runtime, settings. A table is valid for these alone."""

    def environment(self) -> dict[str, object]:
        """Volatile facts, noted beside a table."""

    def load(self, graph: OpGraph, *, seed: int = 0) -> Runnable:
        """Make a graph runnable, with random weights drawn from `seed`.

        Raises:
            UnsupportedGraphError: the runtime cannot execute it.
        """

    def load_file(self, path: str) -> Runnable:
        """Make an exported ONNX file runnable.

        Raises:
            UnsupportedGraphError: the runtime cannot execute it.
        """
