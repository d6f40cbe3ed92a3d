"""`Subnet`: one network cut out of shared weights, with batch-norm statistics of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.training._trim import cut_tensor, trimmed
from latency_tables import OpGraph
from profilers import Parameter, RunningNorm, expand, graph_parameters, run_graph


class BatchNormStatistics(RunningNorm):
    """Normalises by the batch and adds the batch's moments to the statistics.

    The ``mean`` and ``variance`` tensors of a norm (float64) collect the sums over samples of E[x] and E[x^2],
    each an average over positions; `with_bn_statistics` turns them into mean and variance over all of them.
    """

    def __init__(self) -> None:
        super().__init__(training=True, momentum=1.0)

    def __call__(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Normalise ``(N, C, ...)``; it must hold more than one value a channel."""
        channels, values = x.shape[1], x.numel() // x.shape[1]
        batch = {"mean": x.new_zeros(channels), "variance": x.new_zeros(channels)}
        y = super().__call__(x, {**parameters, **batch})
        mean, unbiased = batch["mean"].double(), batch["variance"].double()
        parameters["mean"].add_(mean, alpha=len(x))
        parameters["variance"].add_(unbiased * ((values - 1) / values) + mean.square(), alpha=len(x))
        return y


def with_bn_statistics(graph: OpGraph, weights: Mapping[str, Tensor], batches: Iterable[Tensor]) -> Subnet:
    """Return a subnet whose batch norms have the statistics of the given inputs.

    Each norm's mean and variance are those of its input over all samples, where the layers before it normalise
    by the batch (Yu and Huang 2019, arXiv 1903.05134, section 3.2: batch norm statistics after training).

    Args:
        graph: The network.
        weights: Its trainable tensors by ``"node.parameter"``; others are ignored.
        batches: Inputs ``(N, *graph.input_shape)``, never of the validation or test part.
    """
    names = dict(graph_parameters(graph))
    tensors = {name: weights[name].detach() for name, parameter in names.items() if parameter.trainable}
    sums = {
        name: torch.zeros(parameter.shape, dtype=torch.float64, device=next(iter(tensors.values())).device)
        for name, parameter in names.items()
        if not parameter.trainable
    }
    expanded, count = trimmed(expand(graph)), 0

    def lookup(name: str, parameter: Parameter) -> Tensor:
        """Return the tensor of a parameter."""
        return sums[name] if name in sums else cut_tensor(tensors[name], parameter, name)

    with torch.no_grad():
        for x in batches:
            run_graph(expanded, x, lookup, BatchNormStatistics())
            count += len(x)
    for name in sums:
        if name.endswith(".variance"):
            mean = sums[name.removesuffix("variance") + "mean"] / count
            tensors[name] = (sums[name] / count - mean.square()).clamp(min=0.0).float()
        else:
            tensors[name] = (sums[name] / count).float()
    return Subnet(graph, tensors)


class Subnet:
    """A network with fixed weights.

    Args:
        graph: The network.
        weights: Every tensor by ``"node.parameter"``.
    """

    def __init__(self, graph: OpGraph, weights: Mapping[str, Tensor]) -> None:
        self.graph = graph
        self.weights = dict(weights)
        self._expanded = trimmed(expand(graph))

    @classmethod
    def of_arrays(cls, graph: OpGraph, arrays: Mapping[str, npt.NDArray[np.float32]], device: str = "cpu") -> Subnet:
        """Return a network from its weights as arrays by ``"node.parameter"``, as `arrays` returns them."""
        return cls(graph, {name: torch.from_numpy(array).to(device) for name, array in arrays.items()})

    def __call__(self, x: Tensor) -> Tensor:
        """Return outputs ``(N, *graph.output_shape)`` for inputs ``(N, *graph.input_shape)``."""
        return run_graph(self._expanded, x, self._lookup, RunningNorm(training=False))

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return all weights and statistics as float32 arrays by ``"node.parameter"``, ready for `build_onnx`."""
        return {
            name: cast(npt.NDArray[np.float32], np.ascontiguousarray(self.weights[name].detach().float().cpu().numpy()))
            for name, _ in graph_parameters(self.graph)
        }

    def _lookup(self, name: str, parameter: Parameter) -> Tensor:
        return cut_tensor(self.weights[name], parameter, name)
