"""Strategies by name; a new one is one line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from search._errors import SearchError
from search.lamoo import CMASampler, EHVISampler, LaMOO, MutationSampler, RandomSampler, TreeSettings
from search.models import GaussianProcess, Model
from search.strategies import (
    MOEAD,
    NSGA2,
    NSGA3,
    TPE,
    CategoricalCMA,
    EHVILearned,
    EHVISearch,
    OptunaNSGA2,
    ParetoLocalSearch,
    QLogNEHVI,
    RandomSearch,
    Rehearsal,
    Strategy,
)

__all__ = ["STRATEGIES", "make_strategy"]

_FAITHFUL = TreeSettings(exploration=0.1, min_split=10, kernel="poly", penalty=1.0, selection="leaf")

_HEDGE = 0.4
"""Share of the default's proposals from outside the region: two in a batch of five."""

_RELEVANCE = 0.3


def _model() -> Model:
    """The default model: one length scale for each feature, tied together by a weak prior."""
    return GaussianProcess("encodings", relevance=_RELEVANCE)


def _lamoo() -> LaMOO:
    """The default strategy."""
    return LaMOO(EHVISampler(_model(), hedge=_HEDGE), name="lamoo")


_MAKERS: dict[str, Callable[[], Strategy]] = {
    "lamoo": _lamoo,
    "lamoo-qehvi": lambda: LaMOO(EHVISampler(_model()), name="lamoo-qehvi"),
    "lamoo-mutation": lambda: LaMOO(MutationSampler(), name="lamoo-mutation"),
    "lamoo-random": lambda: LaMOO(RandomSampler(), name="lamoo-random"),
    "lamoo-cmaes": lambda: LaMOO(CMASampler(), name="lamoo-cmaes"),
    "lamoo-faithful": lambda: LaMOO(RandomSampler(), _FAITHFUL, name="lamoo-faithful"),
    "lamoo-cheap": lambda: Rehearsal(_lamoo(), name="lamoo-cheap"),
    "qehvi": lambda: EHVISearch(_model(), name="qehvi"),
    "qehvi-hamming": lambda: EHVISearch(GaussianProcess("one_hot"), name="qehvi-hamming"),
    "lamoo-hamming": lambda: LaMOO(EHVISampler(GaussianProcess("one_hot"), hedge=_HEDGE), name="lamoo-hamming"),
    "qehvi-learned": lambda: EHVILearned(_model(), name="qehvi-learned"),
    "mutation": ParetoLocalSearch,
    "random": RandomSearch,
    "cmaes": CategoricalCMA,
    "nsga2": NSGA2,
    "nsga3": NSGA3,
    "moead": MOEAD,
    "tpe": TPE,
    "optuna-nsga2": OptunaNSGA2,
    "qlognehvi": lambda: QLogNEHVI(known_exact=False, name="qlognehvi"),
    "qlognehvi-known": lambda: QLogNEHVI(known_exact=True, name="qlognehvi-known"),
}

_NEEDS = {
    "lamoo-cmaes": "cmaes",
    "cmaes": "cmaes",
    "tpe": "optuna",
    "optuna-nsga2": "optuna",
    "qlognehvi": "botorch",
    "qlognehvi-known": "botorch",
}

STRATEGIES: tuple[str, ...] = tuple(_MAKERS)
"""Names that `make_strategy` knows."""


def make_strategy(name: str) -> Strategy:
    """The strategy called `name`, with its default settings.

    Raises:
        SearchError: When there is none of that name, or the package that it needs is not installed.
    """
    if name not in _MAKERS:
        raise SearchError(f"unknown strategy {name!r}; choose from {', '.join(STRATEGIES)}")
    package = _NEEDS.get(name)
    if package is not None and find_spec(package) is None:
        raise SearchError(f"strategy {name!r} needs the package {package}, which is not installed")
    return _MAKERS[name]()
