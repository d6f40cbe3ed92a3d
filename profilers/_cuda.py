"""Measures with PyTorch on an NVIDIA GPU: CUDA events time the kernels, or a whole eager inference.

Two protocols answer two questions. ``kernel``: a network is captured once as a CUDA graph and replayed, so the time is
that of its kernels alone, as for throughput and large batches. ``host``: Python launches the network op by op, as an
eager model runs, and waits for every inference: at batch 1 a GPU waits for its launches, and users see more than the
sum of kernel times.

Inputs rotate through buffers that together exceed the GPU's second-level cache. torch is imported when a backend is
made, so that this module can be imported and its arithmetic tested without a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol
from weakref import WeakValueDictionary

import numpy as np

from latency_tables import Op, OpGraph, Shape
from profilers._backend import Backend
from profilers._energy import NvmlCounter
from profilers._errors import (
    DeviceMemoryError,
    DeviceUnavailableError,
    OperatorError,
    UnsupportedGraphError,
    first_line,
)
from profilers._executed import CONVOLUTION_FUSION, Fusion
from profilers._fingerprint import cpu_environment, cpu_model
from profilers._folding import folded_graph, folded_weights
from profilers._nvml import GpuWatch
from profilers._operators._base import FloatArray
from profilers._weights import random_weights

if TYPE_CHECKING:
    import torch

CudaProtocol = Literal["kernel", "host"]
Inputs = tuple["torch.Tensor", ...]
"""One tensor ``(batch, *shape)`` for each input of a network."""
_GRAPH_SECONDS = 500e-6
"""A captured graph repeats its network for about this long, so that the cost of launching it is negligible."""
_MOST_COPIES = 64
_MOST_BUFFERS = 8


class Clock(Protocol):
    """The stopwatch of a device: CUDA events, or a fake in tests."""

    def seconds(self, work: Callable[[], None]) -> float:
        """Return the seconds from before `work` starts on the device until it is done there."""


class EventClock:
    """CUDA events around work on the current stream; the GPU itself records them.

    Args:
        device: Index of the GPU.
    """

    def __init__(self, device: int) -> None:
        import torch

        event: Any = torch.cuda.Event
        self._torch, self._device = torch, device
        self._start, self._stop = event(enable_timing=True), event(enable_timing=True)

    def seconds(self, work: Callable[[], None]) -> float:
        """Record an event, start `work`, record another and wait for it; return the seconds between the events."""
        with self._torch.cuda.device(self._device):
            self._start.record()
            work()
            self._stop.record()
            self._stop.synchronize()
        return float(self._start.elapsed_time(self._stop)) * 1e-3


class _Buffers(list[Inputs]):
    """Rotated buffers of a network's inputs, kept as long as a loaded graph reads them."""


def _allows_tf32(flags: Any) -> bool:
    """Return whether a library may compute products of float32 numbers in TF32, by torch's flags for it."""
    try:
        return bool(flags.allow_tf32)
    except RuntimeError:  # the program has set a precision by the names of newer versions of torch
        return getattr(getattr(flags, "conv", flags), "fp32_precision", None) == "tf32"


class KernelRunnable:
    """Replays a captured graph of `copies` inferences; it is a `Runnable`.

    There is one graph for all input buffers. With one graph for each, the untimed runs before a sample warmed up other
    graphs than the timed ones: with 420 networks loaded, networks took 13-16 % longer than with 20 (H200).

    Args:
        replay: Replays the graph, whose inferences go through the input buffers in turn.
        copies: Inferences in one replay.
        clock: The stopwatch.
    """

    def __init__(self, replay: Callable[[], None], copies: int, clock: Clock) -> None:
        self._replay, self.copies, self._clock = replay, copies, clock

    def run(self, repeats: int) -> float:
        """Return the seconds of `repeats` inferences: whole replays are timed, and scaled to `repeats`."""
        count = max(1, math.ceil(repeats / self.copies))

        def work() -> None:
            for _ in range(count):
                self._replay()

        return self._clock.seconds(work) * repeats / (count * self.copies)


class HostRunnable:
    """Launches a network eagerly and waits for every inference; it is a `Runnable`.

    Args:
        launches: Launches one inference each, one function for each rotated input buffer.
        clock: The stopwatch.
    """

    def __init__(self, launches: Sequence[Callable[[], None]], clock: Clock) -> None:
        self._launches, self._clock = list(launches), clock
        self._next = 0

    def run(self, repeats: int) -> float:
        """Return the seconds of `repeats` inferences, one after the other."""
        total = 0.0
        with chosen_convolutions():
            for _ in range(repeats):
                total += self._clock.seconds(self._launches[self._next % len(self._launches)])
                self._next += 1
        return total


