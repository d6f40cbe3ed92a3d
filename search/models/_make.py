"""Models by name."""

from __future__ import annotations

from search.models._base import Model
from search.models._forest import Forest
from search.models._gp import GaussianProcess

__all__ = ["MODELS", "make_model"]

MODELS = ("features", "hamming", "forest")
"""Names that `make_model` knows; the first is the default."""

_RELEVANCE = 0.3
"""Strength of the prior that ties the length scales of the features together."""


def make_model(name: str = MODELS[0]) -> Model:
    """Make a model of an expensive objective.

    Args:
        name: ``"features"``, a Gaussian process with one length scale for each feature, tied together by a weak
            prior; ``"hamming"``, a Gaussian process on the number of differing choices; ``"forest"``, a random forest.
    """
    if name == "forest":
        return Forest()
    return GaussianProcess("one_hot") if name == "hamming" else GaussianProcess("encodings", relevance=_RELEVANCE)
