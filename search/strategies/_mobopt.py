"""Bayesian optimisation whose proposals come from local policies trained on the model (arXiv 2305.14109)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search._arrays import FloatArray, IntArray, row_keys, unique_rows
from search._context import Context
from search._options import OptionValue, StrategyOption
from search.bayes import Objectives, Scalarisation, make_pool, random_weights, scalarise
from search.models import MODELS, Model, make_model
from search.strategies._base import NamedStrategy, Strategy, Suggestion
from search.strategies._policies import ARSSettings, cluster, encode_codes, train_policies

__all__ = ["MOBOpt"]

_SETTINGS = ARSSettings()
_POLICIES = 4


class MOBOpt(NamedStrategy):
    """Lets local policies propose, which augmented random search trains on models of the objectives.

    After "Multi-Objective Bayesian Optimization and Reinforcement Learning for TinyML" (arXiv 2305.14109). The models
    are fitted anew to the trials of each batch. Each proposal has random weights: L perceptrons walk from the centres
    of L clusters of the Pareto archive, in coordinates where the first value of a choice is 0 and the last is 1, and
    every step is rounded to an architecture. The reward of a step is the expected improvement of the weighted
    Chebyshev distance (`search.bayes.Scalarisation`), 0 where the architecture is not admissible or was proposed
    before. Augmented random search trains the policies, and the architecture with the largest reward that any rollout
    visited is proposed. The next proposal of the batch takes the prediction for an observation.

    What the paper's abstract leaves open are choices of this implementation: the sizes of `ARSSettings`, costs that are
    computed instead of learned, several proposals in a batch, and policies that start anew for each proposal, from
    random weights, so that a search resumes bit for bit.

    Args:
        model: Model of each expensive objective.
        policies: L, the number of policies.
        settings: How policies are trained.
    """

    name = "mobopt"
    options = (
        StrategyOption("model", MODELS[0], "model of each expensive objective", choices=MODELS),
        StrategyOption("policies", _POLICIES, "local policies for each proposal", minimum=1, maximum=64),
        StrategyOption("horizon", _SETTINGS.horizon, "steps that a policy takes", minimum=1, maximum=100),
        StrategyOption("iterations", _SETTINGS.iterations, "updates of a policy", minimum=0, maximum=1000),
        StrategyOption(
            "step",
            _SETTINGS.step,
            "largest change of a choice in a step, as a share of its range",
            minimum=0.01,
            maximum=1,
        ),
    )

    def __init__(self, model: Model, policies: int = _POLICIES, settings: ARSSettings = _SETTINGS) -> None:
        self.model, self.policies, self.settings = model, policies, settings

    @classmethod
    def from_options(cls, options: Mapping[str, OptionValue]) -> Strategy:
        """Make the strategy."""
        settings = ARSSettings(
            horizon=int(options["horizon"]), iterations=int(options["iterations"]), step=float(options["step"])
        )
        return cls(make_model(str(options["model"])), int(options["policies"]), settings)

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest one candidate for each of `n` draws of weights, fewer where the policies reach no more."""
        domain = context.problem.domain
        objectives = Objectives(context, self.model, rng)
        archive = context.points[context.archive]
        starts = cluster(encode_codes(context.codes[context.archive], domain), self.policies, rng)
        chosen = context.codes[:0]
        for weights in random_weights(n, archive.shape[1], rng):
            landscape = _Landscape(context, objectives, scalarise(archive, weights), chosen)
            train_policies(starts, domain, landscape, self.settings, rng)
            if landscape.best is None:
                break
            row, point = landscape.best
            chosen, archive = np.concatenate([chosen, row]), np.concatenate([archive, point])
        return Suggestion(chosen)


class _Landscape:
    """Rewards of architectures: the expected improvement of one trade-off, 0 for those that may not be proposed.

    Each architecture is rated once.

    Args:
        context: The study's view.
        objectives: Predicts the objectives.
        scalarisation: The trade-off.
        chosen: Rows ``(k, d)`` that the batch holds already; the models take their predictions for observations.

    Attributes:
        best: The row ``(1, d)`` with the largest reward so far, and its predicted point ``(1, m)``; see
            `Scalarisation.best` for rows with equal rewards. `None` where none may be proposed.
    """

    def __init__(
        self, context: Context, objectives: Objectives, scalarisation: Scalarisation, chosen: IntArray
    ) -> None:
        self._context, self._objectives, self._scalarisation = context, objectives, scalarisation
        self._chosen = chosen
        self._rewards: dict[bytes, float] = dict.fromkeys(row_keys(chosen), 0.0)
        self._rank = (-np.inf, -np.inf)
        self.best: tuple[IntArray, FloatArray] | None = None

    def __call__(self, codes: IntArray) -> FloatArray:
        """Rate rows of codes ``(n, d)``; return their rewards ``(n,)``."""
        rows = self._context.problem.domain.canonicalise(codes)
        keys = row_keys(rows)
        fresh = [place for place, key in enumerate(keys) if key not in self._rewards]
        if fresh:
            self._rate(unique_rows(rows[fresh]))
        return np.array([self._rewards[key] for key in keys])

    def _rate(self, rows: IntArray) -> None:
        """Rate distinct canonical rows ``(n, d)`` that were not rated before."""
        self._rewards.update(dict.fromkeys(row_keys(rows), 0.0))
        admitted = self._context.admit(rows)
        if len(admitted) == 0:
            return
        believed = self._objectives.predict(make_pool(self._context, np.concatenate([self._chosen, admitted])))
        first = len(self._chosen)
        for place in range(first):
            believed.condition(place)
        gains = believed.expected_improvement(self._scalarisation)[first:]
        self._rewards.update(zip(row_keys(admitted), gains.tolist(), strict=True))
        points = believed.points[first:]
        top = self._scalarisation.best(gains, points)
        rank = (float(gains[top]), -float(self._scalarisation.distances(points[top : top + 1])[0]))
        if rank > self._rank:
            self._rank, self.best = rank, (admitted[top : top + 1], points[top : top + 1])
