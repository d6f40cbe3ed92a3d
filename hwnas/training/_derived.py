"""What a derived space takes from data: statistics of the batch norms put back, and first-order importance."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas.spaces import Derived, by_scales, has_channels, reordered, with_weights
from hwnas.tasks import Targets, Task
from hwnas.training._batches import fixed_sample
from hwnas.training._recipe import Recipe
from hwnas.training._start._norms import with_norms
from profilers import NORM_EPSILON, RunningNorm, expand, run_graph

Batches = Iterable[tuple[Tensor, Targets]]
_BATCH = 32
"""Samples of one batch: few, because gradients of large networks on large images fill the memory."""


def fitted(derived: Derived, task: Task, recipe: Recipe, *, samples: int = 1024) -> Derived:
    """Fit a derived space's starting weights to data; its largest network computes the same as before.

    Batch norms that were put back, or stand for constants, get the statistics of train samples, and channels are
    ordered by first-order importance (``taylor``) or by the scales of the norms (``bn``) where the space asks for that.

    Args:
        derived: The space and its weights.
        task: Gives the train samples and the loss.
        recipe: Gives the settings of the loss.
        samples: Train samples to look at.
    """
    shape = derived.space.input_shape(derived.space.largest)
    chosen = fixed_sample(task, samples)
    parts = [chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH)]

    def inputs() -> Iterable[Tensor]:
        """Yield the samples, without augmentation."""
        return (task.inputs("train", part, shape) for part in parts)

    def batches() -> Batches:
        """Yield the samples with their targets."""
        return ((task.inputs("train", part, shape), task.targets("train", part)) for part in parts)

    derived = with_norm_statistics(derived, inputs())
    if derived.space.importance == "bn":
        return by_scales(derived)
    if derived.space.importance == "taylor":

        def loss(output: Tensor, targets: Targets) -> Tensor:
            """Return the task's loss."""
            return task.loss((output,), task.to_device(targets, "cpu"), recipe.task_settings)

        return reordered(derived, taylor_scores(derived, batches(), loss))
    return derived


def with_norm_statistics(derived: Derived, batches: Iterable[Tensor]) -> Derived:
    """Give the batch norms that were put back the statistics of data, with scales and shifts that undo them.

    The same holds for norms that stand for a scale and shift by constants: a training recomputes the statistics of all
    norms, and with other statistics these would compute something else.

    Args:
        derived: The space and its weights, where norms that were put back only add a bias, as `derive` makes them.
        batches: Inputs ``(N, *shape)`` of the largest network.
    """
    weights, scales = dict(derived.weights), {}
    plain = plain_norms(derived)
    for node in (*derived.space.prepared.put_back, *plain):
        gamma, beta, mean, _ = (weights.pop(f"{node}.{name}") for name in ("gamma", "beta", "mean", "variance"))
        weights[f"{node}.bias"] = beta - mean
        if node in plain:
            scales[node] = gamma
    return with_weights(derived, with_norms(weights, derived.graph, lambda: batches, scales))


def plain_norms(derived: Derived) -> list[str]:
    """Return the norms of a model that are a scale and shift by constants: their mean is 0 and their variance 1."""
    nodes = [name.removesuffix(".variance") for name in derived.weights if name.endswith(".variance")]
    return [
        node
        for node in nodes
        if node not in derived.space.prepared.put_back
        and not np.any(derived.weights[f"{node}.mean"])
        and np.all(derived.weights[f"{node}.variance"] == np.float32(1.0 - NORM_EPSILON))
    ]


def taylor_scores(
    derived: Derived, batches: Batches, loss: Callable[[Tensor, Targets], Tensor]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the first-order importance of the channels that each layer writes.

    A factor of 1 on a channel, behind the batch norm, stands for its presence. The importance is the square of the
    loss's derivative by that factor, averaged over batches: what the loss changes, to first order, where the factor
    becomes 0 (Molchanov et al. 2019, arXiv 1906.10771, eq. 8, with the gates of section 3.2).

    Args:
        derived: The space and its weights, which fix the order of the channels.
        batches: Inputs ``(N, *shape)`` of the largest network, and targets.
        loss: Takes outputs ``(N, *outputs)`` and targets; returns the mean loss.

    Returns:
        For each layer with weights ``(channels,)``.
    """
    graph = expand(derived.graph)
    tensors = {name: torch.from_numpy(value) for name, value in derived.weights.items()}
    gates: dict[str, tuple[str, ...]] = {}
    for node in (node.name for node in graph.nodes if has_channels(node)):
        kinds = ("gamma", "beta") if f"{node}.gamma" in tensors else ("weight", "bias")
        if own := tuple(f"{node}.{kind}" for kind in kinds if f"{node}.{kind}" in tensors):
            gates[node] = own
    names = [name for own in gates.values() for name in own]
    for name in names:
        tensors[name] = tensors[name].clone().requires_grad_()
    totals = {node: np.zeros(len(tensors[own[0]])) for node, own in gates.items()}
    count = 0
    for x, targets in batches:
        value = loss(run_graph(graph, x, lambda name, _: tensors[name], RunningNorm(training=False)), targets)
        slopes = dict(zip(names, torch.autograd.grad(value, [tensors[name] for name in names]), strict=True))
        for node, own in gates.items():
            rows = [(slopes[n] * tensors[n]).detach().reshape(len(tensors[n]), -1).sum(1) for n in own]
            totals[node] += np.square(torch.stack(rows).sum(0).double().numpy())
        count += 1
    return {node: total / max(1, count) for node, total in totals.items()}
