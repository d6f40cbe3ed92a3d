"""LaMOO: learn a partition of the space, choose a region of it, and sample inside that region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from search._context import Context
from search._options import OptionValue, StrategyOption
from search.lamoo._leaf_sampler import LeafSampler
from search.lamoo._make_sampler import LEAF_SAMPLERS, LEARN_FROM_LOW_FIDELITY, MODEL_BASED, make_leaf_sampler
from search.lamoo._region import Region, Regions
from search.lamoo._report import Partition, TreeSummary, summarise
from search.lamoo._split import KERNELS, Scaler
from search.lamoo._tree import SELECTIONS, Node, TreeSettings, build_tree, select
from search.models import MODELS, make_model
from search.strategies._base import NamedStrategy, Strategy, Suggestion
from search.strategies._low_fidelity_first import LowFidelityFirst

__all__ = ["LaMOO"]

_HEDGE = 0.4
"""The default's share of proposals from outside the region: two in a batch of five."""

_TREE = TreeSettings()
_TREE_OPTIONS = (
    StrategyOption(
        "exploration", _TREE.exploration, "Cp of the UCB, as a share of the hypervolume of all samples", minimum=0.0
    ),
    StrategyOption("min_split", _TREE.min_split, "smallest number of samples at which a region is split", minimum=2),
    StrategyOption(
        "max_depth", _TREE.max_depth, "depth at which regions are no longer split; the root has depth 0", minimum=0
    ),
    StrategyOption("kernel", _TREE.kernel, "kernel of the support vector machines that split", choices=KERNELS),
    StrategyOption("penalty", _TREE.penalty, "C of the support vector machines", minimum=1e-6),
    StrategyOption(
        "selection", _TREE.selection, "follow the larger UCB from the root, or take the best leaf", choices=SELECTIONS
    ),
)


class LaMOO(NamedStrategy):
    """Multi-objective search by learning space partitions (arXiv 2110.03173, algorithm 1; arXiv 2406.00291).

    Each batch grows the tree anew over all samples, selects a leaf by its upper confidence bound on hypervolume, and
    lets a leaf sampler choose candidates inside the conjunction of the decisions on the leaf's path.

    Args:
        sampler: Chooses candidates inside the region.
        settings: How the tree is grown and searched.
        name: Name of the strategy.
    """

    name = "lamoo"
    options = (
        StrategyOption(
            "sampler", LEAF_SAMPLERS[0], "leaf sampler: chooses architectures inside the region", choices=LEAF_SAMPLERS
        ),
        StrategyOption("model", MODELS[0], "model of the expensive objective", choices=MODELS),
        StrategyOption("hedge", _HEDGE, "share of proposals from the whole space", minimum=0.0, maximum=1.0),
        StrategyOption(
            "low_fidelity_ratio", 0, "low-fidelity evaluations for each full one; 0 for none", minimum=0, maximum=100
        ),
        StrategyOption(
            "low_fidelity_design",
            0,
            "low-fidelity evaluations of random architectures before the first proposal; 0 for none",
            minimum=0,
            maximum=10_000,
        ),
        *_TREE_OPTIONS,
    )
    variants: ClassVar[Mapping[str, Mapping[str, OptionValue]]] = {
        "lamoo-qehvi": {"hedge": 0.0},
        "lamoo-hamming": {"model": "hamming"},
        "lamoo-mutation": {"sampler": "mutation"},
        "lamoo-cmaes": {"sampler": "cmaes"},
        "lamoo-random": {"sampler": "random"},
        "lamoo-faithful": {
            "sampler": "random",
            "exploration": 0.1,
            "min_split": 10,
            "kernel": "poly",
            "penalty": 1.0,
            "selection": "leaf",
        },
        "lamoo-cheap": {"low_fidelity_ratio": 2},
        "lamoo-low-fidelity": {"low_fidelity_ratio": 2, "low_fidelity_design": 30},
    }

    def __init__(self, sampler: LeafSampler, settings: TreeSettings | None = None, name: str = "lamoo") -> None:
        self.name = name
        self.sampler = sampler
        self.settings = settings or TreeSettings()

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Strategy:
        """Make the strategy, inside `LowFidelityFirst` where low-fidelity evaluations are wanted."""
        model = make_model(str(options["model"]))
        sampler = make_leaf_sampler(str(options["sampler"]), model, float(options["hedge"]))
        tree: dict[str, object] = {option.name: options[option.name] for option in _TREE_OPTIONS}
        strategy = cls(sampler, TreeSettings(**tree))  # type: ignore[arg-type]
        ratio, design = int(options["low_fidelity_ratio"]), int(options["low_fidelity_design"])
        return LowFidelityFirst(strategy, ratio, design=design) if ratio or design else strategy

    @classmethod
    def packages_for(cls, options: Mapping[str, OptionValue]) -> tuple[str, ...]:
        """List the packages of the sampler."""
        return ("cmaes",) if options["sampler"] == "cmaes" else ()

    @classmethod
    def conflict(cls, given: Mapping[str, OptionValue]) -> str | None:
        """Say where a model, a hedge or low-fidelity evaluations are set for a sampler that does not use them."""
        sampler = given.get("sampler", LEAF_SAMPLERS[0])
        low_fidelity = given.get("low_fidelity_ratio") or given.get("low_fidelity_design")
        if low_fidelity and sampler not in LEARN_FROM_LOW_FIDELITY:
            learn = ", ".join(LEARN_FROM_LOW_FIDELITY)
            return f"low-fidelity evaluations need sampler={learn}, which learns from them, got sampler={sampler}"
        unused = [name for name in ("model", "hedge") if name in given]
        if sampler in MODEL_BASED or not unused:
            return None
        return f"option {unused[0]} needs a sampler with a model ({', '.join(MODEL_BASED)}), got sampler={sampler}"

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest samples of the selected region; the report is a `TreeSummary`."""
        summary, region, _ = self._grow(context, n, rng)
        return Suggestion(self.sampler.sample(region, context, n, rng), summary)

    def partition(self, context: Context) -> Partition:
        """Grow the tree as the next batch would, with the leaf of every sample."""
        summary, _, root = self._grow(context, 1, np.random.default_rng(0))
        leaves = np.zeros(len(context.codes), dtype=np.int64)
        for node in root.walk():
            if not node.children:
                leaves[node.members] = node.identity
        return Partition(summary, np.array([trial.number for trial in context.successful], dtype=np.int64), leaves)

    def _grow(self, context: Context, n: int, rng: np.random.Generator) -> tuple[TreeSummary, Region, Node]:
        """Grow the tree and select its region; return its summary, the region and its root."""
        scaler = self._scaler(context)
        root = build_tree(context, self.settings, scaler)
        leaf = select(root, self.settings.selection)
        regions = Regions(context, scaler, rng)
        region = regions.narrow(leaf, n)
        return summarise(root, leaf, region, regions, self.sampler.name), region, root

    @staticmethod
    def _scaler(context: Context) -> Scaler:
        if context.problem.domain.features is None:
            return Scaler.identity(context.encodings.shape[1])
        return Scaler.fit(context.encodings)
