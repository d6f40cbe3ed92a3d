"""Measuring on an NVIDIA GPU: PyTorch, CUDA events, kernel time or the whole of an eager inference.

Two protocols, because they answer different questions. ``kernel``: a network is captured once as a CUDA graph and
replayed, so the time is that of its kernels alone: throughput work, large batches. ``host``: the network is launched
op by op from Python, as an eager model runs, and every inference is waited for: at batch 1 a GPU waits for its
launches, and the sum of kernel times is not what a user sees.

Inputs rotate through buffers that together exceed the GPU's second-level cache. torch is imported when a backend is
made, so that this module can be read and its arithmetic tested where there is no GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from latency_tables import Op, OpGraph
from profilers._division import Cores
from profilers._energy import NvmlCounter
from profilers._errors import DeviceUnavailableError, UnsupportedGraphError
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._fingerprint import cpu_environment, cpu_model
from profilers._folding import folded_graph, folded_weights
from profilers._nvml import GpuWatch
from profilers._operators._base import FloatArray
from profilers._weights import random_weights

if TYPE_CHECKING:
    import torch

CudaProtocol = Literal["kernel", "host"]
_GRAPH_SECONDS = 500e-6
"""A captured graph repeats its network until it is about this long, so that launching it costs next to nothing."""
_MOST_COPIES = 64
_MOST_BUFFERS = 8


class Clock(Protocol):
    """The device's stopwatch: CUDA events, or a fake in tests."""

    def seconds(self, work: Callable[[], None]) -> float:
        """Time from before `work` starts on the device to after it is done there."""


class EventClock:
    """CUDA events around work on the current stream; they are recorded by the GPU itself.

    Args:
        device: index of the GPU.
    """

    def __init__(self, device: int) -> None:
        import torch

        event: Any = torch.cuda.Event
        self._torch, self._device = torch, device
        self._start, self._stop = event(enable_timing=True), event(enable_timing=True)

    def seconds(self, work: Callable[[], None]) -> float:
        """Record, work, record, wait; milliseconds of the events become seconds."""
        with self._torch.cuda.device(self._device):
            self._start.record()
            work()
            self._stop.record()
            self._stop.synchronize()
        return float(self._start.elapsed_time(self._stop)) * 1e-3


class KernelRunnable:
    """Replays a captured graph of `copies` inferences; it is a `Runnable`.

    There is one graph for all input buffers. With one for each, the untimed runs before a sample warmed other graphs
    than those that were timed: beside 420 loaded networks, networks took 13-16 % longer than beside 20 (H200).

    Args:
        replay: of the graph; inference after inference, it goes through the input buffers.
        copies: inferences in one replay.
        clock: the stopwatch.
    """

    def __init__(self, replay: Callable[[], None], copies: int, clock: Clock) -> None:
        self._replay, self._copies, self._clock = replay, copies, clock

    def run(self, repeats: int) -> float:
        """Seconds of `repeats` inferences: whole replays are timed, and a part of one is charged for."""
        count = max(1, math.ceil(repeats / self._copies))

        def work() -> None:
            for _ in range(count):
                self._replay()

        return self._clock.seconds(work) * repeats / (count * self._copies)


class HostRunnable:
    """Launches eagerly and waits for every single inference; it is a `Runnable`.

    Args:
        launches: one for each rotated input buffer.
        clock: the stopwatch.
    """

    def __init__(self, launches: Sequence[Callable[[], None]], clock: Clock) -> None:
        self._launches, self._clock = list(launches), clock
        self._next = 0

    def run(self, repeats: int) -> float:
        """Seconds of `repeats` inferences, one after the other."""
        total = 0.0
        for _ in range(repeats):
            total += self._clock.seconds(self._launches[self._next % len(self._launches)])
            self._next += 1
        return total


def copies_in_graph(seconds: float, buffers: int) -> int:
    """How many inferences of `seconds` a captured graph holds: it goes through all `buffers` equally often."""
    wanted = min(_MOST_COPIES, math.ceil(_GRAPH_SECONDS / max(seconds, 1e-9)))
    return buffers * max(1, math.ceil(wanted / buffers))


def rotated_buffers(input_bytes: int, cache_bytes: int) -> int:
    """How many input buffers are rotated: enough to exceed the cache twice, within reason."""
    return max(1, min(_MOST_BUFFERS, math.ceil(2 * cache_bytes / max(1, input_bytes))))


