"""`ReadModel`: what the reader makes of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latency_tables import Op, OpGraph
from profilers._executed import executed_graph
from profilers._operators._base import FloatArray

if TYPE_CHECKING:
    import numpy as np
    import onnx


@dataclass(frozen=True)
class ReadModel:
    """A file as an op graph with its weights.

    Attributes:
        graph: The network, before `executed_graph`; its only input is called ``input``, several have the names that
            `input_names` lists.
        weights: Weights by ``"node.parameter"``, as `graph_parameters` lists them.
        generic: ``(node, op type, reason)`` for each op that no operator of the registry computes: it can be measured
            but not trained.
        input_names: Names of the file's inputs, in the graph's order.
        output_names: Names of the file's outputs, in the graph's order.
        batch: The batch size that the file was read for.
        opset: Version of ONNX's operator set in the file.
        sha256: Of the file, in one piece if it has external data, in hexadecimal digits.
    """

    graph: OpGraph
    weights: dict[str, FloatArray]
    generic: tuple[tuple[str, str, str], ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    batch: int
    opset: int
    sha256: str

    def build(self) -> onnx.ModelProto:
        """Write the network as an ONNX model again, with the file's names of the outputs.

        An output that is called like an input of the op graph gets ``_output`` behind its name.
        """
        from profilers._onnx import build_onnx

        inputs = {name for name, _ in self.graph.inputs}
        names = [f"{name}_output" if name in inputs else name for name in self.output_names]
        return build_onnx(self.graph, self.weights, batch=self.batch, output_names=names)

    def workload(self, name: str) -> ModelWorkload:
        """Return the workload that a profile measures to price this network.

        Args:
            name: One word of letters, digits and ``. _ -``.
        """
        return ModelWorkload(name, self)


@dataclass(frozen=True)
class ModelWorkload:
    """One network that was read from a file, as a workload: a profile prices its ops.

    Attributes:
        name: One word of letters, digits and ``. _ -``.
        model: The network.
    """

    name: str
    model: ReadModel

    @property
    def settings(self) -> Mapping[str, object]:
        """The digest of the file, which tells it from others of this name."""
        return {"sha256": self.model.sha256, "batch": self.model.batch}

    def ops(self) -> list[Op]:
        """Return every distinct op of the network, as it is executed."""
        return list(executed_graph(self.model.graph).op_counts)

    def draw(self, rng: np.random.Generator) -> Iterator[tuple[str, OpGraph]]:
        """Return the network, once."""
        yield self.name, self.model.graph
