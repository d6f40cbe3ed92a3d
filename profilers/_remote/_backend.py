"""ONNX Runtime on a device that is reached through ssh: graphs are lowered here, and executed and timed there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from latency_tables import Op, OpGraph, read_regular
from profilers._division import cores_of
from profilers._errors import DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._onnxruntime import PROTOCOL, random_model, runtime_identity, sweep_bytes
from profilers._operators._base import FloatArray
from profilers._remote._address import parse_address
from profilers._remote._device import WAITS_S, Model, RemoteDevice
from profilers._remote._facts import read_facts, read_number, read_seconds, read_sizes
from profilers._remote._link import printable
from profilers._remote._store import digest_of
from profilers._sampling import Runnable
from profilers._session import PROVIDER, find_provider, require_counter


class RemoteGroup:
    """Everything that runs on one device: a whole round is one request."""

    def __init__(self, device: RemoteDevice) -> None:
        self._device = device

    def fastest(self, runnables: Sequence[Runnable], warmup_runs: int) -> list[float]:
        """Run each untimed, then three times; returns the seconds of the fastest of the three."""
        return self._seconds("fastest", runnables, {"warmup": warmup_runs})

    def time_round(self, runnables: Sequence[Runnable], repeats: Sequence[int], priming_runs: int) -> list[float]:
        """Time each in the order given; returns the seconds of all its repeats."""
        return self._seconds("round", runnables, {"repeats": list(repeats), "priming": priming_runs})

    def seconds_away(self) -> float:
        """Seconds so far in which the device could not be reached."""
        return self._device.seconds_away()

    def _seconds(self, what: str, runnables: Sequence[Runnable], fields: Mapping[str, object]) -> list[float]:
        numbers = [runnable.number for runnable in runnables if isinstance(runnable, RemoteRunnable)]
        answer, _ = self._device.ask(what, {**fields, "sessions": numbers}, needs=numbers)
        return read_seconds(answer.get("seconds"), len(runnables), str(self._device.address))


class RemoteRunnable:
    """A session on the device, closed there when this object goes."""

    def __init__(
        self, device: RemoteDevice, group: RemoteGroup, make: Callable[[], bytes], seed: int, swept: int = 0
    ) -> None:
        self.group = group
        self._device = device
        content = make()
        self.number = device.add(Model(digest_of(content), make, seed, swept), content)

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; returns seconds in total."""
        return self.group.time_round([self], [repeats], 0)[0]

    def __del__(self) -> None:
        if hasattr(self, "number"):
            self._device.forget(self.number)


class RemoteMeter:
    """The energy counter of the device's processor, read there."""

    def __init__(self, device: RemoteDevice) -> None:
        self._device = device
        self.name = printable(device.ask("meter")[0].get("name"))

    def read_mj(self) -> float:
        """Not from here: the way to the device would be part of every measurement."""
        raise EnergyUnavailableError("energy is unavailable: the counter is read on the device only")

    def inference_mj(self, runnable: Runnable) -> float:
        """Millijoules of one inference."""
        assert isinstance(runnable, RemoteRunnable)
        answer, _ = self._device.ask("energy", {"session": runnable.number}, needs=[runnable.number])
        return read_number(answer.get("mj"), str(self._device.address))


class SshBackend:
    """ONNX Runtime on another machine.

    Args:
        address: ``ssh://[user@]host[:port]``.
        threads: threads inside an operator.
        batch: images of one inference.
        image_channels: channels of the images.
        provider: execution provider there, by its full name or without ``ExecutionProvider``, in any case.
        precision: ``"fp32"`` or ``"int8"``.
        progress: receives a line for each connection lost.
        waits_s: seconds before each try to connect again.

    Raises:
        DeviceUnavailableError: the device cannot be reached, lacks something, or has fewer cores.
    """

    protocol: ClassVar[str] = PROTOCOL
    fusion: Fusion = CONVOLUTION_FUSION

    def __init__(
        self,
        address: str,
        *,
        threads: int = 1,
        batch: int = 1,
        image_channels: int = 3,
        provider: str = PROVIDER,
        precision: str = "fp32",
        progress: Callable[[str], None] = lambda text: None,
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self.threads, self.batch, self.image_channels, self.precision = threads, batch, image_channels, precision
        self.device = RemoteDevice(parse_address(address), threads=threads, progress=progress, waits_s=waits_s)
        facts = self.device.facts
        if not 1 <= threads <= facts.usable_cores:
            raise DeviceUnavailableError(
                f"--threads must be between 1 and the {facts.usable_cores} usable cores of {address}, not {threads}"
            )
        self.provider = self.device.provider = find_provider(provider, facts.providers)
        self.element_bytes = 1 if precision == "int8" else 4
        self.fast_cache_bytes = facts.core_cache_bytes if self.provider == PROVIDER else 0
        self.cores = cores_of(threads=threads, batch=batch, provider=self.provider, precision=precision)
        self._group = RemoteGroup(self.device)

    def identity(self) -> dict[str, object]:
        """Stable facts of the device's processor and runtime, and the settings."""
        return runtime_identity(
            self.device.facts.cpu,
            self.device.facts.runtime_version,
            provider=self.provider,
            threads=self.threads,
            batch=self.batch,
            precision=self.precision,
        )

    def environment(self) -> dict[str, object]:
        """Volatile facts of the device, asked for now."""
        answer, _ = self.device.ask("facts")
        return dict(read_facts(answer, str(self.device.address)).environment)

    def energy_counter(self) -> RemoteMeter:
        """The processor's packages; what another provider's device takes is not known."""
        require_counter(self.provider)
        return RemoteMeter(self.device)

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """What the arena of the device's CPU provider holds; other providers have allocators of their own."""
        if self.provider != PROVIDER or not models:
            return [None] * len(models)
        contents = [partial(read_regular, path) for path in models]
        files = [(digest_of(content()), content) for content in contents]
        answer, _ = self.device.ask("arena", {"digests": [digest for digest, _ in files]}, models=files)
        return read_sizes(answer.get("sizes"), len(models), str(self.device.address))

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Differences between the nodes executed on the device and the fused ops, fp32 on the CPU provider only."""
        if self.provider != PROVIDER or self.precision != "fp32":
            return []
        from profilers._fusion import fusion_notes

        return fusion_notes(networks, self._optimised)

    def warnings(self) -> list[str]:
        """Whether the connection was lost."""
        lost = self.device.lost
        if not lost:
            return []
        return [f"the connection to the device was lost {lost} times; the rounds it broke off were measured again"]

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> RemoteRunnable:
        """Lower `graph` here with random weights, quantise it where asked, and open a session on it there."""

        def content() -> bytes:
            return random_model(graph, seed, tied, batch=self.batch, precision=self.precision)

        swept = sweep_bytes(self.fast_cache_bytes, self.threads) if cold else 0
        return RemoteRunnable(self.device, self._group, content, seed, swept)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> RemoteRunnable:
        """Open a session on the exported file there: what is measured is what ships."""
        return RemoteRunnable(self.device, self._group, partial(read_regular, Path(path)), 0)

    def _optimised(self, graph: OpGraph) -> bytes:
        def content() -> bytes:
            return random_model(graph, 0, (), batch=1, precision="fp32")

        given = content()
        digest, most = digest_of(given), 2 * len(given) + 2**20
        found = self.device.ask("optimised", {"digest": digest}, models=[(digest, content)], most_payload=most)[1]
        if not found:
            raise UnsupportedGraphError("the device gave no optimised graph")
        return found
