"""From an op graph to torch: one interpreter for stand-alone networks and for weight-sharing supernets.

Importing this module imports torch; `profilers` loads it on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from latency_tables import OpGraph
from profilers._errors import OperatorError
from profilers._operators import Parameter, expand, primitive_of, weight_name
from profilers._operators._base import NORM_EPSILON, FloatArray
from profilers._weights import graph_parameters, initial_value

Lookup = Callable[[str, Parameter], Tensor]
"""Returns the tensor for a weight's name and description."""


class RunningNorm:
    """Batch norm with running statistics, as `torch.nn.BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d`.

    Args:
        training: Normalise by the batch and update the statistics; otherwise by the statistics.
        momentum: Weight of the new batch in the running statistics; `None` keeps them as they are
            while training (used by supernets, whose statistics belong to one subnet).
    """

    def __init__(self, training: bool, momentum: float | None = 0.1) -> None:
        self.training = training
        self.momentum = momentum

    def __call__(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Normalise ``(n, c, ...)``.

        Raises:
            OperatorError: While training, there is one value a channel, which has no variance.
        """
        if self.training and x.numel() == x.shape[1]:
            raise OperatorError("a batch norm needs two values or more of each channel; give a batch size of 2 or more")
        keep = self.training and self.momentum is None
        return f.batch_norm(
            x,
            None if keep else parameters["mean"],
            None if keep else parameters["variance"],
            parameters["gamma"],
            parameters["beta"],
            self.training,
            self.momentum or 0.0,
            NORM_EPSILON,
        )


def run_graph(graph: OpGraph, x: Tensor, lookup: Lookup, norm: RunningNorm) -> Tensor:
    """Compute the first output of an *expanded* graph with one input.

    Args:
        graph: A graph of primitive ops (`expand`).
        x: ``(n, *graph.input_shape)``.
        lookup: Returns every weight tensor by name.
        norm: How batch norms behave.

    Returns:
        ``(n, *graph.output_shape)``.
    """
    return run_outputs(graph, (x,), lookup, norm)[0]


def run_outputs(graph: OpGraph, inputs: Sequence[Tensor], lookup: Lookup, norm: RunningNorm) -> tuple[Tensor, ...]:
    """Compute all outputs of an *expanded* graph.

    Args:
        graph: A graph of primitive ops (`expand`).
        inputs: A tensor ``(n, *shape)`` for each of `graph.inputs`.
        lookup: Returns every weight tensor by name.
        norm: How batch norms behave.

    Returns:
        A tensor ``(n, *shape)`` for each of `graph.outputs`.

    Raises:
        OperatorError: There are more or fewer tensors than inputs, or torch cannot compute a node.
    """
    if len(inputs) != len(graph.inputs):
        raise OperatorError(f"the network needs {len(graph.inputs)} inputs, got {len(inputs)}")
    values = dict(zip(graph.input_names, inputs, strict=True))
    for node in graph.nodes:
        operator = primitive_of(node.op)
        weights = {n: lookup(weight_name(node.name, n, p), p) for n, p in operator.parameters(node.op).items()}
        try:
            values[node.name] = operator.forward(node.op, [values[i] for i in node.inputs], weights, norm)
        except OperatorError as error:
            raise OperatorError(f"node {node.name}: {error}") from None
    return tuple(values[name] for name in graph.outputs)


class GraphModule(nn.Module):
    """A stand-alone network that computes an op graph.

    Its state has one tensor for each weight, under the name ``"node.parameter"`` with dots
    written as ``"/"``; `arrays` gives them with their plain names, ready for `build_onnx`.

    Args:
        graph: The network; dead code is removed.
        weights: Starting values by ``"node.parameter"``; He initialisation from `seed` where absent.
        seed: Seed of the initialisation.
    """

    def __init__(self, graph: OpGraph, weights: Mapping[str, FloatArray] | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.graph = graph.without_dead_code()
        self._expanded = expand(self.graph)
        rng = np.random.default_rng(seed)
        for name, parameter in graph_parameters(self.graph):
            array = initial_value(parameter, rng) if weights is None else weights[name]
            tensor = torch.from_numpy(np.array(array, dtype=np.float32))
            if parameter.trainable:
                self.register_parameter(_safe(name), nn.Parameter(tensor))
            else:
                self.register_buffer(_safe(name), tensor)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute the network.

        Args:
            inputs: A tensor ``(n, *shape)`` for each of the graph's inputs.

        Returns:
            A tensor ``(n, *shape)``; a tuple of them where the graph has several outputs.
        """
        outputs = run_outputs(self._expanded, inputs, self._lookup, RunningNorm(self.training))
        return outputs[0] if len(outputs) == 1 else outputs

    def arrays(self) -> dict[str, FloatArray]:
        """Copy all weights and statistics to float32 arrays, by ``"node.parameter"``."""
        state = self.state_dict()
        return {
            name: cast(FloatArray, state[_safe(name)].detach().float().cpu().numpy())
            for name, _ in graph_parameters(self.graph)
        }

    def _lookup(self, name: str, parameter: Parameter) -> Tensor:
        return cast(Tensor, getattr(self, _safe(name)))


def _safe(name: str) -> str:
    return name.replace(".", "/")
