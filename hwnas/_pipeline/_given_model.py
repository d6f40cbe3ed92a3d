"""A trained model as it was given: its metric before anything is trained, which shows inputs of another scale."""

from __future__ import annotations

import math

from hwnas.spaces import Derived
from hwnas.tasks import Task

_GOOD, _POOR = 0.9, 0.5
"""Below these shares of the metric's range, other scalings of the inputs are tried, and the model is called poor."""
_BETTER = 0.02
"""Another scaling is named where it is better by more than this share of the metric's range."""
_NAMES = 4


def given_lines(derived: Derived, task: Task) -> list[str]:
    """Return lines on the model's metric on the validation part, with a warning where its inputs may be scaled wrongly.

    Args:
        derived: The model.
        task: Gives the samples.
    """
    value, metric = _value(derived, task), task.metric
    error = metric.standard_error(value, task.size("validation"))
    lines = [f"the model as given has {metric.text} {metric.format(value, error)} on the validation part"]
    labels = task.outputs[0].labels
    if labels:
        lines.append(f"the model's outputs are read as the classes in this order: {_listed(labels)}")
    if _ends_with_softmax(derived):
        lines.append("warning: the model ends with a softmax; training expects logits: export it without the softmax")
    finite = math.isfinite(value)
    if finite and (metric.low is None or metric.high is None):
        return lines
    low, high = metric.low or 0.0, metric.high or 0.0
    span = high - low
    share = (value - low if metric.sign > 0 else high - value) / span if finite else 0.0
    others = {name: _value(derived, task.with_scaling(name)) for name in task.scalings} if share < _GOOD else {}
    others = {name: other for name, other in others.items() if math.isfinite(other)}
    best = max(others, key=lambda name: metric.sign * others[name], default=None)
    if best is not None and (not finite or metric.sign * (others[best] - value) > _BETTER * span):
        written = f"{metric.text} {metric.format(others[best])}"
        lines.append(f"warning: with --input-scaling {best} it has {written}; use that if the model was trained so")
    elif share < _POOR:
        scaled = "the model may need another --input-scaling, or " if task.scalings else ""
        lines.append(f"warning: that is poor; {scaled}its outputs may be in another order of classes")
    return lines


def _value(derived: Derived, task: Task) -> float:
    from hwnas.training import Subnet, score_network

    network = Subnet.of_arrays(derived.graph, derived.weights)
    return score_network(network, task, "validation", derived.graph.input_shape)


def _ends_with_softmax(derived: Derived) -> bool:
    graph = derived.graph
    return any(node.name in graph.outputs and node.op.kind == "softmax" for node in graph.nodes)


def _listed(labels: tuple[str, ...]) -> str:
    if len(labels) <= 2 * _NAMES:
        return ", ".join(labels)
    return f"{', '.join(labels[:_NAMES])}, ... {labels[-1]} ({len(labels)})"
