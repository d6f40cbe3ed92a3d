"""LaMOO: the partition tree, its regions, and the leaf samplers."""

from search.lamoo._cma_sampler import CMASampler
from search.lamoo._ehvi_sampler import EHVISampler
from search.lamoo._leaf_sampler import LeafSampler
from search.lamoo._make_sampler import LEAF_SAMPLERS, make_leaf_sampler
from search.lamoo._mutation_sampler import MutationSampler
from search.lamoo._random_sampler import RandomSampler
from search.lamoo._region import Region
from search.lamoo._report import NodeSummary, Partition, TreeSummary
from search.lamoo._scalar_sampler import ScalarSampler
from search.lamoo._split import Split, label_good
from search.lamoo._strategy import LaMOO
from search.lamoo._tree import Node, TreeSettings, build_tree, select, ucb

__all__ = [
    "LEAF_SAMPLERS",
    "CMASampler",
    "EHVISampler",
    "LaMOO",
    "LeafSampler",
    "MutationSampler",
    "Node",
    "NodeSummary",
    "Partition",
    "RandomSampler",
    "Region",
    "ScalarSampler",
    "Split",
    "TreeSettings",
    "TreeSummary",
    "build_tree",
    "label_good",
    "make_leaf_sampler",
    "select",
    "ucb",
]
