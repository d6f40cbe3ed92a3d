"""`Subnet`: one network cut out of shared weights, with batch-norm statistics of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.training._trim import cut_tensor, trimmed
from latency_tables import OpGraph
from profilers import Parameter, RunningNorm, expand, graph_parameters, run_graph, trained_graph


class BatchNormStatistics(RunningNorm):
    """Normalises by the batch and adds the batch's moments to the statistics.

    The ``mean`` and ``variance`` tensors of a norm (float64) collect the sums over samples of E[x] and E[x^2],
    each an average over positions (see `collected_statistics`).
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
    collected = [name for name, parameter in names.items() if not parameter.trainable]
    statistics = collected_statistics(graph, tensors, collected, BatchNormStatistics(), batches)
    return Subnet(graph, {**tensors, **{name: tensor.float() for name, tensor in statistics.items()}})


def collected_statistics(
    graph: OpGraph, tensors: Mapping[str, Tensor], names: Collection[str], norm: RunningNorm, batches: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Return mean and variance of what batch norms read, over all samples of some batches.

    Args:
        graph: The network.
        tensors: All its other tensors by ``"node.parameter"``.
        names: The norms' statistics, ``"node.mean"`` and ``"node.variance"``.
        norm: Computes the norms, and adds the sums over the samples of a batch of E[x] and E[x^2], each an average over
            positions, to the float64 tensors in the place of these statistics.
        batches: Inputs ``(N, *graph.input_shape)``.

    Returns:
        The statistics by name, in float64.
    """
    shapes = {name: parameter.shape for name, parameter in graph_parameters(graph)}
    sums = {
        name: torch.zeros(shapes[name], dtype=torch.float64, device=next(iter(tensors.values())).device)
        for name in names
    }
    expanded, count = trimmed(expand(trained_graph(graph))), 0

    def lookup(name: str, parameter: Parameter) -> Tensor:
        """Return the tensor of a parameter."""
        return sums[name] if name in sums else cut_tensor(tensors[name], parameter, name)

    with torch.no_grad():
        for x in batches:
            run_graph(expanded, x, lookup, norm)
            count += len(x)
    statistics = {name: total / count for name, total in sums.items()}
    for name in names:
        if name.endswith(".variance"):
            mean = statistics[name.removesuffix("variance") + "mean"]
            statistics[name] = (statistics[name] - mean.square()).clamp(min=0.0)
    return statistics


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
