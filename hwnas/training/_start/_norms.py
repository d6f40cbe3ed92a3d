"""Batch norms that a file has folded into its convolutions, put back for training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.spaces import identity_norm
from hwnas.training._start._fill import starting_weights
from hwnas.training._subnet import collected_statistics
from latency_tables import OpGraph
from profilers import RunningNorm, graph_parameters

FloatArray = npt.NDArray[np.float32]

NORM_SAMPLES = 512
"""Train samples that norms are put back on."""


def folded_nodes(initial: Mapping[str, FloatArray], graph: OpGraph) -> list[str]:
    """Return nodes of a network that end with a batch norm where the given tensors have a bias in its place."""
    nodes = [name.removesuffix(".gamma") for name, _ in graph_parameters(graph) if name.endswith(".gamma")]
    return [node for node in nodes if f"{node}.bias" in initial and f"{node}.gamma" not in initial]


def with_norms(
    initial: Mapping[str, FloatArray],
    graph: OpGraph,
    batches: Callable[[], Iterable[Tensor]],
    scales: Mapping[str, FloatArray] | None = None,
) -> dict[str, FloatArray]:
    """Return given tensors with a batch norm in the place of each bias that a norm was folded into.

    Each starts as the identity on the data: with the mean m and variance v of what the convolution gives there,
    ``gamma = scale * sqrt(v + epsilon)`` and ``beta = scale * m + bias``. The network then computes what the file's
    network computes, and goes on to do so when a batch has the moments of the data.

    Args:
        initial: Tensors by ``"node.parameter"``.
        graph: The network.
        batches: Gives inputs ``(N, *graph.input_shape)`` where they are needed.
        scales: Factors ``(channels,)`` of nodes that do not only add their bias; 1 where absent.
    """
    graph = graph.without_dead_code()
    nodes = folded_nodes(initial, graph)
    if not nodes:
        return dict(initial)
    tensors = {name: torch.from_numpy(array) for name, array in starting_weights(graph, initial, 0).items()}
    for node in nodes:
        bias = torch.from_numpy(np.asarray(initial[f"{node}.bias"], dtype=np.float32))
        tensors[f"{node}.beta"] = torch.zeros_like(tensors[f"{node}.beta"])
        scale = (scales or {}).get(node)
        tensors[f"{node}.gamma"] = (
            torch.ones_like(tensors[f"{node}.gamma"]) if scale is None else torch.from_numpy(np.asarray(scale))
        )
        both = min(len(bias), len(tensors[f"{node}.beta"]))
        tensors[f"{node}.beta"][:both] = bias[:both]
    names = [f"{node}.{moment}" for node in nodes for moment in ("mean", "variance")]
    statistics = collected_statistics(graph, tensors, names, _IdentityNorm(), (x.cpu() for x in batches()))
    complete = {name: array for name, array in initial.items() if name.removesuffix(".bias") not in nodes}
    for node in nodes:
        mean, variance = (statistics[f"{node}.{moment}"].numpy() for moment in ("mean", "variance"))
        norm = identity_norm(mean, variance, tensors[f"{node}.beta"].numpy(), tensors[f"{node}.gamma"].numpy())
        complete |= {f"{node}.{name}": value for name, value in norm.items()}
    return complete


class _IdentityNorm(RunningNorm):
    """Norms as the file has them; one that is absent there scales and shifts, and collects the moments of its input.

    An absent norm has the float64 tensors of `collected_statistics` in the place of its statistics.
    """

    def __init__(self) -> None:
        super().__init__(training=False)

    def __call__(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Normalise, or scale and shift, ``(N, C, ...)``."""
        if parameters["mean"].dtype != torch.float64:
            return super().__call__(x, parameters)
        values = x.double().flatten(2) if x.ndim > 2 else x.double()[..., None]
        parameters["mean"].add_(values.mean(2).sum(0))
        parameters["variance"].add_(values.square().mean(2).sum(0))
        scale, shift = (parameters[name].reshape(-1, *(1,) * (x.ndim - 2)) for name in ("gamma", "beta"))
        return x * scale + shift
