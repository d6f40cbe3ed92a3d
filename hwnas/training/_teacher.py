"""`Teacher`: a trained network with fixed weights that others learn from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hwnas.tasks import Shape, Task
from hwnas.training._checkpoint import content_digest
from hwnas.training._precision import Computing
from hwnas.training._subnet import Subnet
from profilers import trained_graph


@dataclass(frozen=True)
class Teacher:
    """A network that others learn from; its weights stay as they are.

    Attributes:
        network: Inputs ``(N, *input_shape)`` to outputs ``(N, ...)``, in evaluation mode.
        digest: Differs between teachers; trainings with another teacher are others.
        input_shape: Shape of one sample as it reads it; None where it reads what the network that learns reads.
    """

    network: Callable[[Tensor], Tensor]
    digest: str
    input_shape: Shape | None = None

    @classmethod
    def of(cls, network: Subnet) -> Teacher:
        """Return a network with fixed weights as a teacher."""
        graph = trained_graph(network.graph)
        network = Subnet(graph, network.weights)
        nodes = [(node.name, node.op.key, list(node.inputs)) for node in graph.nodes]
        return cls(network, content_digest([nodes, dict(sorted(network.weights.items()))]), graph.input_shape)

    def to(self, device: str) -> Teacher:
        """Return it on a device, where it is a `Subnet`; any other network is left where it is."""
        if not isinstance(self.network, Subnet):
            return self
        weights = {name: tensor.to(device) for name, tensor in self.network.weights.items()}
        return replace(self, network=Subnet(self.network.graph, weights))

    def outputs(self, x: Tensor, task: Task, context: Computing = nullcontext) -> tuple[Tensor, ...]:
        """Return its outputs for a batch of a training, without gradients.

        Args:
            x: Inputs ``(N, ...)`` at the teacher's own shape or another one (see `shape_to_load`).
            task: Brings them to the teacher's own shape.
            context: What the training computes in.
        """
        shape = tuple(x.shape[1:]) if self.input_shape is None else self.input_shape
        with torch.no_grad(), context():
            return (self.network(task.at_shape(x, shape)).float(),)


def shapes_of(teacher: Teacher | None) -> list[Shape]:
    """Return the shape of the inputs that a teacher reads, in a list; none where there is none, or none of its own."""
    return [] if teacher is None or teacher.input_shape is None else [teacher.input_shape]
