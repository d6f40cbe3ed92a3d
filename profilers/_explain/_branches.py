"""Branches: an If becomes the nodes of the branch that the inputs take, so that these have prices of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from profilers._errors import UnsupportedGraphError
from profilers._explain._graph import subgraphs
from profilers._explain._values import Array, run_exposed

_MOST = 16
"""Most levels of branches inside branches."""


def inline_branches(model: onnx.ModelProto, inputs: Mapping[str, Array], *, threads: int) -> onnx.ModelProto:
    """Return the model without If nodes: each is replaced by the branch that these inputs take.

    Args:
        model: The model.
        inputs: Values of its inputs.
        threads: Threads inside an operator.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot run the model with these inputs.
    """
    for _ in range(_MOST):
        choosing = [node for node in model.graph.node if node.op_type == "If"]
        if not choosing:
            return model
        for node in choosing:
            if not node.input or not {"then_branch", "else_branch"} <= {each.name for each in node.attribute}:
                raise UnsupportedGraphError(f"node {node.name!r} (If) lacks its condition or a branch")
        conditions = [node.input[0] for node in choosing]
        stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in conditions}
        known = {**stored, **inputs}
        asked = [name for name in dict.fromkeys(conditions) if name not in known]
        values: dict[str, Any] = {**known, **run_exposed(model, inputs, asked, optimise=True, threads=threads)}
        model = _inlined(model, {name: bool(np.all(values[name])) for name in conditions})
    return model


def _inlined(model: onnx.ModelProto, taken: Mapping[str, bool]) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for number, node in enumerate(model.graph.node):
        if node.op_type != "If":
            result.graph.node.append(node)
            continue
        wanted = "then_branch" if taken[node.input[0]] else "else_branch"
        branch = onnx.GraphProto()
        branch.CopyFrom(next(attribute.g for attribute in node.attribute if attribute.name == wanted))
        own = [*(tensor.name for tensor in branch.initializer), *(n for inner in branch.node for n in inner.output)]
        names = {name: f"{node.name or 'If'}.{number}/{name}" for name in own if name}
        _rename(branch, names)
        result.graph.initializer.extend(branch.initializer)
        result.graph.node.extend(branch.node)
        for value, output in zip(branch.output, node.output, strict=False):
            if output:
                result.graph.node.append(
                    helper.make_node("Identity", [value.name], [output], f"{output} of {node.name}")
                )
    return result


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Give tensors of a branch their new names, wherever they are read or written."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in graph.output:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in subgraphs(node):
            _rename(inner, names)