class CudaBackend:
    """PyTorch on one NVIDIA GPU.

    Args:
        index: of the GPU.
        mode: ``"kernel"`` or ``"host"``.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        channels_last: memory format of activations and weights.
        batch: images of one inference.
        image_channels: channels of the images.

    Raises:
        DeviceUnavailableError: there is no such GPU, or no torch that can use it.
    """

    fusion: Fusion = CONVOLUTION_FUSION
    protocols: ClassVar[Mapping[CudaProtocol, str]] = {"host": "cuda-marginal-q10-v2", "kernel": "cuda-marginal-q10-v3"}
    fast_cache_bytes = 0
    cores: Cores | None = None

    def __init__(
        self,
        index: int = 0,
        *,
        mode: CudaProtocol = "host",
        dtype: str = "float32",
        channels_last: bool = False,
        batch: int = 1,
        image_channels: int = 3,
    ) -> None:
        import torch

        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            raise DeviceUnavailableError(
                f"device cuda:{index} is not here; torch sees {torch.cuda.device_count()} GPUs"
            )
        self._torch, self.index, self.mode = torch, index, mode
        self.protocol = self.protocols[mode]
        self.dtype, self.channels_last = dtype, channels_last
        self.element_bytes = 4 if dtype == "float32" else 2
        self.batch, self.image_channels = batch, image_channels
        self._device = torch.device("cuda", index)
        self._clock: Clock = EventClock(index)
        self._pool: Any = None
        self._uuid = str(torch.cuda.get_device_properties(index).uuid)
        self._watch = GpuWatch(self._uuid)
        torch.backends.cudnn.benchmark = True

    def identity(self) -> dict[str, object]:
        """Stable facts of GPU, runtime and settings."""
        torch, properties = self._torch, self._torch.cuda.get_device_properties(self.index)
        return {
            "device": "cuda",
            "gpu": properties.name,
            "gpu_memory_bytes": properties.total_memory,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            **({"cpu": cpu_model()} if self.mode == "host" else {}),
            "runtime": "torch",
            "runtime_version": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": bool(torch.backends.cudnn.allow_tf32),
            "mode": self.mode,
            "channels_last": self.channels_last,
            "batch": self.batch,
            "dtype": self.dtype,
            "protocol": self.protocol,
        }

    def environment(self) -> dict[str, object]:
        """Volatile facts of the machine and the GPU."""
        return {**cpu_environment(), **self._watch.facts()}

    def energy_counter(self) -> NvmlCounter:
        """The GPU's own."""
        return NvmlCounter(self._uuid)

    def arena_bytes(self, models: Sequence[Path]) -> list[int | None]:
        """Unknown: torch does not execute ONNX files."""
        return [None] * len(models)

    def execution_notes(self, networks: Mapping[str, OpGraph]) -> list[str]:
        """None: torch executes a network op by op, as it is written."""
        return []

    def warnings(self) -> list[str]:
        """What NVML saw while measuring: throttling, moving clocks, other processes."""
        return self._watch.warnings()

    def load(
        self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False
    ) -> KernelRunnable | HostRunnable:
        """Make a graph runnable with random weights; its inputs rotate past the caches, `cold` or not."""
        return self._runnable(graph, random_weights(graph, seed, tied))

    def load_trained(
        self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str
    ) -> KernelRunnable | HostRunnable:
        """Make a finished network runnable; the exported file at `path` is for other runtimes."""
        return self._runnable(graph, weights)

    def _runnable(self, graph: OpGraph, weights: Mapping[str, FloatArray]) -> KernelRunnable | HostRunnable:
        torch = self._torch
        try:
            self._watch.look()
            module = self._module(graph, weights)
            inputs = self._inputs(graph)
            with torch.cuda.device(self.index), torch.inference_mode():
                launches = [self._launcher(module, x) for x in inputs]
                for _ in range(3):  # cuDNN chooses its algorithms in the first runs
                    launches[0]()
                torch.cuda.synchronize()
                if self.mode == "host":
                    return HostRunnable(launches, self._clock)
                single = self._captured(module, inputs[:1], 1)
                copies = copies_in_graph(min(self._clock.seconds(single) for _ in range(3)), len(inputs))
                replay = self._captured(module, inputs, copies)
        except torch.OutOfMemoryError:
            raise UnsupportedGraphError("the GPU has not enough memory for it at this batch size") from None
        except RuntimeError as error:
            raise UnsupportedGraphError(f"torch refuses the graph: {str(error).splitlines()[0]}") from None
        return KernelRunnable(replay, copies, self._clock)

    def _module(self, graph: OpGraph, weights: Mapping[str, FloatArray]) -> torch.nn.Module:
        """The network as it ships: batch norms folded into their convolutions."""
        from profilers._torch import GraphModule

        live = graph.without_dead_code()
        module: Any = GraphModule(folded_graph(live), folded_weights(live, weights)).eval()
        module = module.to(device=self._device, dtype=getattr(self._torch, self.dtype))
        if self.channels_last:
            module = module.to(memory_format=self._torch.channels_last)
        found: torch.nn.Module = module
        return found

    def _inputs(self, graph: OpGraph) -> list[torch.Tensor]:
        torch, shape = self._torch, (self.batch, *graph.input_shape)
        properties = torch.cuda.get_device_properties(self.index)
        wide = getattr(torch, self.dtype)
        count = rotated_buffers(math.prod(shape) * wide.itemsize, int(properties.L2_cache_size))
        values = np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)
        tensors = [torch.from_numpy(value).to(device=self._device, dtype=wide) for value in values]
        return [x.to(memory_format=torch.channels_last) for x in tensors] if self.channels_last else tensors

    def _launcher(self, module: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
        torch = self._torch

        def launch() -> None:
            with torch.inference_mode():
                module(x)

        return launch

    def _captured(self, module: torch.nn.Module, inputs: Sequence[torch.Tensor], copies: int) -> Callable[[], None]:
        """A CUDA graph of several inferences; all graphs share one pool of memory, since only one runs at a time.

        A captured graph holds addresses, no references: the replay keeps the weights and the inputs alive.
        """
        torch = self._torch
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        with torch.cuda.graph(graph, pool=self._pool):
            for i in range(copies):
                module(inputs[i % len(inputs)])

        def replay(kept: object = (module, inputs)) -> None:
            graph.replay()

        return replay
