"""Latency tables: measured prices of operators on one device, and what a network costs by them."""

from latency_tables._errors import (
    GraphError,
    IdentityMismatchError,
    LatencyTableError,
    TableFormatError,
    UnmeasuredOpError,
)
from latency_tables._graph import INPUT, GraphBuilder, Node, OpGraph, merge_counts
from latency_tables._op import Op, Shape, sorted_attributes

__all__ = [
    "INPUT",
    "GraphBuilder",
    "GraphError",
    "IdentityMismatchError",
    "LatencyTableError",
    "Node",
    "Op",
    "OpGraph",
    "Shape",
    "TableFormatError",
    "UnmeasuredOpError",
    "merge_counts",
    "sorted_attributes",
]
