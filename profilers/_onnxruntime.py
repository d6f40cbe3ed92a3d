"""Measures with ONNX Runtime on this machine; makes its models, and the identity that its tables are valid for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from latency_tables import Op, OpGraph
from profilers._backend import Backend
from profilers._division import cores_of
from profilers._energy import RaplCounter
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._fingerprint import core_cache_bytes, cpu_environment, cpu_identity
from profilers._mixed import quantised_nodes
from profilers._operators._base import FloatArray
from profilers._session import (
    PROVIDER,
    BoundSession,
    find_provider,
    installed_providers,
    require_counter,
    runtime_version,
)
from profilers._weights import random_weights

PROTOCOL = "onnxruntime-marginal-q10-v4"
"""How times are taken, with its version: a table is valid for this protocol alone."""
_SWEEP = 2
"""Memory that is read before a cold inference: this many times a core's fast cache, for each thread."""


def sweep_bytes(fast_cache_bytes: int, threads: int) -> int:
    """Return the bytes to read before an inference so that the fast caches hold nothing of the last one."""
    return _SWEEP * fast_cache_bytes * threads


def runtime_identity(
    cpu: Mapping[str, object], version: str, *, provider: str, threads: int, batch: int, precision: str
) -> dict[str, object]:
    """Return what a table is valid for: the device's processor and runtime, and the settings.

    Args:
        cpu: What `cpu_identity` returns on the device.
        version: Version of the device's ONNX Runtime.
        provider: Full name of the execution provider.
        threads: Threads inside an operator.
        batch: Images of one inference.
        precision: ``"fp32"``, ``"int8"`` or ``"mixed"``.
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
    """Make the ONNX file of a graph with random weights.

    Args:
        graph: The graph.
        seed: Seeds the weights.
        tied: Ops whose nodes share their weights.
        batch: Images of one inference.
        precision: ``"fp32"``, ``"int8"`` for a statically quantised (QDQ) network, or ``"mixed"`` for one whose int8
            ops alone are quantised.
    """
    from profilers._onnx import build_onnx

    model = build_onnx(graph, random_weights(graph, seed, tied), batch=batch)
    if precision != "fp32":
        from profilers._quantize import quantize_model

        model = quantize_model(model, nodes=quantised_nodes(graph, precision))
    return bytes(model.SerializeToString())


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime on this machine with one execution provider.

    Args:
        threads: Threads inside an operator.
        batch: Images of one inference.
        image_channels: Channels of the images.
        provider: Execution provider, by its full name or without ``ExecutionProvider``, in any case.
        precision: ``"fp32"``, ``"int8"`` for statically quantised (QDQ) networks, or ``"mixed"`` for networks whose
            int8 ops alone are quantised.

    Raises:
        DeviceUnavailableError: ONNX Runtime is not installed, or its build lacks the provider.
    """

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
        self._version = runtime_version()

    def identity(self) -> dict[str, object]:
        """Return the stable facts of processor, runtime and settings."""
        return runtime_identity(
            cpu_identity(),
            self._version,
            provider=self.provider,
            threads=self.threads,
            batch=self.batch,
            precision=self.precision,
        )

    def environment(self) -> dict[str, object]:
        """Return the volatile facts of the machine."""
        return cpu_environment()

    def energy_counter(self) -> RaplCounter:
        """Open the RAPL counter of the processor; for other providers' devices no counter is known."""
        require_counter(self.provider)
        return RaplCounter()

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """Measure the CPU provider's arena by its log; None for other providers, whose allocators are unknown."""
        if self.provider != PROVIDER:
            return [None] * len(models)
        from profilers._arena import arena_bytes

        return arena_bytes(models)

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Return where the executed nodes differ from the fused ops; for fp32 on the CPU provider only.

        Other providers fuse by other rules. int8 ops hold conversions that belong to no op of the graph, and a row's
        price contains those of its own measurement, so there is nothing to count.
        """
        if self.provider != PROVIDER or self.precision != "fp32":
            return []
        from profilers._fusion import fusion_notes

        return fusion_notes(networks)

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> BoundSession:
        """Convert `graph` to ONNX with random weights, quantise it for int8, and open a session on it."""
        model = random_model(graph, seed, tied, batch=self.batch, precision=self.precision)
        swept = sweep_bytes(self.fast_cache_bytes, self.threads) if cold else 0
        return BoundSession(model, threads=self.threads, seed=seed, provider=self.provider, sweep_bytes=swept)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> BoundSession:
        """Open a session on the exported file, so that what is measured is what is delivered."""
        return BoundSession(path, threads=self.threads, provider=self.provider)
