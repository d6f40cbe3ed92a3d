"""The LSTM controller that PPO trains on the reward of finished trials (NAS-FCOS, arXiv 1906.04423)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from search._arrays import FloatArray, IntArray, unique_rows
from search._context import Context
from search._options import StrategyOption
from search.strategies._base import NamedStrategy, Suggestion
from search.strategies._genetic import continues
from search.strategies._rewards import draw_weights, improvements, ranked_advantages, weighted_rewards

if TYPE_CHECKING:
    from search.policy._ppo import PPO, Episodes

__all__ = ["Controller"]

_REWARDS = ("weights", "hypervolume")
_CLIP = 0.2
_HIDDEN = 48
_ROUNDS = 24
_DRAWS = 32
_POWER = 6.0


class Controller(NamedStrategy):
    """Samples architectures from a policy, choice by choice, and trains it on finished trials.

    An LSTM sets one choice after the other (Zoph and Le 2017, arXiv 1611.01578); proximal policy optimisation trains
    it, as in NAS-FCOS (arXiv 1906.04423, section 3.3). The published reward is one number. Here it is the reward for
    random weights of the objectives, which are an input of the policy; each trial is judged by several of them. The
    advantage of a trial is its rank among all trials by the same weights. The policy also replays earlier trials, which
    PPO itself does not: with a few hundred trials it learns too slowly without them.

    After each batch the policy takes the steps for its trials, with random numbers that the batch's index seeds. So
    the policy is a function of the trials. It is kept for the next call, and trained anew where the trials do not begin
    with those of the last call.

    Args:
        reward: ``"weights"``, or ``"hypervolume"``: what a trial added to it when it was new.
        replay: Earlier trials that each update replays.
        epochs: Steps in each update.
        rate: Learning rate.
        entropy: Weight of the entropy.
    """

    name = "controller"
    options = (
        StrategyOption(
            "reward", _REWARDS[0], "reward of a trial: by random weights, or added volume", choices=_REWARDS
        ),
        StrategyOption("replay", 64, "earlier trials that each update replays; 0 for none", minimum=0, maximum=10000),
        StrategyOption("epochs", 8, "steps in each update", minimum=1, maximum=1000),
        StrategyOption("rate", 0.005, "learning rate of the policy", minimum=1e-6, maximum=1.0),
        StrategyOption(
            "entropy", 0.02, "weight of the entropy, which keeps proposals diverse", minimum=0.0, maximum=10.0
        ),
    )

    def __init__(
        self,
        reward: str = _REWARDS[0],
        replay: int = 64,
        epochs: int = 8,
        rate: float = 0.005,
        entropy: float = 0.02,
    ) -> None:
        self.reward = reward
        self.replay = replay
        self.epochs = epochs
        self.rate = rate
        self.entropy = entropy
        self._latest: tuple[Context, PPO] | None = None

    def propose(self, context: Context, n: int, rng: np.random.Generator) -> Suggestion:
        """Suggest untried draws from the trained policy; the draws grow more diverse while too few are untried."""
        from search.bayes._botorch import single_threaded

        domain, objectives = context.problem.domain, len(context.problem.objectives)
        candidates = context.codes[:0]
        with single_threaded():
            policy = self._trained(context).policy
            for attempt in range(_ROUNDS):
                weights = self._preferences(draw_weights(_DRAWS, objectives, rng))
                uniforms = rng.random((_DRAWS, domain.dimension))
                drawn = policy.sample(weights, uniforms, temperature=1.0 + attempt / 4)
                candidates = unique_rows(np.concatenate([candidates, context.admit(drawn)]))
                if len(candidates) >= n:
                    break
        return Suggestion(candidates[:n])

    def _preferences(self, weights: FloatArray) -> FloatArray:
        """Make the policy's input ``(n, m)``: the weights where they matter, else zeros."""
        return weights if self.reward == "weights" else np.zeros_like(weights)

    def _trained(self, context: Context) -> PPO:
        """Train the policy on all batches, or on those after the last call's."""
        learner, start = None, 0
        if self._latest is not None and continues(context, self._latest[0]):
            before, learner = self._latest
            start = len(before.codes)
        self._latest = None  # an interrupted training is not continued
        learner = learner or self._untrained(context)
        for batch in np.unique(context.batches[start:]):
            learner.update(self._episodes(context, int(batch)))
        self._latest = context, learner
        return learner

    def _untrained(self, context: Context) -> PPO:
        from search.policy._lstm import LSTMPolicy
        from search.policy._ppo import PPO

        domain = context.problem.domain
        policy = LSTMPolicy(domain.cardinalities, len(context.problem.objectives), _HIDDEN)
        return PPO(policy, self.rate, _CLIP, self.entropy, self.epochs)

    def _episodes(self, context: Context, batch: int) -> Episodes:
        """Collect the trials of a batch and replayed ones, each judged by weights of its own."""
        from search.policy._ppo import Episodes

        rng = np.random.default_rng(batch)
        last = int(np.searchsorted(context.batches, batch, side="right"))
        first = int(np.searchsorted(context.batches, batch))
        points, reference = context.points[:last], context.reference
        replayed = rng.integers(last, size=self.replay)
        members: IntArray = np.concatenate([np.arange(first, last), replayed])
        weights = draw_weights(len(members), points.shape[1], rng)
        if self.reward == "weights":
            advantages = ranked_advantages(weighted_rewards(points, weights, reference), _POWER)
            chosen = advantages[np.arange(len(members)), members]
        else:
            gains = improvements(points, context.batches[:last], reference)
            chosen = ranked_advantages(gains, _POWER)[members]
        return Episodes(context.codes[members], self._preferences(weights), chosen)