@contextmanager
def chosen_convolutions() -> Iterator[None]:
    """Let cuDNN's rules choose the algorithm of each convolution, for a while, as torch does by default.

    The rules choose the same algorithm in every process. The other way, `torch.backends.cudnn.benchmark`, times all
    algorithms once in each process, and what it takes for the fastest changes from process to process: the same
    networks took up to 22 % longer in another process, and most of them longer in every process (H200; docs/gpu.md).
    """
    import torch

    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def copies_in_graph(seconds: float, buffers: int) -> int:
    """Return how many inferences of `seconds` a captured graph holds: a multiple of the number of `buffers`."""
    wanted = min(_MOST_COPIES, math.ceil(_GRAPH_SECONDS / max(seconds, 1e-9)))
    return buffers * max(1, math.ceil(wanted / buffers))


def rotated_buffers(input_bytes: int, cache_bytes: int) -> int:
    """Return how many input buffers are rotated: enough to exceed the cache twice, but at most eight."""
    return max(1, min(_MOST_BUFFERS, math.ceil(2 * cache_bytes / max(1, input_bytes))))


class CudaBackend(Backend):
    """PyTorch on one NVIDIA GPU.

    Args:
        index: Index of the GPU.
        mode: ``"kernel"`` or ``"host"``.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        channels_last: Memory format of activations and weights.
        batch: Images of one inference.
        image_channels: Channels of the images.

    Raises:
        DeviceUnavailableError: The GPU does not exist, or torch cannot use it.
    """

    fusion: Fusion = CONVOLUTION_FUSION
    protocols: ClassVar[Mapping[CudaProtocol, str]] = {"host": "cuda-marginal-q10-v3", "kernel": "cuda-marginal-q10-v4"}

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
                f"device cuda:{index} is not available; torch sees {torch.cuda.device_count()} GPUs"
            )
        self._torch, self.index, self.mode = torch, index, mode
        self.protocol = self.protocols[mode]
        self.times_one_inference = mode == "host"  # a replayed graph holds up to 64 inferences
        self.dtype, self.channels_last = dtype, channels_last
        self.element_bytes = 4 if dtype == "float32" else 2
        self.batch, self.image_channels = batch, image_channels
        self._device = torch.device("cuda", index)
        self._clock: Clock = EventClock(index)
        self._keeper: Any = None
        self._stream: Any = None
        self._buffers: WeakValueDictionary[tuple[Shape, ...], _Buffers] = WeakValueDictionary()
        self._uuid = str(torch.cuda.get_device_properties(index).uuid)
        self._watch = GpuWatch(self._uuid)

    def identity(self) -> dict[str, object]:
        """Return the stable facts of GPU, runtime and settings."""
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
            "tf32": _allows_tf32(torch.backends.cudnn),
            **({"tf32_products": True} if _allows_tf32(torch.backends.cuda.matmul) else {}),
            "mode": self.mode,
            "channels_last": self.channels_last,
            "batch": self.batch,
            "dtype": self.dtype,
            "protocol": self.protocol,
        }

    def environment(self) -> dict[str, object]:
        """Return the volatile facts of the machine and the GPU."""
        return {**cpu_environment(), **self._watch.facts()}

    def energy_counter(self) -> NvmlCounter:
        """Open the energy counter of the GPU."""
        return NvmlCounter(self._uuid)

    def warnings(self) -> list[str]:
        """Return what NVML saw while measuring: throttling, changing clocks, other processes."""
        return self._watch.warnings()

    def load(
        self, graph: OpGraph, *, seed: int = 0, tied: Collection[Op] = (), cold: bool = False
    ) -> KernelRunnable | HostRunnable:
        """Make a graph runnable with random weights; its inputs rotate beyond the caches whether `cold` or not."""
        return self._runnable(graph, random_weights(graph, seed, tied))

    def load_trained(
        self, graph: OpGraph, weights: Mapping[str, FloatArray], path: str
    ) -> KernelRunnable | HostRunnable:
        """Make a trained network runnable; `path` is not read, because torch does not execute ONNX files."""
        return self._runnable(graph, weights)

    def _runnable(self, graph: OpGraph, weights: Mapping[str, FloatArray]) -> KernelRunnable | HostRunnable:
        """Make a network runnable in the backend's mode.

        Raises:
            UnsupportedGraphError: Torch cannot execute it, or the GPU's memory is too small.
        """
        torch = self._torch
        try:
            self._watch.look()
            module = self._module(graph, weights)
            inputs = self._inputs(graph)
            with torch.cuda.device(self.index), torch.inference_mode(), chosen_convolutions():
                launches = [self._launcher(module, inputs, number) for number in range(len(inputs))]
                for _ in range(3):  # the first run loads the kernels
                    launches[0]()
                torch.cuda.synchronize()
                if self.mode == "host":
                    return HostRunnable(launches, self._clock)
                single = self._captured(module, inputs[:1], 1)
                copies = copies_in_graph(min(self._clock.seconds(single) for _ in range(3)), len(inputs))
                replay = self._captured(module, inputs, copies)
        except torch.OutOfMemoryError:
            raise DeviceMemoryError("the GPU has too little memory for the graph at this batch size") from None
        except OperatorError as error:
            raise UnsupportedGraphError(str(error)) from None
        except RuntimeError as error:
            raise UnsupportedGraphError(f"torch cannot execute the graph: {first_line(error)}") from None
        return KernelRunnable(replay, copies, self._clock)

    def _module(self, graph: OpGraph, weights: Mapping[str, FloatArray]) -> torch.nn.Module:
        """Make the network as it is delivered, with batch norms folded into their convolutions."""
        from profilers._torch import GraphModule

        live = graph.without_dead_code()
        module: Any = GraphModule(folded_graph(live), folded_weights(live, weights)).eval()
        module = module.to(device=self._device, dtype=getattr(self._torch, self.dtype))
        if self.channels_last:
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.data = self._channels_last(tensor.data)
        network: torch.nn.Module = module
        return network

    def _channels_last(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor with its channels last in memory, where torch has such a format: two and three axes."""
        formats = {4: self._torch.channels_last, 5: self._torch.channels_last_3d}
        memory_format = formats.get(tensor.dim())
        return tensor if memory_format is None else tensor.to(memory_format=memory_format)

    def _inputs(self, graph: OpGraph) -> list[Inputs]:
        """Return random values of the network's inputs, one tuple for each rotated buffer.

        Loaded graphs whose inputs have equal shapes share them: nothing writes to them.
        """
        shapes = tuple(shape for _, shape in graph.inputs)
        if (shared := self._buffers.get(shapes)) is None:
            self._buffers[shapes] = shared = self._drawn_inputs(graph)
        return shared

    def _drawn_inputs(self, graph: OpGraph) -> _Buffers:
        torch = self._torch
        properties = torch.cuda.get_device_properties(self.index)
        wide = getattr(torch, self.dtype)
        elements = self.batch * sum(math.prod(shape) for _, shape in graph.inputs)
        count = rotated_buffers(elements * wide.itemsize, int(properties.L2_cache_size))
        rng = np.random.default_rng(0)
        columns = []
        for _, shape in graph.inputs:
            values = rng.standard_normal((count, self.batch, *shape), dtype=np.float32)
            tensors = [torch.from_numpy(value).to(device=self._device, dtype=wide) for value in values]
            columns.append([self._channels_last(x) for x in tensors] if self.channels_last else tensors)
        return _Buffers(zip(*columns, strict=True))

    def _launcher(self, module: torch.nn.Module, inputs: Sequence[Inputs], number: int) -> Callable[[], None]:
        """Return a function that launches one inference of a rotated buffer."""
        torch = self._torch

        def launch() -> None:
            with torch.inference_mode():
                module(*inputs[number])

        return launch

    def _captured(self, module: torch.nn.Module, inputs: Sequence[Inputs], copies: int) -> Callable[[], None]:
        """Capture a CUDA graph of several inferences; return its replay.

        All graphs share one pool of memory, because only one runs at a time. A captured graph holds addresses instead
        of references, so the replay keeps the weights and the inputs alive.
        """
        torch = self._torch
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool(), stream=self._capturing()):
            for i in range(copies):
                module(*inputs[i % len(inputs)])

        def replay(kept: object = (module, inputs)) -> None:
            graph.replay()

        return replay

    def _capturing(self) -> Any:
        """Return the stream that graphs are captured on; torch's own one is that of the first GPU of the process."""
        if self._stream is None:
            stream: Any = self._torch.cuda.Stream
            self._stream = stream(self._device)
        return self._stream

    def _pool(self) -> Any:
        """Return the memory pool of all captured graphs.

        A graph that is never freed keeps it: torch refuses to capture into a pool all of whose graphs are gone, as
        those of a pass are before the next one.
        """
        torch = self._torch
        if self._keeper is None:
            keeper = torch.cuda.CUDAGraph()
            with torch.cuda.graph(keeper, stream=self._capturing()):
                torch.zeros(1, device=self._device)
            self._keeper = keeper
        return self._keeper.pool()
