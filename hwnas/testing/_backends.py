"""What every back end must keep: stated facts, and seconds of as many executions as were asked for."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np

from hwnas.testing._require import errors_as_faults, require, require_json
from latency_tables import INPUT, GraphBuilder, OpGraph, write_atomic
from profilers import Backend, EnergyUnavailableError, build_onnx, ops, random_weights

_REPEATS = 50
_LEAST_GAIN = 5
"""`_REPEATS` executions take at least so many times as long as one, even where the first one is slow."""
_ROUNDS = 5


def check_backend(backend: Backend, *graphs: OpGraph) -> None:
    """Check a back end; it executes a few small networks.

    Its identity must be JSON-able and the same each time, its runnables must give the seconds of all repeats together,
    and what it states of itself must have the right types.

    Args:
        backend: The back end.
        *graphs: Networks to execute; by default a small convolutional one.

    Raises:
        AssertionError: The back end breaks the contract.
    """
    name = type(backend).__name__
    require(Backend in type(backend).__mro__, f"{name}: a back end must be a subclass of profilers.Backend")
    with errors_as_faults():
        _check_facts(backend, name)
        for graph in graphs or (_network(backend.image_channels),):
            _check_times(backend, name, graph)
        _check_extras(backend, name, (graphs or (_network(backend.image_channels),))[0])


def _network(image_channels: int) -> OpGraph:
    builder = GraphBuilder((image_channels, 8, 8))
    x = builder.add("stem", ops.conv(builder.input_shape, 8, 3, act="relu"), INPUT)
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), 4), x))


def _check_facts(backend: Backend, name: str) -> None:
    identity = backend.identity()
    require_json(identity, f"{name}: its identity")
    device = identity.get("device")
    require(isinstance(device, str) and device, f"{name}: identity must name the device under 'device', got {device!r}")
    require(backend.identity() == identity, f"{name}: identity must give the same facts each time")
    require_json(backend.environment(), f"{name}: its environment")
    for fact, least in (("batch", 1), ("image_channels", 1), ("element_bytes", 1), ("fast_cache_bytes", 0)):
        value = getattr(backend, fact)
        require(type(value) is int and value >= least, f"{name}: {fact} must be {least} or more, got {value!r}")
    lines = backend.warnings()
    require(_are_lines(lines), f"{name}: warnings must be a list of lines, got {lines!r}")


def _are_lines(texts: object) -> bool:
    return isinstance(texts, list | tuple) and all(isinstance(text, str) and "\n" not in text for text in texts)


def _check_times(backend: Backend, name: str, graph: OpGraph) -> None:
    tied = tuple(graph.op_counts)
    for options in ({}, {"seed": 1, "tied": tied}, *([{"cold": True}] if backend.fast_cache_bytes else [])):
        runnable = backend.load(graph, **options)  # type: ignore[arg-type]
        runnable.run(3)
        seconds = [[float(runnable.run(n)) for n in (1, _REPEATS)] for _ in range(_ROUNDS)]
        for value in np.ravel(seconds):
            positive = math.isfinite(value) and value > 0
            require(positive, f"{name}: run must return seconds, a finite number above 0, got {value!r}")
        once, often = np.min(seconds, axis=0)
        require(
            often > _LEAST_GAIN * once,
            f"{name}: run must return the seconds of all repeats together, got {once:.3g} s for 1 and {often:.3g} s "
            f"for {_REPEATS}",
        )


def _check_extras(backend: Backend, name: str, graph: OpGraph) -> None:
    notes = backend.execution_notes({"network": graph})
    require(_are_lines(notes), f"{name}: execution_notes must be a list of lines, got {notes!r}")
    weights = random_weights(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_atomic(path, build_onnx(graph, weights, batch=backend.batch).SerializeToString())
        seconds = backend.load_trained(graph, weights, str(path)).run(1)
        require(math.isfinite(seconds) and seconds > 0, f"{name}: a trained network must take time, got {seconds!r} s")
        held = backend.arena_bytes([path])
    right = len(held) == 1 and (held[0] is None or held[0] >= 0)
    require(right, f"{name}: arena_bytes must give bytes or None for each file, got {held!r}")
    try:
        counter = backend.energy_counter()
    except EnergyUnavailableError:
        return
    before = counter.read_mj()
    require(math.isfinite(before) and counter.read_mj() >= before, f"{name}: the energy counter must never fall")
