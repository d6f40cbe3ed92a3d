"""What every operator must keep: one computation in torch and in ONNX Runtime, and keys and costs that match it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hwnas.testing._require import errors_as_faults, require, require_close
from latency_tables import INPUT, GraphBuilder, Op, OpGraph
from profilers import (
    GraphModule,
    build_onnx,
    graph_macs,
    graph_parameters,
    graph_params,
    initial_value,
    make_session,
    op_work,
    operator_of,
    parts_of,
)

FloatArray = npt.NDArray[np.float32]
BATCHES = (1, 3)
TOLERANCE = 1e-4


def check_operator(*examples: Op) -> None:
    """Check a registered operator by example ops.

    Each op must have the shape that its operator infers, a key that is read back, as many parameters in torch as it
    counts, and the same outputs in torch and in ONNX Runtime, within 1e-4, at batch sizes 1 and 3.

    Args:
        *examples: At least one op, best one for each rank and each branch of the operator.

    Raises:
        AssertionError: The operator breaks the contract.
    """
    require(examples, "give at least one example op")
    for op in examples:
        with errors_as_faults():
            operator_of(op).check(op)
            _check_keys(op)
            _check_costs(op)
            for batch in BATCHES:
                _check_outputs(op, batch)


def _check_keys(op: Op) -> None:
    for part in (op, *parts_of(op)):
        read = Op.parse(part.key)
        require(read == part and read.key == part.key, f"op {part.key}: its key is read back as {read.key}")


def _check_costs(op: Op) -> None:
    graph = graph_of(op)
    macs, params = graph_macs(graph), graph_params(graph)
    require(type(macs) is int and macs >= 0, f"op {op.key}: its macs must be an integer of 0 or more, got {macs!r}")
    stored = sum(parameter.numel() for parameter in GraphModule(graph).parameters())
    require(stored == params, f"op {op.key}: its torch module has {stored} parameters, its costs say {params}")
    work = op_work(op)[0]
    require(work >= macs, f"op {op.key}: its work {work:g} must be at least its {macs} macs")


def _check_outputs(op: Op, batch: int) -> None:
    graph = graph_of(op)
    weights, inputs = varied_weights(graph), draw_inputs(graph, batch)
    expected = run_torch(GraphModule(graph, weights).eval(), inputs)[0]
    got = run_onnx(build_onnx(graph, weights, batch=batch), inputs)[0]
    for name, array in (("torch", expected), ("ONNX Runtime", got)):
        shape = (batch, *op.output)
        require(array.shape == shape, f"op {op.key}: {name} gives the shape {array.shape}, its output is {shape}")
    require_close(got, expected, TOLERANCE, f"op {op.key} at batch {batch}: torch and ONNX Runtime do not agree")


def graph_of(op: Op) -> OpGraph:
    """Build a graph of one op; each of its inputs is an input of the graph."""
    names = [f"{INPUT}_{i}" if i else INPUT for i in range(len(op.inputs))]
    builder = GraphBuilder(dict(zip(names, op.inputs, strict=True)))
    return builder.build(builder.add("op", op, *names))


def varied_weights(graph: OpGraph, seed: int = 1) -> dict[str, FloatArray]:
    """Draw weights that show a wrong fold: no scale is one, no bias or mean is zero."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, parameter in graph_parameters(graph):
        weights[name] = initial_value(parameter, rng)
        if parameter.init != "he":
            weights[name] += rng.uniform(-0.5, 0.5, parameter.shape).astype(np.float32)
    return weights


def draw_inputs(graph: OpGraph, batch: int) -> dict[str, FloatArray]:
    """Draw normal inputs ``(batch, *shape)`` of a graph, by name."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((batch, *shape), dtype=np.float32) for name, shape in graph.inputs}


def run_torch(module: nn.Module, inputs: Mapping[str, FloatArray]) -> Sequence[FloatArray]:
    """Run a torch module; returns all outputs."""
    with torch.no_grad():
        result = module(*map(torch.from_numpy, inputs.values()))
    return [y.numpy() for y in (result if isinstance(result, tuple) else (result,))]


def run_onnx(model: Any, inputs: Mapping[str, FloatArray]) -> Sequence[FloatArray]:
    """Run an ONNX model in ONNX Runtime, on one thread; returns all outputs."""
    outputs: Sequence[FloatArray] = make_session(model.SerializeToString(), threads=1).run(None, dict(inputs))
    return outputs
