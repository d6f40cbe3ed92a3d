"""The arithmetic around CUDA events on a fake stopwatch; on a GPU, the real thing."""

import contextlib
import gc
import math
import typing
import weakref
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from latency_tables import GraphBuilder, Op, OpGraph
from profilers import (
    DeviceMemoryError,
    GraphModule,
    SamplingSettings,
    Timer,
    UnsupportedGraphError,
    ops,
    random_weights,
)
from profilers._cuda import (
    CudaBackend,
    HostRunnable,
    KernelRunnable,
    _allows_tf32,
    copies_in_graph,
    rotated_buffers,
)
from profilers._folding import folded_graph, folded_weights
from profilers._nvml import GpuWatch
from profilers._operators._generic import pack_body
from profilers._plan import load_plan


class FakeClock:
    """A device on which every launch of a buffer takes its own time."""

    def __init__(self):
        self.now, self.timed = 0.0, 0

    def work(self, seconds, log=None, name=None):
        def launch():
            self.now += seconds
            if log is not None:
                log.append(name)

        return launch

    def seconds(self, work):
        before = self.now
        work()
        self.timed += 1
        return self.now - before


def test_replays_are_charged_by_the_inference():
    clock, log = FakeClock(), []
    runnable = KernelRunnable(clock.work(10e-6 * 8, log), 8, clock)
    assert runnable.run(8) == pytest.approx(80e-6)
    assert runnable.run(20) == pytest.approx(200e-6)  # three replays timed, two and a half charged
    assert len(log) == 4
    assert clock.timed == 2


def test_host_inferences_are_waited_for_one_by_one():
    clock, log = FakeClock(), []
    runnable = HostRunnable([clock.work(1e-3, log, 0), clock.work(3e-3, log, 1)], clock)
    assert runnable.run(3) == pytest.approx(5e-3)
    assert runnable.run(1) == pytest.approx(3e-3)
    assert log == [0, 1, 0, 1]
    assert clock.timed == 4


@pytest.mark.parametrize(
    ("seconds", "buffers", "copies"),
    [(1e-3, 1, 1), (100e-6, 1, 5), (1e-9, 1, 64), (0.0, 1, 64), (1e-3, 8, 8), (30e-6, 8, 24), (1e-9, 3, 66)],
)
def test_short_networks_are_repeated_in_a_graph_that_uses_all_buffers_alike(seconds, buffers, copies):
    assert copies_in_graph(seconds, buffers) == copies


def test_buffers_exceed_the_cache_twice_within_reason():
    assert rotated_buffers(10, 0) == 1
    assert rotated_buffers(10_000_000, 50_000_000) == 8
    assert rotated_buffers(40_000_000, 50_000_000) == 3
    assert rotated_buffers(400_000_000, 50_000_000) == 1


def test_the_sampler_reads_true_times_through_either_protocol():
    clock = FakeClock()
    runnables = {
        "kernel": KernelRunnable(clock.work(4 * 70e-6), 4, clock),
        "host": HostRunnable([clock.work(400e-6)], clock),
    }
    samples = Timer(runnables, SamplingSettings(min_rounds=3, max_rounds=3)).run()
    assert samples["kernel"].quantile() == pytest.approx(70e-6)
    assert samples["host"].quantile() == pytest.approx(400e-6)


def network():
    builder = GraphBuilder((3, 16, 16))
    x = builder.add("stem", ops.conv((3, 16, 16), 8, 3, act="hswish"), "input")
    block = ops.inverted_residual((8, 16, 16), 8, kernel=3, stride=1, hidden=16, squeeze=8, act="relu")
    x = builder.add("block", block, x)
    return builder.build(builder.add("head", ops.head((8, 16, 16), 5, hidden=16, features=0), x))


