"""Optuna's multi-objective samplers, TPE and NSGA-II; for Optuna 4 and 5."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from search._arrays import IntArray, row_keys
from search._context import Context
from search.strategies._base import NamedStrategy, Suggestion

if TYPE_CHECKING:
    import optuna

__all__ = ["TPE", "OptunaNSGA2"]

_PATIENCE = 20


@contextmanager
def _quiet() -> Iterator[None]:
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _space(context: Context) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import CategoricalDistribution

    cards = context.problem.domain.cardinalities
    return {f"c{k}": CategoricalDistribution(list(range(card))) for k, card in enumerate(cards)}


def _study(context: Context, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    import optuna

    directions = [optuna.study.StudyDirection.MAXIMIZE] * len(context.problem.objectives)
    return optuna.create_study(sampler=sampler, directions=directions)


def _row(trial: optuna.Trial, context: Context) -> IntArray:
    row = [trial.params[f"c{k}"] for k in range(context.problem.domain.dimension)]
    return context.problem.domain.canonicalise(np.array([row], dtype=np.int64))


def _ask_fresh(context: Context, study: optuna.Study, n: int) -> IntArray:
    """Ask for up to `n` untried candidates, at most 20 times for each; inadmissible trials are failed."""
    from optuna.trial import TrialState

    space, candidates = _space(context), context.codes[:0]
    seen: set[bytes] = set()
    for _ in range(n * _PATIENCE):
        trial = study.ask(space)
        row = context.admit(_row(trial, context))
        if len(row) == 0 or row_keys(row)[0] in seen:
            study.tell(trial, state=TrialState.FAIL)
            continue
        seen.add(row_keys(row)[0])
        candidates = np.concatenate([candidates, row])
        if len(candidates) == n:
            break
    return candidates


class TPE(NamedStrategy):
    """Multi-objective tree-structured Parzen estimator (Ozaki et al. 2022, doi 10.1613/jair.1.13188).

    It is multivariate, with pending trials as constant liars.
    """

    name = "tpe"
    packages = ("optuna",)
    extra = "compare"

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest proposals of a new sampler that is given all trials."""
        import optuna

        with _quiet():
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=0, multivariate=True, constant_liar=True, seed=int(rng.integers(2**31))
            )
            study, space = _study(context, sampler), _space(context)
            for codes, point in zip(context.codes.tolist(), context.points.tolist(), strict=True):
                params = {f"c{k}": code for k, code in enumerate(codes)}
                trial = optuna.trial.create_trial(params=params, distributions=space, values=point)
                study.add_trial(trial)
            return Suggestion(_ask_fresh(context, study, n))


class OptunaNSGA2(NamedStrategy):
    """Optuna's generational NSGA-II.

    The sampler stores its generations in the trials that it proposed. So the earlier trials are enqueued into a new
    study in their order, where generations form and survivors are selected as before.

    Args:
        population: Size of a generation.
    """

    name = "optuna-nsga2"
    packages = ("optuna",)
    extra = "compare"

    def __init__(self, population: int = 20) -> None:
        self.population = population

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest offspring after all trials were enqueued in generations."""
        import optuna

        with _quiet():
            sampler = optuna.samplers.NSGAIISampler(
                population_size=max(2, min(self.population, len(context.codes))), seed=int(rng.integers(2**31))
            )
            study, space = _study(context, sampler), _space(context)
            for codes, point in zip(context.codes.tolist(), context.points.tolist(), strict=True):
                study.enqueue_trial({f"c{k}": code for k, code in enumerate(codes)})
                study.tell(study.ask(space), point)
            return Suggestion(_ask_fresh(context, study, n))
