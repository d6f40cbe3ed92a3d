"""Explaining a model: read, cut into windows, measure, and tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from profilers._errors import UnsupportedGraphError
from profilers._explain import _facts as facts
from profilers._explain._branches import inline_branches
from profilers._explain._combined import window_prices
from profilers._explain._events import Events, measure_events
from profilers._explain._explanation import ExplainedNode, Explanation
from profilers._explain._file import fix_shapes, lists_constants
from profilers._explain._graph import ExecutedGraph
from profilers._explain._machine import BEST_MACS, COPIED_BYTES, best_session, copy_session
from profilers._explain._prices import SECONDS, Opener, Price, Times, measure, with_interval
from profilers._explain._reuse import Known, known_prices, reused_note, speed_of, to_check
from profilers._explain._sessions import Store
from profilers._explain._trace import Trace
from profilers._explain._values import Array, Values, draw_inputs, run_exposed
from profilers._explain._windows import GENERATIONS, Part, Window, Windows
from profilers._fingerprint import cpu_identity
from profilers._onnxruntime import runtime_identity
from profilers._read._file import load_with_digest
from profilers._session import PROVIDER, ModelSession, optimised_model, runtime_version

PROTOCOL = "onnxruntime-windows-events-q10-v4"
"""How prices are taken, with its version."""
_WHOLE, _AGAIN, _INLINED, _BEST, _COPY = "whole", "whole again", "without branches", "best", "copy"
_LISTED = "constants listed as inputs"
_MANY_STARTS = 9
_EVENTS_SHARE = 0.3
"""Seconds of the profiler's runs, relative to those of the rounds."""


@dataclass(frozen=True)
class _Prepared:
    """A model that is ready to be measured.

    Attributes:
        content: What is measured as the whole network.
        listed: The network with its constants among the inputs, as the file lists them; None where it lists none.
        branches: Whether it chooses branches.
        inputs: Values of its inputs.
        graph: What ONNX Runtime executes.
        trace: Where its nodes come from.
        values: Values of all tensors.
        store: The tensors as sessions take them.
        windows: Cuts out what is measured.
    """

    content: bytes
    listed: bytes | None
    branches: bool
    inputs: Mapping[str, Array]
    graph: ExecutedGraph
    trace: Trace
    values: Values
    store: Store
    windows: Windows

    @property
    def tensors(self) -> dict[str, Any]:
        """The inputs as ONNX Runtime's tensors, by name."""
        return {name: self.store.tensor(name) for name in self.inputs}


