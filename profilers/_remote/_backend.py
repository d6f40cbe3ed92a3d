"""ONNX Runtime on a remote device over ssh: graphs become ONNX files here, and are executed and timed there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from latency_tables import Op, OpGraph, read_regular
from profilers._backend import Backend
from profilers._division import cores_of
from profilers._errors import DeviceUnavailableError, EnergyUnavailableError, UnsupportedGraphError
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._onnxruntime import random_model, runtime_identity, sweep_bytes
from profilers._operators._base import FloatArray
from profilers._remote._address import parse_address
from profilers._remote._device import WAITS_S, Model, RemoteDevice
from profilers._remote._facts import read_facts, read_number, read_seconds, read_sizes
from profilers._remote._link import printable
from profilers._remote._store import digest_of
from profilers._session import PROVIDER, find_provider, require_counter
from profilers._timing import Runnable


class RemoteGroup:
    """The runnables of one remote device: a whole round is one request.

    Args:
        device: The device.
    """

    def __init__(self, device: RemoteDevice) -> None:
        self._device = device

    def fastest(self, runnables: Sequence[Runnable], warmup_runs: int) -> list[float]:
        """Run each `warmup_runs` times untimed, then three times; return the seconds of the fastest of the three."""
        return self._seconds("fastest", runnables, {"warmup": warmup_runs})

    def time_round(self, runnables: Sequence[Runnable], repeats: Sequence[int], priming_runs: int) -> list[float]:
        """Time each in the order given, after `priming_runs` untimed runs; return the seconds of all its repeats."""
        return self._seconds("round", runnables, {"repeats": list(repeats), "priming": priming_runs})

    def seconds_away(self) -> float:
        """Return the seconds so far in which the device could not be reached."""
        return self._device.seconds_away()

    def _seconds(self, request: str, runnables: Sequence[Runnable], fields: Mapping[str, object]) -> list[float]:
        """Ask the device for one time of each runnable."""
        numbers = [runnable.number for runnable in runnables if isinstance(runnable, RemoteRunnable)]
        answer, _ = self._device.ask(request, {**fields, "sessions": numbers}, needs=numbers)
        return read_seconds(answer.get("seconds"), len(runnables), str(self._device.address))


class RemoteRunnable:
    """A session on a remote device, which is closed when this object is deleted.

    Args:
        device: The device.
        group: The group of all runnables of the device.
        make: Makes the ONNX file.
        seed: Seeds the inputs.
        sweep_bytes: Bytes of other memory that the device reads before each inference.

    Attributes:
        number: Number of the session on the device.
    """

    def __init__(
        self, device: RemoteDevice, group: RemoteGroup, make: Callable[[], bytes], seed: int, sweep_bytes: int = 0
    ) -> None:
        self.group = group
        self._device = device
        content = make()
        self.number = device.add(Model(digest_of(content), make, seed, sweep_bytes), content)

    def run(self, repeats: int) -> float:
        """Infer `repeats` times; return the seconds of all together."""
        return self.group.time_round([self], [repeats], 0)[0]

    def __del__(self) -> None:
        if hasattr(self, "number"):
            self._device.forget(self.number)


class RemoteMeter:
    """The energy counter of a remote device's processor, which is read there.

    Args:
        device: The device.
    """

    def __init__(self, device: RemoteDevice) -> None:
        self._device = device
        self.name = printable(device.ask("meter")[0].get("name"))

    def read_mj(self) -> float:
        """Refuse: the connection to the device would be part of every measurement."""
        raise EnergyUnavailableError("energy is unavailable: the counter can only be read on the device")

    def inference_mj(self, runnable: Runnable) -> float:
        """Return the millijoules of one inference, measured on the device."""
        assert isinstance(runnable, RemoteRunnable)
        answer, _ = self._device.ask("energy", {"session": runnable.number}, needs=[runnable.number])
        return read_number(answer.get("mj"), str(self._device.address))


class SshBackend(Backend):
    """ONNX Runtime on another machine, over ssh.

    Args:
        address: ``ssh://[user@]host[:port]``.
        threads: Threads inside an operator.
        batch: Images of one inference.
        image_channels: Channels of the images.
        provider: Execution provider there, by its full name or without ``ExecutionProvider``, in any case.
        precision: ``"fp32"`` or ``"int8"``.
        progress: Receives a line for each lost connection.
        waits_s: Seconds to wait before each attempt to reconnect.

    Raises:
        DeviceUnavailableError: The device cannot be reached, lacks a package, or has fewer cores than `threads`.
    """

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
                f"--threads must be 1 to {facts.usable_cores} (the usable cores of {address}), got {threads}"
            )
        self.provider = self.device.provider = find_provider(provider, facts.providers)
        self.element_bytes = 1 if precision == "int8" else 4
        self.fast_cache_bytes = facts.core_cache_bytes if self.provider == PROVIDER else 0
        self.cores = cores_of(threads=threads, batch=batch, provider=self.provider, precision=precision)
        self._group = RemoteGroup(self.device)

    def identity(self) -> dict[str, object]:
        """Return the stable facts of the device's processor and runtime, and the settings."""
        return runtime_identity(
            self.device.facts.cpu,
            self.device.facts.runtime_version,
            provider=self.provider,
            threads=self.threads,
            batch=self.batch,
            precision=self.precision,
        )

    def environment(self) -> dict[str, object]:
        """Ask the device for its volatile facts."""
        answer, _ = self.device.ask("facts")
        return dict(read_facts(answer, str(self.device.address)).environment)

    def energy_counter(self) -> RemoteMeter:
        """Open the RAPL counter of the device; for other providers' devices no counter is known."""
        require_counter(self.provider)
        return RemoteMeter(self.device)

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """Measure the device's CPU provider's arena; None for other providers, whose allocators are unknown."""
        if self.provider != PROVIDER or not models:
            return [None] * len(models)
        contents = [partial(read_regular, path) for path in models]
        files = [(digest_of(content()), content) for content in contents]
        answer, _ = self.device.ask("arena", {"digests": [digest for digest, _ in files]}, models=files)
        return read_sizes(answer.get("sizes"), len(models), str(self.device.address))

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """Return where the nodes executed there differ from the fused ops; for fp32 on the CPU provider only."""
        if self.provider != PROVIDER or self.precision != "fp32":
            return []
        from profilers._fusion import fusion_notes

        return fusion_notes(networks, self._optimised)

    def warnings(self) -> list[str]:
        """Return a line if the connection was lost."""
        lost = self.device.lost
        if not lost:
            return []
        return [f"the connection to the device was lost {lost} times; interrupted rounds were measured again"]

    def load(self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False) -> RemoteRunnable:
        """Convert `graph` to ONNX here with random weights, quantise it for int8, and open a session on it there."""

        def content() -> bytes:
            return random_model(graph, seed, tied, batch=self.batch, precision=self.precision)

        swept = sweep_bytes(self.fast_cache_bytes, self.threads) if cold else 0
        return RemoteRunnable(self.device, self._group, content, seed, swept)

    def load_trained(self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str) -> RemoteRunnable:
        """Open a session on the exported file there, so that what is measured is what is delivered."""
        return RemoteRunnable(self.device, self._group, partial(read_regular, Path(path)), 0)

    def _optimised(self, graph: OpGraph) -> bytes:
        """Return the ONNX file of the graph that the device executes after its optimisations.

        Raises:
            UnsupportedGraphError: The device returns none.
        """

        def content() -> bytes:
            return random_model(graph, 0, (), batch=1, precision="fp32")

        model = content()
        digest, most = digest_of(model), 2 * len(model) + 2**20
        optimised = self.device.ask("optimised", {"digest": digest}, models=[(digest, content)], most_payload=most)[1]
        if not optimised:
            raise UnsupportedGraphError("the device returned no optimised graph")
        return optimised
