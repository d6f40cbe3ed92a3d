"""Search spaces."""

from __future__ import annotations

from hwnas.spaces._base import MOST_NETWORKS, Architecture, Choice, Space, Term
from hwnas.spaces._make import make_space, space_identity, space_names, space_parameters
from hwnas.spaces._workloads import drawn_graphs, input_channels, named_graph, workload_identity

__all__ = [
    "MOST_NETWORKS",
    "Architecture",
    "Choice",
    "Space",
    "Term",
    "drawn_graphs",
    "input_channels",
    "make_space",
    "named_graph",
    "space_identity",
    "space_names",
    "space_parameters",
    "workload_identity",
]
