"""What tables are made of: a space, or any other `profilers.Workload`.

A space can say more than a workload must: its networks have texts that are read back, and it can be searched for its
fastest and slowest ones. Where that matters, the functions here ask for the space; of every other workload they know
what it draws.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import numpy as np

from hwnas._errors import HwnasError
from hwnas.spaces._base import Space
from hwnas.spaces._make import space_identity
from latency_tables import OpGraph, content_hash
from profilers import Workload, executed_graph

_MOST_DRAWS = 10_000
"""Draws in which a network must come up; a workload may draw for ever."""


def workload_identity(workload: Workload) -> dict[str, object]:
    """Return what tells a workload apart: name and settings, and a fingerprint where nobody vouches for its name."""
    if isinstance(workload, Space):
        return space_identity(workload)
    mark = content_hash(sorted(op.key for op in workload.ops()))
    return {"name": workload.name, **workload.settings, "fingerprint": mark}


def named_graph(workload: Workload, name: str) -> OpGraph:
    """Return the network of a workload that has this name.

    Raises:
        HwnasError: There is none.
    """
    if isinstance(workload, Space):
        return workload.graph(workload.parse(name))
    drawn = islice(workload.draw(np.random.default_rng(0)), _MOST_DRAWS)
    graph = next((graph for text, graph in drawn if text == name), None)
    if graph is None:
        raise HwnasError(f"workload {workload.name} draws no network {name!r}; measure its table again")
    return executed_graph(graph)


def drawn_graphs(
    workload: Workload, count: int, rng: np.random.Generator, seen: Collection[str] = ()
) -> dict[str, OpGraph]:
    """Draw distinct networks by name.

    Args:
        workload: Draws them.
        count: How many; fewer where the workload has no more.
        rng: Source of randomness.
        seen: Names that are skipped.
    """
    graphs: dict[str, OpGraph] = {}
    for name, graph in islice(workload.draw(rng), _MOST_DRAWS):
        if len(graphs) == count:
            break
        if name not in seen and name not in graphs:
            graphs[name] = executed_graph(graph)
    return graphs


def input_channels(workload: Workload) -> int:
    """Return the number of channels of what the networks of a workload read.

    Raises:
        HwnasError: The workload draws no network.
    """
    rng = np.random.default_rng(0)
    if isinstance(workload, Space):
        return workload.input_shape(workload.sample(1, rng)[0])[0]
    for _, graph in workload.draw(rng):
        return graph.input_shape[0]
    raise HwnasError(f"workload {workload.name} draws no network; give it one or more")
