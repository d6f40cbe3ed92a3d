"""`derive`: the space of a trained model, with the weights that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwnas.spaces._derived._order import FloatArray, Scores, bn_scores, l2_scores, node_scores, ordered
from hwnas.spaces._derived._plan import Note
from hwnas.spaces._derived._prepare import prepared_weights
from hwnas.spaces._derived._reach import with_few_ops
from hwnas.spaces._derived._space import DerivedSpace
from latency_tables import OpGraph


@dataclass(frozen=True)
class Derived:
    """A space and the weights that its networks start from.

    Attributes:
        space: The space.
        weights: Weights and statistics of its largest network by ``"node.parameter"``, the most important channels
            first; `profilers.build_onnx` of ``space.graph(space.largest)`` with them computes what the model computes.
    """

    space: DerivedSpace
    weights: Mapping[str, FloatArray]

    @property
    def graph(self) -> OpGraph:
        """The largest network."""
        return self.space.graph(self.space.largest)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is not searched, and why."""
        return self.space.plan.notes


def derive(graph: OpGraph, weights: Mapping[str, FloatArray], **settings: Any) -> Derived:
    """Derive a space from a trained model.

    Channels are ordered by their scales (``bn``) or their weights. First-order importance (``taylor``), and scales of
    norms that were put back, need data: `hwnas.training.fitted` orders them again. Where no `widths` are chosen, there
    are as many shares as keep the ops of the space few.

    Args:
        graph: The model.
        weights: Its weights by ``"node.parameter"``, as `profilers.graph_parameters` lists them.
        settings: Settings of `DerivedSpace`.

    Raises:
        SpaceError: A setting is out of range, a weight is missing, or nothing of the model can be left out.
    """
    space = with_few_ops(graph, settings) if "widths" not in settings else DerivedSpace(graph, **settings)
    start = Derived(space, prepared_weights(space.prepared, weights))
    return by_scales(start) if space.importance == "bn" else _by_norms(start)


def _by_norms(derived: Derived) -> Derived:
    """Order channels by the norm of the weights that belong to them."""
    return _ordered(derived, l2_scores(derived.space.prepared.graph, derived.space.plan.layout, derived.weights))


def by_scales(derived: Derived) -> Derived:
    """Order channels by the scales of their batch norms; groups without any by the norm of their weights.

    The scales of norms that were put back say nothing before the norms have the statistics of data.
    """
    layout, graph = derived.space.plan.layout, derived.space.prepared.graph
    scales = bn_scores(graph, layout, _without_empty_scales(derived))
    return _ordered(derived, {**l2_scores(graph, layout, derived.weights), **scales})


def reordered(derived: Derived, scores: Mapping[str, Scores]) -> Derived:
    """Order channels by scores of the channels that nodes write.

    Args:
        derived: In any order.
        scores: For some nodes ``(channels,)``, in the order of `derived`; higher ones are kept longer.
    """
    return _ordered(derived, node_scores(derived.space.plan.layout, scores))


def with_weights(derived: Derived, weights: Mapping[str, FloatArray]) -> Derived:
    """Return the same space with some weights replaced."""
    return replace(derived, weights={**derived.weights, **weights})


def _without_empty_scales(derived: Derived) -> dict[str, FloatArray]:
    """Return the weights without the scales of norms that were put back and have no statistics yet."""
    weights = dict(derived.weights)
    for node in derived.space.prepared.put_back:
        mean, variance = weights[f"{node}.mean"], weights[f"{node}.variance"]
        if not mean.any() and (variance == 1.0).all():
            del weights[f"{node}.gamma"]
    return weights


def _ordered(derived: Derived, scores: Mapping[str, Scores]) -> Derived:
    space = derived.space
    return replace(derived, weights=ordered(space.prepared.graph, space.plan.layout, derived.weights, scores))
