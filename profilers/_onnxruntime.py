"""Measuring through ONNX Runtime: how graphs become its models, and what a table of it is valid for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from latency_tables import Op, OpGraph
from profilers._division import cores_of
from profilers._energy import RaplCounter
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._fingerprint import core_cache_bytes, cpu_environment, cpu_identity
from profilers._operators._base import FloatArray
from profilers._session import PROVIDER, BoundSession, find_provider, installed_providers, require_counter
from profilers._weights import random_weights

PROTOCOL = "onnxruntime-marginal-q10-v4"
_SWEEP = 2
"""Memory read between cold inferences, in sizes of a core's fast cache for each thread."""


def sweep_bytes(fast_cache_bytes: int, threads: int) -> int:
    """How much to read before an inference so that nothing of the last one is left in the fast caches."""
    return _SWEEP * fast_cache_bytes * threads


def runtime_identity(
    cpu: Mapping[str, object], version: str, *, provider: str, threads: int, batch: int, precision: str
) -> dict[str, object]:
    """What a table is valid for, from the facts of a processor, wherever that is, and from the settings.

    Args:
        cpu: as `cpu_identity` gives it on the device.
        version: of its ONNX Runtime.
        provider: full name of the execution provider.
        threads: threads inside an operator.
        batch: images of one inference.
        precision: ``"fp32"`` or ``"int8"``.
    """
    return {
        "device": "cpu",
        **cpu,
        "runtime": "onnxruntime",
        "runtime_version": version,
        "provider": provider,
        "optimization": "all",
        "spinning": True,
        "threads": threads,
        "batch": batch,
        "dtype": "float32" if precision == "fp32" else precision,
        "protocol": PROTOCOL,
    }


def random_model(graph: OpGraph, seed: int, tied: Collection[Op], *, batch: int, precision: str) -> bytes:
    """The ONNX file, quantised where asked, of a graph with random weights; nodes of the ops in `tied` share theirs."""
    from profilers._onnx import build_onnx

    model = build_onnx(graph, random_weights(graph, seed, tied), batch=batch)
    if precision == "int8":
        from profilers._quantize import quantize_model

        model = quantize_model(model)
    return bytes(model.SerializeToString())


class OnnxRuntimeBackend:
    """ONNX Runtime with one execution provider.

    Args:
        threads: threads inside an operator.
        batch: images of one inference.
        image_channels: channels of the images.
        provider: execution provider, by its full name or without ``ExecutionProvider``, in any case.
        precision: ``"fp32"``, or ``"int8"`` for statically quantised (QDQ) networks.

    Raises:
        DeviceUnavailableError: ONNX Runtime is not installed, or its build lacks the provider.
    """

    protocol: ClassVar[str] = PROTOCOL
    fusion: Fusion = CONVOLUTION_FUSION

    def __init__(
        self,
        *,
        threads: int = 1,
        batch: int = 1,
        image_channels: int = 3,
        provider: str = PROVIDER,
        precision: str = "fp32",
    ) -> None:
        self.threads, self.batch, self.image_channels = threads, batch, image_channels
        self.precision = precision
        self.provider = find_provider(provider, installed_providers())
        self.element_bytes = 1 if precision == "int8" else 4
        self.fast_cache_bytes = core_cache_bytes() if self.provider == PROVIDER else 0
        self.cores = cores_of(threads=threads, batch=batch, provider=self.provider, precision=precision)
        self._version = version("onnxruntime")

    def identity(self) -> dict[str, object]:
        """Stable facts of processor, runtime and settings."""
        return runtime_identity(
            cpu_identity(),
            self._version,
            provider=self.provider,
            threads=self.threads,
            batch=self.batch,
            precision=self.precision,
        )

    def environment(self) -> dict[str, object]:
        """Volatile facts of the machine."""
        return cpu_environment()

    def energy_counter(self) -> RaplCounter:
        """The processor's packages; what another provider's device takes is not known."""
        require_counter(self.provider)
        return RaplCounter()

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """What the arena of the CPU provider holds, by its log; other providers have allocators of their own."""
        if self.provider != PROVIDER:
            return [None] * len(models)
        from profilers._arena import arena_bytes

        return arena_bytes(models)

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Differences between the executed nodes and the fused ops, fp32 on the CPU provider only.

        Other providers fuse by rules of their own. int8 graphs hold conversions that belong to no op; a row's price
        contains those that its block was measured with, so there is nothing to count.
        """
        if self.provider != PROVIDER or self.precision != "fp32":
            return []
        from profilers._fusion import fusion_notes

        return fusion_notes(networks)

    def warnings(self) -> list[str]:
        """Nothing is watched beside the calibration op."""
        return []

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> BoundSession:
        """Lower `graph` to ONNX with random weights, quantise it where asked, and open a session on it."""
        model = random_model(graph, seed, tied, batch=self.batch, precision=self.precision)
        swept = sweep_bytes(self.fast_cache_bytes, self.threads) if cold else 0
        return BoundSession(model, threads=self.threads, seed=seed, provider=self.provider, sweep_bytes=swept)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> BoundSession:
        """Open a session on the exported file: what is measured is what ships."""
        return BoundSession(path, threads=self.threads, provider=self.provider)
