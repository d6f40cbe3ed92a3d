"""ParEGO: expected improvement of a randomly weighted Chebyshev distance (Knowles 2006)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from search._arrays import BoolArray, FloatArray, IntArray
from search._context import Context
from search._options import OptionValue, StrategyOption
from search.bayes import (
    Believed,
    Objectives,
    Scalarisation,
    choose_greedily,
    make_pool,
    random_weights,
    scalar_batch,
    scalarise,
    whole_pool,
)
from search.models import MODELS, Model, make_model
from search.strategies._base import NamedStrategy, Strategy, Suggestion

__all__ = ["ParEGO"]

_EXACT, _LEARNED = "exact", "learned"


class ParEGO(NamedStrategy):
    """Maximises the expected improvement of an augmented Chebyshev distance with random weights.

    After Knowles (2006, doi 10.1109/TEVC.2005.851274). Every proposal has weights of its own, drawn uniformly, and the
    candidate of the whole space (of a sample of it, where it is large) with the largest expected improvement of their
    distance. Knowles fits one model to the distance itself (`exact_costs` false, and each proposal of a batch has its
    own fit). By default the models learn the expensive objectives alone, the costs are computed, and the proposals of
    a batch are taken at their predictions when the next is chosen.

    Args:
        model: Model of each expensive objective, or of the distance.
        exact_costs: Compute the objectives that have a cost function; otherwise the distance is learned.
    """

    name = "parego"
    options = (
        StrategyOption("model", MODELS[0], "model of each expensive objective", choices=MODELS),
        StrategyOption(
            "costs",
            _EXACT,
            "compute costs and learn the other objectives, or learn one distance of all",
            choices=(_EXACT, _LEARNED),
        ),
    )
    variants: ClassVar[Mapping[str, Mapping[str, OptionValue]]] = {"parego-learned": {"costs": _LEARNED}}

    def __init__(self, model: Model, exact_costs: bool = True) -> None:
        self.model = model
        self.exact_costs = exact_costs

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Strategy:
        """Make the strategy."""
        return cls(make_model(str(options["model"])), exact_costs=options["costs"] == _EXACT)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest one candidate for each of `n` draws of weights."""
        weights = random_weights(n, context.points.shape[1], rng)
        codes, rows = whole_pool(context, rng)
        if not self.exact_costs:
            return Suggestion(self._learn_distances(context, codes, weights))
        pool = make_pool(context, codes, rows)
        archive = context.points[context.archive]
        acquisition = _Acquisition(Objectives(context, self.model, rng).predict(pool), weights, len(archive))
        return Suggestion(choose_greedily(acquisition, pool, archive, n))

    def _learn_distances(self, context: Context, codes: IntArray, weights: FloatArray) -> IntArray:
        """Choose one of the candidates ``(p, d)`` by a model of the distance for each row of weights ``(n, m)``."""
        chosen = codes[:0]
        for row in weights:
            best = scalar_batch(context, self.model, codes, row, 1)
            codes = codes[(codes != best).any(axis=1)] if len(best) else codes
            chosen = np.concatenate([chosen, best])
        return chosen


@dataclass
class _Acquisition:
    """Expected improvement of another distance for each proposal of a batch.

    Attributes:
        believed: Predictions of the pool.
        weights: Weights ``(n, m)``, a row for each proposal.
        start: Size of the archive before the first proposal.
        scalarisation: The trade-off of the current proposal.
    """

    believed: Believed
    weights: FloatArray
    start: int
    scalarisation: Scalarisation = field(init=False)

    def gain(self, archive: FloatArray) -> FloatArray:
        """Compute the expected improvement ``(p,)`` of the proposal's distance over an archive ``(k, m)``."""
        self.scalarisation = scalarise(archive, self.weights[len(archive) - self.start])
        return self.believed.expected_improvement(self.scalarisation)

    def pick(self, gain: FloatArray, allowed: BoolArray) -> int:
        """Pick the best allowed candidate by the distance that `gain` was last called for; see `Scalarisation.best`."""
        return self.scalarisation.best(gain, self.believed.points, allowed)

    def believe(self, chosen: int) -> FloatArray:
        """Condition the models on the candidate; return the point ``(1, m)`` that they predict for it."""
        point = self.believed.points[chosen : chosen + 1]
        self.believed.condition(chosen)
        return point
