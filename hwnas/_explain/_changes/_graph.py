"""ONNX graphs to be rewritten: simplified, with constants and shapes at hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from profilers import optimised_model


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model after ONNX Runtime's basic optimisations, which keep to ONNX's own operators.

    Args:
        model: A model with static inputs, as `profilers.fix_shapes` returns it.

    Raises:
        UnsupportedGraphError: ONNX Runtime cannot execute the model.
    """
    result = onnx.load_model_from_string(optimised_model(model.SerializeToString(), level="ORT_ENABLE_BASIC"))
    for node in result.graph.node:
        node.name = node.name or node.output[0]
    return result


def with_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """Return the model in an opset of at least that version."""
    own = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return model if own >= least else onnx.version_converter.convert_version(model, least)


class Net:
    """A copy of a simplified graph.

    Args:
        model: The model.

    Attributes:
        model: The copy.
        constants: Values of its initialisers, by name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.constants: dict[str, npt.NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer
        }

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes in topological order."""
        return list(self.model.graph.node)

    @property
    def has_subgraphs(self) -> bool:
        """Whether a node holds a graph of its own, which may read any tensor."""
        kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
        return any(attribute.type in kinds for node in self.nodes for attribute in node.attribute)

    @property
    def outputs(self) -> set[str]:
        """Names of the graph's outputs."""
        return {info.name for info in self.model.graph.output}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of tensors, by name; those that are not known are absent."""
        inferred = onnx.shape_inference.infer_shapes(self.model)
        known: dict[str, tuple[int, ...]] = {name: tuple(value.shape) for name, value in self.constants.items()}
        for info in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
            dims = info.type.tensor_type.shape.dim
            if info.type.tensor_type.HasField("shape") and all(dim.dim_value > 0 for dim in dims):
                known[info.name] = tuple(dim.dim_value for dim in dims)
        return known

    @cached_property
    def readers(self) -> dict[str, list[int]]:
        """Numbers of the nodes that read each tensor."""
        result: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for name in node.input:
                result.setdefault(name, []).append(number)
        return result

    def read(self, node: onnx.NodeProto) -> Iterator[str]:
        """Yield the tensors that a node reads, constants left out."""
        return (name for name in node.input if name and name not in self.constants)

    def replace_constant(self, node: onnx.NodeProto, place: int, value: npt.NDArray[Any]) -> None:
        """Give a node another constant; other readers of the old one keep it."""
        name = f"{node.name}/{place}/changed"
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        node.input[place] = name

    def finished(self) -> bytes:
        """Return the model, serialised, without initialisers that no node reads and without stale shapes."""
        graph = self.model.graph
        used = {name for node in graph.node for name in node.input} | self.outputs
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        del graph.value_info[:]
        return bytes(self.model.SerializeToString())


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute."""
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Give a node's attribute another value."""
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
