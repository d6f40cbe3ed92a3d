"""Leaf samplers by name."""

from __future__ import annotations

from search.lamoo._cma_sampler import CMASampler
from search.lamoo._ehvi_sampler import EHVISampler
from search.lamoo._leaf_sampler import LeafSampler
from search.lamoo._mutation_sampler import MutationSampler
from search.lamoo._random_sampler import RandomSampler
from search.lamoo._scalar_sampler import ScalarSampler
from search.models import Model

__all__ = ["LEAF_SAMPLERS", "LEARN_FROM_LOW_FIDELITY", "MODEL_BASED", "make_leaf_sampler"]

_WITH_MODEL: dict[str, type[EHVISampler] | type[ScalarSampler]] = {"ehvi": EHVISampler, "scalar": ScalarSampler}
_WITHOUT_MODEL: dict[str, type[LeafSampler]] = {
    "mutation": MutationSampler,
    "cmaes": CMASampler,
    "random": RandomSampler,
}

MODEL_BASED = tuple(_WITH_MODEL)
"""Names of the samplers that have a model and a hedge."""

LEARN_FROM_LOW_FIDELITY = ("ehvi",)
"""Names of the samplers whose model learns from low-fidelity evaluations."""

LEAF_SAMPLERS = (*MODEL_BASED, *_WITHOUT_MODEL)
"""Names that `make_leaf_sampler` knows; the first is the default."""


def make_leaf_sampler(name: str, model: Model, hedge: float) -> LeafSampler:
    """Make a leaf sampler.

    Args:
        name: One of `LEAF_SAMPLERS`.
        model: Model of the expensive objective, for the samplers that have one.
        hedge: Share of the proposals from the whole space, for the samplers that have a model.
    """
    if name in _WITH_MODEL:
        return _WITH_MODEL[name](model, hedge=hedge)
    return _WITHOUT_MODEL[name]()
