"""Expected hypervolume improvement over the whole space: LaMOO's model and acquisition without its tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from search._context import Context
from search._options import OptionValue, StrategyOption
from search.bayes import MOST_COMPUTED, greedy_batch, make_pool, random_weights, scalar_batch, whole_pool
from search.models import MODELS, Model, make_model
from search.strategies._base import NamedStrategy, Strategy, Suggestion
from search.strategies._ehvi_learned import EHVILearned

__all__ = ["EHVISearch"]

_CHOICES = 256
_EXACT, _LEARNED = "exact", "learned"


class EHVISearch(NamedStrategy):
    """Maximises expected hypervolume improvement: a model of the expensive objective, exact costs, the whole space.

    With more than `MOST_COMPUTED` costs, each batch improves one random trade-off between the objectives instead, as
    ParEGO does.

    Args:
        model: Model of the expensive objective.
    """

    name = "qehvi"
    options = (
        StrategyOption("model", MODELS[0], "model of the expensive objective", choices=MODELS),
        StrategyOption(
            "costs", _EXACT, "whether costs are computed or learned like the objective", choices=(_EXACT, _LEARNED)
        ),
    )
    variants: ClassVar[Mapping[str, Mapping[str, OptionValue]]] = {
        "qehvi-hamming": {"model": "hamming"},
        "qehvi-learned": {"costs": _LEARNED},
    }

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Strategy:
        """Make this strategy, or `EHVILearned` where costs are to be learned."""
        model = make_model(str(options["model"]))
        return EHVILearned(model) if options["costs"] == _LEARNED else cls(model)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest the greedy batch of the whole pool."""
        if len(context.problem.expensive) > 1:
            return self._propose_for_several(context, n, rng)
        codes, rows = whole_pool(context, rng)
        if context.points.shape[1] - 1 > MOST_COMPUTED:
            weights = random_weights(1, context.points.shape[1], rng)[0]
            return Suggestion(scalar_batch(context, self.model, codes, weights, n))
        pool = make_pool(context, codes, rows)
        return Suggestion(greedy_batch(context, self.model, pool, n))

    @staticmethod
    def _propose_for_several(context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest a batch by BoTorch's qLogNEHVI, for more than one expensive objective."""
        from search.bayes._botorch import log_nehvi_batch

        codes, _ = whole_pool(context, rng)
        if len(context.codes) < 2 or len(codes) == 0:
            return Suggestion(codes[:n])
        choices = codes[np.sort(rng.permutation(len(codes))[:_CHOICES])]
        return Suggestion(log_nehvi_batch(context, choices, n, rng, exact_costs=True, log_error=True))
