"""Search spaces."""

from __future__ import annotations

from hwnas.spaces._base import MOST_NETWORKS, Architecture, Choice, Space, Term
from hwnas.spaces._choice_graph import Alternative, ChoiceGraph, Extent, Make, follow
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._make import make_space, space_identity, space_names, space_parameters
from hwnas.spaces._mixture import MixtureNode, MixtureOption

__all__ = [
    "MOST_NETWORKS",
    "Alternative",
    "Architecture",
    "Choice",
    "ChoiceGraph",
    "ChoiceGraphSpace",
    "Extent",
    "Make",
    "MixtureNode",
    "MixtureOption",
    "Space",
    "Term",
    "follow",
    "make_space",
    "space_identity",
    "space_names",
    "space_parameters",
]
