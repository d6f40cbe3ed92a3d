"""A trained model as it was given: its metric before anything is trained, which shows inputs of another scale."""

from __future__ import annotations

from hwnas.spaces import Derived
from hwnas.tasks import Task

_FEW = 0.5
"""Below this share of the metric's range, other scalings of the inputs are tried."""
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
        lines.append(f"its outputs stand for the classes in this order: {_listed(labels)}")
    if _ends_with_softmax(derived):
        lines.append("warning: the model ends with a softmax; training expects logits: export it without the softmax")
    if metric.low is None or metric.high is None:
        return lines
    good = value - metric.low if metric.sign > 0 else metric.high - value
    if good < _FEW * (metric.high - metric.low):
        lines.append(f"warning: {_advice(derived, task, value)}")
    return lines


def _advice(derived: Derived, task: Task, value: float) -> str:
    """Return what may be wrong with the inputs of a model that is no good."""
    metric = task.metric
    others = {name: _value(derived, task.with_scaling(name)) for name in task.scalings}
    best = max(others, key=lambda name: metric.sign * others[name], default=None)
    if best is not None and metric.sign * (others[best] - value) > 0:
        return f"with --input-scaling {best} it has {metric.format(others[best])}; is that how it was trained?"
    return "its inputs may be scaled in another way (--input-scaling), or its classes may have another order"


def _value(derived: Derived, task: Task) -> float:
    import torch

    from hwnas.training import Subnet, score_network

    network = Subnet(derived.graph, {name: torch.from_numpy(array) for name, array in derived.weights.items()})
    return score_network(network, task, "validation", derived.graph.input_shape)


def _ends_with_softmax(derived: Derived) -> bool:
    graph = derived.graph
    return any(node.name in graph.outputs and node.op.kind == "softmax" for node in graph.nodes)


def _listed(labels: tuple[str, ...]) -> str:
    if len(labels) <= 2 * _NAMES:
        return ", ".join(labels)
    return f"{', '.join(labels[:_NAMES])}, ... {labels[-1]} ({len(labels)})"
