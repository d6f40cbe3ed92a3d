"""Search spaces."""

from __future__ import annotations

from hwnas.spaces._base import MOST_NETWORKS, Architecture, Choice, Space, Term
from hwnas.spaces._inputs import input_channels
from hwnas.spaces._make import make_space, space_identity, space_names, space_parameters

__all__ = [
    "MOST_NETWORKS",
    "Architecture",
    "Choice",
    "Space",
    "Term",
    "input_channels",
    "make_space",
    "space_identity",
    "space_names",
    "space_parameters",
]