def test_the_folded_network_computes_the_same():
    import torch

    graph = network()
    weights = random_weights(graph, 3)
    rng = np.random.default_rng(0)
    for name in weights:  # batch norms that do something
        if name.rsplit(".", 1)[1] in ("mean", "beta"):
            weights[name] = rng.normal(0, 0.5, weights[name].shape).astype(np.float32)
        if name.rsplit(".", 1)[1] in ("variance", "gamma"):
            weights[name] = rng.uniform(0.5, 2, weights[name].shape).astype(np.float32)
    x = torch.from_numpy(rng.standard_normal((2, 3, 16, 16), dtype=np.float32))
    whole = GraphModule(graph, weights).eval()
    folded = GraphModule(folded_graph(graph), folded_weights(graph, weights)).eval()
    assert not any("variance" in name for name in folded.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(folded(x), whole(x), rtol=1e-4, atol=1e-4)


class FakeNvml:
    """As much of NVML as is read."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVMLError = 0, 1, RuntimeError
    nvmlClocksThrottleReasonSwPowerCap, nvmlClocksThrottleReasonSwThermalSlowdown = 4, 32

    def __init__(self, clocks, mask=0, pids=()):
        self.clocks, self.mask, self.pids = list(clocks), mask, pids

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        assert uuid == b"GPU-7"
        return 1

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self.clocks.pop(0) if kind == 0 else 900

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self.mask

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlSystemGetDriverVersion(self):
        return b"550.1"


def watched(**options):
    watch = GpuWatch("7", FakeNvml(**options))
    for _ in range(4):
        watch.look()
    return watch


def test_a_quiet_gpu_gives_no_warning():
    watch = watched(clocks=[300, 1500, 1500, 1500, 1500])
    assert watch.warnings() == []
    assert watch.facts() == {"driver": "550.1", "sm_mhz": 1500, "memory_mhz": 900, "other_processes": 0}


def test_throttling_moving_clocks_and_other_users_are_told():
    lines = watched(clocks=[1500, 1500, 900, 1500], mask=36, pids=(1, 2)).warnings()
    assert lines[0].startswith("heat, the power limit throttled the GPU's clocks at 100% of the checks")
    assert lines[1] == "the GPU's clock changed between 900 and 1500 MHz while measuring"
    assert lines[2].startswith("other processes used the GPU")


def test_without_nvml_that_is_said():
    watch = GpuWatch("7", SimpleNamespace())
    watch.look()
    assert watch.facts() == {"nvml": None}
    assert watch.warnings() == [
        "NVML is not available, so the GPU's clocks and other processes were not watched; run: pip install nvidia-ml-py"
    ]


class Held:
    """A module that notes what it is called with, or a tensor."""

    def __init__(self):
        self.seen = []

    def __call__(self, x):
        self.seen.append(id(x))


def test_a_captured_graph_keeps_the_memory_that_it_reads():
    cuda = SimpleNamespace(
        CUDAGraph=lambda: SimpleNamespace(replay=lambda: None, pool=lambda: 1),
        graph=lambda graph, pool=None, *, stream: streams.append(stream) or contextlib.nullcontext(),
        Stream=lambda device: f"stream of {device}",
    )
    streams = []
    backend = CudaBackend.__new__(CudaBackend)
    backend._torch = SimpleNamespace(cuda=cuda, zeros=lambda *sizes, device: None)
    backend._device, backend._keeper, backend._stream = "cuda:1", None, None
    module, inputs = Held(), [(Held(),), (Held(),)]
    kept = [weakref.ref(held) for held in (module, *(x for (x,) in inputs))]
    replay = backend._captured(module, inputs, 4)
    assert module.seen == [id(x) for (x,) in inputs] * 2
    assert streams == ["stream of cuda:1"] * 2  # the pool's and its own: not that of the first GPU of the process
    del module, inputs
    gc.collect()
    assert all(reference() is not None for reference in kept)
    replay()
    del replay
    gc.collect()
    assert all(reference() is None for reference in kept)


def any_rank():
    """Networks on sound, images, clips and both of two inputs."""
    graphs = {}
    for name, sizes in {"sound": (32,), "image": (8, 8), "clip": (4, 8, 8)}.items():
        builder = GraphBuilder((3, *sizes))
        x = builder.add("stem", ops.conv((3, *sizes), 8, 3, act="relu"), "input")
        x = builder.add("head", ops.head(builder.shape(x), 5, hidden=16, features=8), x)
        graphs[name] = builder.build(x)
    builder = GraphBuilder({"image": (3, 8, 8), "features": (6,)})
    x = builder.add("pool", ops.global_pool((3, 8, 8)), "image")
    x = builder.add("see", ops.linear((3, 1, 1), 4), x)
    both = builder.add("both", ops.concat((4,), (6,)), x, "features")
    graphs["two inputs"] = builder.build(builder.add("classes", ops.linear((10,), 5), both), both)
    return graphs


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", any_rank())
def test_inputs_of_every_rank_are_fed(name, channels_last, monkeypatch):
    """On the CPU: only the properties of the GPU are made up."""
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(L2_cache_size=10_000))
    backend, graph = CudaBackend.__new__(CudaBackend), any_rank()[name]
    backend._torch, backend._device, backend.index, backend.batch = torch, torch.device("cpu"), 0, 2
    backend.dtype, backend.channels_last, backend._buffers = "float32", channels_last, weakref.WeakValueDictionary()
    module, inputs = backend._module(graph, random_weights(graph)), backend._inputs(graph)
    assert [tuple(x.shape) for x in inputs[0]] == [(2, *shape) for _, shape in graph.inputs]
    assert len(inputs) == rotated_buffers(8 * sum(math.prod(shape) for _, shape in graph.inputs), 10_000)
    assert backend._inputs(graph) is inputs  # another graph of such inputs shares them
    for number in range(len(inputs)):
        backend._launcher(module, inputs, number)()
    plain = GraphModule(graph, random_weights(graph)).eval()
    with torch.inference_mode():
        torch.testing.assert_close(module(*inputs[0]), plain(*inputs[0]), rtol=1e-4, atol=1e-4)
    wide = [tensor for tensor in (*module.parameters(), *inputs[0]) if tensor.dim() in (4, 5)]
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if channels_last:
        assert all(tensor.is_contiguous(memory_format=formats[tensor.dim()]) for tensor in wide)


@pytest.mark.parametrize("mode", ["kernel", "host"])
def test_only_eager_inferences_are_timed_one_by_one(monkeypatch, mode):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="GPU-0"))
    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: None)
    monkeypatch.setattr("profilers._cuda.GpuWatch", lambda uuid: None)
    assert CudaBackend(mode=mode).times_one_inference == (mode == "host")
    clock, log = FakeClock(), []
    runnables = {
        "kernel": KernelRunnable(clock.work(64e-6, log), 64, clock),
        "host": HostRunnable([clock.work(1e-6, log)], clock),
    }
    assert runnables[mode].run(1) == pytest.approx(1e-6)
    assert clock.now == pytest.approx(64e-6 if mode == "kernel" else 1e-6)  # what was really timed


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["kernel", "host"])
@pytest.mark.parametrize("name", any_rank())
def test_a_gpu_measures_networks_of_every_rank(mode, name):
    backend = CudaBackend(mode=mode, dtype="float16", batch=4, channels_last=True)
    assert 0 < backend.load(any_rank()[name]).run(20) < 1


@pytest.mark.gpu
def test_graphs_survive_that_memory_goes_back_to_the_gpu():
    import torch

    backend = CudaBackend(mode="kernel")
    runnables = [backend.load(network(), seed=seed) for seed in range(3)]
    gc.collect()
    torch.cuda.empty_cache()
    kept = [torch.full((1 << 20,), math.nan, device="cuda") for _ in range(50)]
    assert all(0 < runnable.run(20) < 1 for runnable in runnables)
    torch.cuda.synchronize()
    assert len(kept) == 50


def test_the_algorithms_of_convolutions_do_not_depend_on_the_process(monkeypatch):
    import torch

    seen = []
    clock = FakeClock()
    runnable = HostRunnable([lambda: seen.append(torch.backends.cudnn.benchmark)], clock)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)  # as a program may want it for its own work
    runnable.run(2)
    assert seen == [False, False]
    assert torch.backends.cudnn.benchmark


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["kernel", "host"])
def test_measuring_leaves_trainings_as_they_were(mode):
    import torch

    CudaBackend(mode=mode).load(network()).run(3)
    assert not torch.backends.cudnn.benchmark


@pytest.mark.gpu
def test_graphs_are_captured_after_all_earlier_ones_are_gone():
    backend = CudaBackend(mode="kernel")
    for seed in range(3):
        runnable = backend.load(network(), seed=seed)
        assert 0 < runnable.run(20) < 1
        del runnable
        gc.collect()


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["kernel", "host"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_gpu_times_more_work_as_longer(mode, dtype):
    backend = CudaBackend(mode=mode, dtype=dtype, batch=32, channels_last=dtype == "float16")
    times = []
    for length in (2, 8):
        builder = GraphBuilder((3, 64, 64))
        x = builder.add("stem", ops.conv((3, 64, 64), 64, 3, act="relu"), "input")
        for i in range(length):
            x = builder.add(f"c{i}", ops.conv((64, 64, 64), 64, 3, act="relu"), x)
        runnable = backend.load(builder.build(x))
        runnable.run(5)
        times.append(min(runnable.run(10) / 10 for _ in range(5)))
    assert 2.0 < times[1] / times[0] < 6.0
    assert math.isfinite(backend.identity()["gpu_memory_bytes"])


def test_memory_that_runs_out_is_told_apart_from_a_graph_that_cannot_be_executed():
    class OutOfMemoryError(RuntimeError):
        pass

    def raising(error):
        raise error

    backend = CudaBackend.__new__(CudaBackend)
    backend._torch = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    for error, kind in ((OutOfMemoryError("CUDA"), DeviceMemoryError), (RuntimeError("no"), UnsupportedGraphError)):
        backend._watch = SimpleNamespace(look=partial(raising, error))
        with pytest.raises(UnsupportedGraphError) as raised:
            backend._runnable(None, {})
        assert type(raised.value) is kind


def test_an_op_that_torch_cannot_compute_is_refused_and_ends_nothing(monkeypatch):
    body = helper.make_graph(
        [helper.make_node("Hardmax", ["x"], ["y"])],
        "body",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    attributes = (("body", pack_body(body)), ("node", "Hardmax"), ("opset", 17))
    backend = object.__new__(CudaBackend)
    backend._torch, backend.index, backend.mode, backend.dtype = torch, 0, "host", "float32"
    backend.channels_last, backend.batch, backend._device = False, 1, torch.device("cpu")
    backend._clock, backend._watch = FakeClock(), SimpleNamespace(look=lambda: None)
    backend._buffers = weakref.WeakValueDictionary()
    monkeypatch.setattr("torch.cuda.device", lambda index: contextlib.nullcontext())
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: SimpleNamespace(L2_cache_size=10))
    with pytest.raises(UnsupportedGraphError, match="no operator computes Hardmax"):
        backend.load(OpGraph.single(Op("onnx", ((4, 4),), (4, 4), attributes)))


@pytest.mark.parametrize(("precision", "allowed"), [("tf32", True), ("ieee", False)])
def test_whether_products_may_be_rounded_is_known_whichever_flags_a_program_has_set(precision, allowed):
    class New:
        """Flags of a torch in which a program has set a precision by the newer names."""

        fp32_precision = precision
        conv = SimpleNamespace(fp32_precision=precision)

        @property
        def allow_tf32(self):
            raise RuntimeError("mixed names")

    assert _allows_tf32(New()) is allowed
    assert _allows_tf32(SimpleNamespace(allow_tf32=allowed)) is allowed


def test_too_little_memory_for_all_graphs_is_no_op_that_is_refused():
    class Large:
        networks: typing.ClassVar = {}

        def load_probes(self, backend, number):
            raise DeviceMemoryError("the GPU has too little memory for the graph at this batch size")

    with pytest.raises(DeviceMemoryError, match="for all graphs of the profile at once; choose a smaller batch"):
        load_plan(Large(), None, [])
