"""Importance of channels, and weights with the most important channels first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hwnas.spaces._derived._groups import Layout, Part, has_channels, reads_densely
from latency_tables import Node, OpGraph
from profilers import NORM_EPSILON, graph_parameters

FloatArray = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def l2_scores(graph: OpGraph, layout: Layout, weights: Mapping[str, FloatArray]) -> dict[str, Scores]:
    """Return the norm of all weights that each unit of a group owns: rows that write it and columns that read it.

    Each layer counts in proportion to its mean over the units, so that large layers do not decide alone.

    Returns:
        For each group ``(units,)``.
    """
    totals = {name: np.zeros(group.count) for name, group in layout.groups.items()}
    for node in graph.nodes:
        weight = weights.get(f"{node.name}.weight")
        if weight is None or not has_channels(node):
            continue
        square = np.square(weight, dtype=np.float64)
        if node.op.kind == "conv" and f"{node.name}.gamma" in weights:
            scale = weights[f"{node.name}.gamma"] ** 2 / (weights[f"{node.name}.variance"] + NORM_EPSILON)
            square *= scale.reshape(-1, *(1,) * (square.ndim - 1))
        rows = square.reshape(len(square), -1).sum(axis=1)
        _add(totals, layout.written[node.name], rows)
        if reads_densely(node):
            columns = np.moveaxis(square, 1, 0).reshape(square.shape[1], -1).sum(axis=1)
            _add(totals, layout.read[node.name], columns)
    return {name: np.sqrt(total) for name, total in totals.items()}


def bn_scores(graph: OpGraph, layout: Layout, weights: Mapping[str, FloatArray]) -> dict[str, Scores]:
    """Return the sum of the absolute scales of all batch norms of each unit (Liu et al. 2017, arXiv 1708.06519).

    Returns:
        For each group with batch norms ``(units,)``.
    """
    scales = {
        node.name: np.abs(gamma.astype(np.float64))
        for node in graph.nodes
        if (gamma := weights.get(f"{node.name}.gamma")) is not None
    }
    return node_scores(layout, scales)


def node_scores(layout: Layout, scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Add up scores of the channels that nodes write, ``(channels,)`` each, over the units of groups.

    Returns:
        For each group that some node has scores of ``(units,)``.
    """
    scored = {part.group for node in scores for part in layout.written[node]}
    totals = {name: np.zeros(layout.groups[name].count) for name in layout.groups if name in scored}
    for node, values in scores.items():
        _add(totals, layout.written[node], values, relative=False)
    return totals


def ordered(
    graph: OpGraph, layout: Layout, weights: Mapping[str, FloatArray], scores: Mapping[str, Scores]
) -> dict[str, FloatArray]:
    """Return weights with the units of every group from the best to the worst; the network computes the same.

    Args:
        graph: The largest network.
        layout: Its groups.
        weights: Its weights by ``"node.parameter"``.
        scores: For each group to be ordered ``(units,)``; groups whose channels are all kept stay as they are.
    """
    orders = {
        name: np.argsort(-scores[name], kind="stable")
        for name, group in layout.groups.items()
        if name in scores and not group.reason
    }
    return {
        name: np.ascontiguousarray(_permuted(node, name, weights[name], layout, orders))
        for node in graph.nodes
        for name, _ in graph_parameters(OpGraph.single(node.op, node.name))
    }


def _permuted(node: Node, name: str, value: FloatArray, layout: Layout, orders: Mapping[str, IntArray]) -> FloatArray:
    if not has_channels(node):
        return value
    value = value[_indices(layout.written[node.name], orders)]
    if value.ndim > 1 and reads_densely(node):
        value = value[:, _indices(layout.read[node.name], orders)]
    return value


def _indices(parts: Sequence[Part], orders: Mapping[str, IntArray]) -> IntArray:
    """Return for each channel of an axis the channel that comes there."""
    start, pieces = 0, []
    for part in parts:
        order = orders.get(part.group, np.arange(part.count))
        pieces.append((start + order[:, None] * part.width + np.arange(part.width)).reshape(-1))
        start += part.count * part.width
    return np.concatenate(pieces)


def _add(totals: Mapping[str, Scores], parts: Sequence[Part], values: Scores, *, relative: bool = True) -> None:
    """Add scores of channels to those of their units, relative to their mean where layers should count alike."""
    start = 0
    for part in parts:
        own = values[start : start + part.count * part.width].reshape(part.count, part.width).sum(axis=1)
        mean = float(own.mean()) if relative else 1.0
        totals[part.group][:] += own / mean if mean > 0 else own
        start += part.count * part.width
