"""The weights of a whole space without listing its networks: every name with its largest extents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from hwnas.spaces import Architecture, ChoiceGraphSpace, Space, Term
from latency_tables import OpGraph
from profilers import Parameter, expand, graph_macs, graph_parameters, graph_params

EXHAUSTIVE = 4096
"""A term with at most this many assignments is listed whole."""
_DRAWS = 4096


def largest_parameters(space: Space) -> dict[str, Parameter]:
    """Return every weight of every network of the space by ``"node.parameter"``, each axis at its largest extent.

    A space is a chain of terms that depend on few choices (`Space.terms`), so listing the assignments of each term
    is exact and cheap. A term with more than `EXHAUSTIVE` of them is covered by networks in which each
    pair of values of two of its choices occurs, as far as canonical networks hold it. The extents of a space that is
    stated as a choice graph are exact all the same: each node says them from its own choices.

    Returns:
        Sorted by name.
    """
    largest: dict[str, Parameter] = {}
    for term in space.terms:
        for graph in _term_graphs(space, term):
            for name, parameter in starting_parameters(graph):
                known = largest.get(name)
                largest[name] = parameter if known is None or known == parameter else _union(known, parameter)
    if isinstance(space, ChoiceGraphSpace):
        for node, op in space.weighted_ops():
            for name, parameter in starting_parameters(OpGraph.single(op, node)):
                known = largest.get(name, parameter)
                largest[name] = replace(_union(known, parameter), init=known.init)
    return dict(sorted(largest.items()))


def _union(a: Parameter, b: Parameter) -> Parameter:
    if len(a.shape) != len(b.shape):
        raise ValueError(f"weights of rank {len(a.shape)} and {len(b.shape)} share a name")
    shape = tuple(max(pair) for pair in zip(a.shape, b.shape, strict=True))
    init = a.init if a.init == b.init else "one"
    return Parameter(shape, init, a.trainable, a.centred_axes, a.own)


def starting_parameters(graph: OpGraph) -> Iterator[tuple[str, Parameter]]:
    """Return `graph_parameters`, but the batch norms that end residual branches start at scale 0.

    A residual branch then starts as nothing added (Goyal et al. 2017, arXiv 1706.02677, section 5.1), so that networks
    of different depths agree from the first step (BigNAS: Yu et al. 2020, arXiv 2003.11142, section 3).
    """
    branches = {f"{node.name}.gamma" for node in expand(graph).nodes if node.op.kind == "conv" and node.op.inputs[1:]}
    for name, parameter in graph_parameters(graph):
        yield name, replace(parameter, init="zero") if name in branches else parameter


def _term_graphs(space: Space, term: Term) -> Iterator[OpGraph]:
    seen: set[OpGraph] = set()
    counts = [space.cardinalities[c] for c in term.choices]
    if math.prod(counts) <= EXHAUSTIVE:
        rows, valid = space.rows_of_forms(term)
        for row in rows[valid]:
            graph = space.term_graph(term, space.decode(row))
            if graph is not None and graph not in seen:
                seen.add(graph)
                yield graph
        return
    for row in _pairwise_cover(space, term):
        graph = space.term_graph(term, space.decode(row))
        if graph is not None:
            yield graph


def _pairwise_cover(space: Space, term: Term) -> list[npt.NDArray[np.int64]]:
    """Return few canonical networks that hold every pair of values of two choices that a large fixed sample holds."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, space.cardinalities, size=(_DRAWS, len(space.choices)))
    rows = np.unique(space.canonical_codes(drawn[space.valid_codes(drawn)]), axis=0)
    offsets = np.concatenate([[0], np.cumsum(space.cardinalities)])
    width = int(offsets[-1])
    flat = rows + offsets[:-1]
    pairs = np.stack([flat[:, a] * width + flat[:, b] for a, b in combinations(term.choices, 2)], axis=1)
    missing = np.zeros(width * width, dtype=np.bool_)
    missing[pairs] = True
    chosen = []
    while missing.any():
        best = int(missing[pairs].sum(axis=1).argmax())
        missing[pairs[best]] = False
        chosen.append(rows[best])
    return chosen


def extreme_values(space: Space, *, smallest: bool) -> Architecture:
    """Return the architecture with the largest (or smallest) value of each choice; words by their order."""
    values = []
    for choice in space.choices:
        numeric = all(isinstance(value, (int, float)) for value in choice.values)
        ordered = sorted(choice.values) if numeric else list(choice.values)
        values.append(ordered[0 if smallest else -1])
    return Architecture(tuple(values))


def extreme_network(space: Space, *, smallest: bool) -> Architecture:
    """Return the network with the most (or fewest) MACs, parameters where these are equal, that climbing finds.

    Starts at `extreme_values` and at the best of a fixed sample, then moves to the best neighbour until none is better.
    """
    sign = -1 if smallest else 1
    known: dict[Architecture, tuple[int, int]] = {}

    def cost(arch: Architecture) -> tuple[int, int]:
        """Return MACs and parameters, each times `sign`."""
        if arch not in known:
            graph = space.graph(arch)
            known[arch] = sign * graph_macs(graph), sign * graph_params(graph)
        return known[arch]

    starts = space.sample(32, np.random.default_rng(0))
    corner = extreme_values(space, smallest=smallest)
    if space.valid_codes(space.encode(corner)[None])[0]:
        starts.append(space.canonical(corner))
    best = max(starts, key=cost)
    while cost(step := max(space.neighbours(best), key=cost, default=best)) > cost(best):
        best = step
    return best
