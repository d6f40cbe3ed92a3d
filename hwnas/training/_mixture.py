"""A mixture in torch: every node the weighted sum of what it can be, with shared weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from hwnas.spaces import MixtureNode, MixtureOption
from hwnas.training._trim import trimmed
from latency_tables import INPUT, Op, OpGraph
from profilers import Parameter, RunningNorm, expand, operator_of, primitive_of, run_graph, weight_name

Lookup = Callable[[str, Parameter], Tensor]
"""Gives the tensor for a weight's name and description."""


def run_mixture(
    nodes: Iterable[MixtureNode],
    output: str,
    x: Tensor,
    weights: Mapping[int, Tensor],
    lookup: Lookup,
    norm: RunningNorm,
) -> Tensor:
    """Compute a tensor of a mixture.

    An option weighs the product of the weights of its codes; where nothing is chosen, nothing is added. An option
    whose weight is exactly 0 is not computed and gets no gradient, so a mixture with one-hot weights is the network
    that they stand for.

    Args:
        nodes: Nodes of the mixture, in topological order (`hwnas.spaces.ChoiceGraphSpace.mixture`).
        output: Name of the tensor to compute.
        x: The input ``(N, *shape)``.
        weights: For each open column of the codes one weight a value, ``(values,)``.
        lookup: Gives every weight tensor of the operators by name.
        norm: How batch norms behave.

    Returns:
        ``(N, *shape)``.

    Raises:
        ValueError: Nothing of non-zero weight reaches the output.
    """
    tensors: dict[str, Tensor | None] = {INPUT: x}
    for node in nodes:
        terms = [tensor for part in node.parts if (tensor := tensors[part]) is not None]
        for option in node.options:
            terms += _term(node, option, tensors, weights, lookup, norm)
        tensors[node.name] = torch.stack(terms).sum(dim=0) if len(terms) > 1 else terms[0] if terms else None
    result = tensors[output]
    if result is None:
        raise ValueError(f"no path of non-zero weight leads to {output}")
    return result


def before_post_processing(nodes: list[MixtureNode], output: str) -> str:
    """Return the tensor that is trained, and leave out the post-processing nodes that read it.

    Args:
        nodes: Nodes of the mixture, in topological order; those behind the tensor are removed.
        output: Name of the tensor that leaves the network.
    """
    while nodes and nodes[-1].name == output and _is_post_processing(nodes[-1]):
        output = nodes.pop().options[0].inputs[0]
    return output


def _is_post_processing(node: MixtureNode) -> bool:
    return any(option.op is not None and operator_of(option.op).post_processing for option in node.options)


def _term(
    node: MixtureNode,
    option: MixtureOption,
    tensors: Mapping[str, Tensor | None],
    weights: Mapping[int, Tensor],
    lookup: Lookup,
    norm: RunningNorm,
) -> list[Tensor]:
    """Return what an option adds to its node; nothing where it weighs nothing or has no input."""
    inputs = [tensor for name in option.inputs if (tensor := tensors[name]) is not None]
    if not option.inputs or len(inputs) < len(option.inputs):
        return []
    weight = _weight(node.columns, option.codes, weights)
    if weight is not None and not weight.any():
        return []
    value = inputs[0] if option.op is None else _apply(option.op, option.name, inputs, lookup, norm)
    return [value if weight is None else weight * value]


def _weight(columns: Sequence[int], codes: Sequence[tuple[int, ...]], weights: Mapping[int, Tensor]) -> Tensor | None:
    """Return the weight of an option ``()``; None for 1, where no choice is open."""
    if not columns:
        return None
    return torch.stack(
        [torch.stack([weights[c][code] for c, code in zip(columns, own, strict=True)]).prod() for own in codes]
    ).sum()


def _apply(op: Op, name: str, inputs: list[Tensor], lookup: Lookup, norm: RunningNorm) -> Tensor:
    if len(inputs) == 1:
        return run_graph(_expanded(op, name), inputs[0], lookup, norm)
    operator = primitive_of(op)
    parameters: dict[str, Parameter] = operator.parameters(op)
    return operator.forward(op, inputs, {n: lookup(weight_name(name, n, p), p) for n, p in parameters.items()}, norm)


@lru_cache(maxsize=4096)
def _expanded(op: Op, name: str) -> OpGraph:
    return trimmed(expand(OpGraph.single(op, name)))