def explain_model(
    model: bytes | str | Path,
    *,
    name: str = "",
    threads: int = 1,
    shapes: Mapping[str, Sequence[int]] | None = None,
    numbers: Mapping[str, float] | None = None,
    earlier: Iterable[Explanation] = (),
    generations: int = GENERATIONS,
    seconds: float = SECONDS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Explanation:
    """Measure a model, and what each node costs in it, on this machine's processor.

    Args:
        model: An ONNX file, or its content.
        name: What the model is called; its file's name if empty.
        threads: Threads inside an operator.
        shapes: Shapes of inputs by name, for axes without a number that are not the batch.
        numbers: Numbers to fill inputs with, by name; others are drawn from N(0, 1), or 1 where they are no floats.
        earlier: Explanations whose prices are used again for nodes that stand in the same surroundings.
        generations: How many generations of producers stand before a node in its window.
        seconds: How long the rounds may take, as far as the fewest rounds allow.
        seed: Seeds the order of the measurements.
        progress: Receives lines for people.

    Raises:
        ModelFileError: The file cannot be read, or is too large.
        UnsupportedGraphError: ONNX Runtime cannot execute the model, or an input needs a shape.
        ProfilerError: An earlier explanation is one of another device.
    """
    read, digest = load_with_digest(model)
    prepared = _prepare(read, shapes or {}, numbers or {}, threads, generations)
    identity = {
        **runtime_identity(
            cpu_identity(), runtime_version(), provider=PROVIDER, threads=threads, batch=1, precision="fp32"
        ),
        "protocol": PROTOCOL,
    }
    known = known_prices(earlier, identity)
    windows = [prepared.windows.of(number) for number in range(len(prepared.graph.nodes))]
    again = to_check(known, (window.key for window in windows))
    needed = [window for window in windows if window.key not in known or window.key in again]
    share = _EVENTS_SHARE * seconds / 2
    profile = partial(measure_events, prepared.graph, prepared.tensors, threads=threads, seconds=share)
    progress("timing nodes inside the whole network")
    before = profile()
    times = measure(_openers(prepared, needed, threads), progress, seconds=seconds, seed=seed)
    progress("timing nodes inside the whole network again")
    events = before + profile()
    explanation = _told(prepared, windows, times, events, known)
    called = name or ("model.onnx" if isinstance(model, bytes) else Path(model).name)
    return replace(explanation, model=called, sha256=digest, identity=identity)


def _prepare(
    read: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    numbers: Mapping[str, float],
    threads: int,
    generations: int,
) -> _Prepared:
    file = fix_shapes(read, shapes)
    inputs = draw_inputs(file, numbers)
    branches = any(node.op_type == "If" for node in file.graph.node)
    if branches:  # a branch that these inputs do not take may contradict their shapes
        file = fix_shapes(inline_branches(read, inputs, threads=threads), shapes)
    static = file.SerializeToString()
    content = read.SerializeToString() if branches else static
    graph = ExecutedGraph(onnx.load_model_from_string(optimised_model(static)))
    if not graph.nodes:
        raise UnsupportedGraphError("the model computes nothing that depends on its inputs")
    written = [name for node in graph.nodes for name in node.writes]
    values = run_exposed(graph.model, inputs, written, optimise=False, threads=threads)
    values.update(inputs)
    store = Store(graph, values)
    listed = fix_shapes(read, shapes, constants=False).SerializeToString() if lists_constants(read) else None
    windows = Windows(graph, store, generations)
    shapes_run = {name: facts.shape_of(values, name) for name, value in values.items() if value is not None}
    return _Prepared(content, listed, branches, inputs, graph, Trace(file, graph, shapes_run), values, store, windows)


def _openers(prepared: _Prepared, windows: Sequence[Window], threads: int) -> dict[str, Opener]:
    """Return what opens each session, by the digests of parts and the names of everything else."""
    parts = {part.key: part for window in windows for part in (window.whole, window.rest)}
    parts |= {part.key: part for part in (_start(1), _start(_MANY_STARTS))}
    openers: dict[str, Opener] = {
        key: partial(prepared.windows.session, part, threads=threads) for key, part in parts.items()
    }
    tensors = prepared.tensors
    for name in (_WHOLE, _AGAIN):
        openers[name] = partial(ModelSession, prepared.content, tensors, threads=threads)
    if prepared.branches:
        executed = prepared.graph.model.SerializeToString()
        openers[_INLINED] = partial(ModelSession, executed, tensors, threads=threads, level="ORT_DISABLE_ALL")
    if prepared.listed is not None:
        openers[_LISTED] = partial(ModelSession, prepared.listed, tensors, threads=threads)
    openers[_BEST] = partial(best_session, prepared.store, threads=threads)
    openers[_COPY] = partial(copy_session, prepared.store, threads=threads)
    return openers


def _start(count: int) -> Part:
    """Return a part of nothing but `count` nodes that do nothing."""
    return Part((), (), (), count, f"start {count}")


def _told(
    prepared: _Prepared, windows: Sequence[Window], times: Times, events: Events, known: Mapping[str, Known]
) -> Explanation:
    """Return the explanation that the times tell."""
    total, low, high = with_interval(
        (times.ms[_WHOLE] + times.ms[_AGAIN]) / 2, (times.draws[_WHOLE] + times.draws[_AGAIN]) / 2
    )
    without_nodes = _session_rows(prepared, times)
    start = without_nodes[0].ms
    nodes_ms = total - sum(row.ms for row in without_nodes)
    timed = events.in_network(nodes_ms, start, float(np.std(times.draws[_WHOLE] + times.draws[_AGAIN])) / 2)
    measured = window_prices([node.name for node in prepared.graph.nodes], windows, times, timed)
    speed = speed_of(known, {key: price[0] for key, price in measured.items() if key in known})
    prices = {key: (known[key].ms * speed, known[key].low_ms * speed, known[key].high_ms * speed) for key in known}
    prices |= measured
    nodes = _rows(prepared, windows, prices)
    best = max([BEST_MACS / times.ms[_BEST] / 1e6, *(row.gmacs_per_s for row in nodes if row.has_speed(total))])
    rows = [*without_nodes, *_with_reasons(prepared, nodes, times, best)]
    live = facts.live_bytes(prepared.graph, prepared.values)
    reused = sum(window.key not in measured for window in windows)
    return Explanation(
        model="",
        sha256="",
        identity={},
        total_ms=total,
        total_low_ms=low,
        total_high_ms=high,
        rows=tuple(rows),
        unexplained_ms=total - sum(row.ms for row in rows),
        noise_floor=abs(times.median_ms[_WHOLE] / times.median_ms[_AGAIN] - 1.0),
        best_gmacs_per_s=best,
        live_bytes=(*[0] * (len(rows) - len(live)), *live),
        rounds=times.rounds,
        notes=(*_listed_note(times), *([reused_note(rows, reused, speed)] if reused else [])),
    )


def _listed_note(times: Times) -> Sequence[str]:
    """Return the line that says what it costs that constants are listed as inputs."""
    if _LISTED not in times.ms:
        return ()
    return (
        "the file lists constants, such as weights, as inputs, so ONNX Runtime may not fold or prepare them: as it is, "
        f"the network takes {times.ms[_LISTED]:.3g} ms. The total and the rows are those with the constants removed "
        "from the list of inputs",
    )


def _session_rows(prepared: _Prepared, times: Times) -> list[ExplainedNode]:
    """Return the rows that belong to no executed node: starting an inference, and choosing branches."""
    one = _start(1).key
    each, _, _ = _each_start(times)
    value, low, high = times.of(one)
    rows = [_row("session", "session", (value - each, low - each, high - each))]
    if prepared.branches:
        rows.append(_row("branches", "If", times.difference(_WHOLE, _INLINED)))
    return rows


def _each_start(times: Times) -> tuple[float, float, float]:
    """Return what starting one node costs that does nothing, with its interval, in milliseconds."""
    value, low, high = times.difference(_start(_MANY_STARTS).key, _start(1).key)
    return value / (_MANY_STARTS - 1), low / (_MANY_STARTS - 1), high / (_MANY_STARTS - 1)


def _row(name: str, op: str, price: Price, **more: Any) -> ExplainedNode:
    stated: dict[str, Any] = {"block": "", "fused": (), "inputs": (), "output": (), "macs": 0}
    stated |= {"read_bytes": 0, "written_bytes": 0, "working_set_bytes": 0, **more}
    return ExplainedNode(node=name, op=op, ms=price[0], low_ms=price[1], high_ms=price[2], **stated)


def _rows(prepared: _Prepared, windows: Sequence[Window], prices: Mapping[str, Price]) -> list[ExplainedNode]:
    """Return one row for each executed node, without reasons."""
    graph, values, trace = prepared.graph, prepared.values, prepared.trace
    contained = [trace.nodes_of(number) for number in range(len(graph.nodes))]
    blocks = facts.blocks(graph, [nodes[-1].name if nodes else "" for nodes in contained])
    rows = []
    for number, node in enumerate(graph.nodes):
        read = facts.read_bytes(graph, values, node)
        written = sum(facts.bytes_of(values, name) for name in node.writes)
        more = {
            "block": blocks[number],
            "fused": tuple(proto.name or (proto.output[0] if proto.output else "") for proto in contained[number]),
            "inputs": tuple(facts.shape_of(values, name) for name in node.reads),
            "output": facts.shape_of(values, node.writes[0]) if node.writes else (),
            "macs": trace.macs(number),
            "read_bytes": read,
            "written_bytes": written,
            "working_set_bytes": read + written,
            "window": windows[number].key,
        }
        rows.append(_row(node.name, facts.op_text(node), prices[windows[number].key], **more))
    return rows


def _with_reasons(prepared: _Prepared, rows: Sequence[ExplainedNode], times: Times, best: float) -> list[ExplainedNode]:
    """Return the rows of executed nodes with the reasons why they are slower than the device's best."""
    start, bandwidth = _each_start(times)[0], COPIED_BYTES / times.ms[_COPY]
    explained = []
    for number, row in enumerate(rows):
        ms = max(row.ms, 1e-9)
        reasons = facts.reasons_of(
            prepared.graph,
            prepared.trace,
            number,
            ms=row.ms,
            start_ms=start,
            gmacs_share=row.macs / ms / 1e6 / best,
            bandwidth_share=row.working_set_bytes / ms / bandwidth,
        )
        explained.append(replace(row, reasons=reasons))
    return explained
