"""Strategies by name; a new one is one line here."""

from __future__ import annotations

from collections.abc import Callable

from search._errors import SearchError
from search.lamoo import EHVISampler, LaMOO, MutationSampler, RandomSampler, TreeSettings
from search.models import GaussianProcess, Model
from search.strategies import NSGA2, EHVISearch, ParetoLocalSearch, RandomSearch, Strategy

__all__ = ["STRATEGIES", "make_strategy"]

_FAITHFUL = TreeSettings(exploration=0.1, min_split=10, kernel="poly", penalty=1.0, selection="leaf")

_HEDGE = 0.4
"""Share of the default's proposals from outside the region: two in a batch of five."""

_RELEVANCE = 0.3


def _model() -> Model:
    """The default model: one length scale for each feature, tied together by a weak prior."""
    return GaussianProcess("encodings", relevance=_RELEVANCE)


_MAKERS: dict[str, Callable[[], Strategy]] = {
    "lamoo": lambda: LaMOO(EHVISampler(_model(), hedge=_HEDGE), name="lamoo"),
    "lamoo-qehvi": lambda: LaMOO(EHVISampler(_model()), name="lamoo-qehvi"),
    "lamoo-random": lambda: LaMOO(RandomSampler(), name="lamoo-random"),
    "lamoo-mutation": lambda: LaMOO(MutationSampler(), name="lamoo-mutation"),
    "lamoo-faithful": lambda: LaMOO(RandomSampler(), _FAITHFUL, name="lamoo-faithful"),
    "random": RandomSearch,
    "mutation": ParetoLocalSearch,
    "nsga2": NSGA2,
    "qehvi": lambda: EHVISearch(_model(), name="qehvi"),
}

STRATEGIES: tuple[str, ...] = tuple(_MAKERS)
"""Names that `make_strategy` knows."""


def make_strategy(name: str) -> Strategy:
    """The strategy called `name`, with its default settings.

    Raises:
        SearchError: When there is none of that name.
    """
    try:
        return _MAKERS[name]()
    except KeyError:
        raise SearchError(f"unknown strategy {name!r}; choose from {', '.join(STRATEGIES)}") from None
