"""Search spaces."""

from __future__ import annotations

from hwnas.spaces._base import MOST_NETWORKS, Architecture, Choice, Segments, Space, Term
from hwnas.spaces._choice_graph import Alternative, ChoiceGraph, ChoiceNode, Extent, Make, follow
from hwnas.spaces._choice_space import ChoiceGraphSpace
from hwnas.spaces._convnet1d import ConvNet1d
from hwnas.spaces._dash import Dash1d, Dash2d
from hwnas.spaces._declaration import first_difference, read_declaration
from hwnas.spaces._declared import DeclaredSpace
from hwnas.spaces._derived import (
    REACH,
    Derived,
    DerivedSpace,
    by_scales,
    derive,
    describe_lines,
    for_smaller_images,
    has_channels,
    identity_norm,
    reaches,
    reordered,
    with_weights,
)
from hwnas.spaces._dscnn import DSCNN
from hwnas.spaces._fpn import FPN
from hwnas.spaces._make import (
    float_form,
    is_file,
    make_space,
    space_defaults,
    space_identity,
    space_names,
    space_parameters,
    with_precision,
    without_precision,
)
from hwnas.spaces._mixed import MixedPrecisionSpace
from hwnas.spaces._mixture import MixtureNode, MixtureOption
from hwnas.spaces._rounding import divisible
from hwnas.spaces._task import Task
from hwnas.spaces._video import Video
from hwnas.spaces._workloads import drawn_graphs, input_channels, named_graph, workload_identity

__all__ = [
    "DSCNN",
    "FPN",
    "MOST_NETWORKS",
    "REACH",
    "Alternative",
    "Architecture",
    "Choice",
    "ChoiceGraph",
    "ChoiceGraphSpace",
    "ChoiceNode",
    "ConvNet1d",
    "Dash1d",
    "Dash2d",
    "DeclaredSpace",
    "Derived",
    "DerivedSpace",
    "Extent",
    "Make",
    "MixedPrecisionSpace",
    "MixtureNode",
    "MixtureOption",
    "Segments",
    "Space",
    "Task",
    "Term",
    "Video",
    "by_scales",
    "derive",
    "describe_lines",
    "divisible",
    "drawn_graphs",
    "first_difference",
    "float_form",
    "follow",
    "for_smaller_images",
    "has_channels",
    "identity_norm",
    "input_channels",
    "is_file",
    "make_space",
    "named_graph",
    "reaches",
    "read_declaration",
    "reordered",
    "space_defaults",
    "space_identity",
    "space_names",
    "space_parameters",
    "with_precision",
    "with_weights",
    "without_precision",
    "workload_identity",
]
