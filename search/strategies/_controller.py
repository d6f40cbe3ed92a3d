"""The LSTM controller that PPO trains on the reward of finished trials (NAS-FCOS, arXiv 1906.04423)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search._arrays import FloatArray, IntArray, unique_rows
from search._context import Context
from search._options import StrategyOption
from search._threads import seeded_torch
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
_UPDATE_SIZE = 32
"""Most new trials in one update."""
_MOST_UPDATES = 20
"""Most updates for one batch, and for each proposal where the policy is trained anew."""


class Controller(NamedStrategy):
    """Samples architectures from a policy, choice by choice, and trains it on finished trials.

    An LSTM sets one choice after the other (Zoph and Le 2017, arXiv 1611.01578); proximal policy optimisation trains
    it, as in NAS-FCOS (arXiv 1906.04423, section 3.3). The published reward is one number. Here it is the reward for
    random weights of the objectives, which are an input of the policy; each trial is judged by several of them. The
    advantage of a trial is its rank among all trials by the same weights. The policy also replays earlier trials, which
    PPO itself does not: with a few hundred trials it learns too slowly without them.

    After each batch the policy takes the steps for its trials, with random numbers that the batch's index seeds. So
    the policy is a function of the trials. It is kept for the next call, and trained anew where the trials do not begin
    with those of the last call. A batch of more than 32 trials makes several updates, of 32 trials each, and counts
    with its last 20 updates at most. An `Advisor` puts all trials after the first ones into one batch.

    Where values are told with standard deviations, each batch changes the values of earlier trials. There the policy is
    trained anew for every batch, on the last 20 updates alone, so that the time of a batch does not grow with the
    number of trials. Earlier trials still count in ranks and are replayed.

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
        domain, objectives = context.problem.domain, len(context.problem.objectives)
        candidates = context.codes[:0]
        with seeded_torch():
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
        """Train the policy on all trials, or on those after the last call's, or on the latest where values change."""
        updates = _updates(context.batches)
        learner, start = None, 0
        changing = _values_change(context)
        if changing:
            updates = updates[-_MOST_UPDATES:]
        elif self._latest is not None and continues(context, self._latest[0]):
            before, learner = self._latest
            start = len(before.codes)
        self._latest = None  # an interrupted training is not continued
        learner = learner or self._untrained(context)
        gains = self._gains(context)
        for update in updates:
            if update.first >= start:
                learner.update(self._episodes(context, update, gains))
        if not changing:
            self._latest = context, learner
        return learner

    def _gains(self, context: Context) -> FloatArray:
        """Compute what each trial ``(n,)`` added to the hypervolume of earlier batches; empty for other rewards."""
        if self.reward == "weights":
            return np.zeros(0)
        return improvements(context.points, context.batches, context.reference)

    def _untrained(self, context: Context) -> PPO:
        from search.policy._lstm import LSTMPolicy
        from search.policy._ppo import PPO

        domain = context.problem.domain
        policy = LSTMPolicy(domain.cardinalities, len(context.problem.objectives), _HIDDEN)
        return PPO(policy, self.rate, _CLIP, self.entropy, self.epochs)

    def _episodes(self, context: Context, update: _Update, gains: FloatArray) -> Episodes:
        """Collect the trials of an update and replayed ones, each judged by weights of its own.

        Args:
            context: The study's view.
            update: The trials that are new to the policy.
            gains: What each trial ``(n,)`` added to the hypervolume; not read for the reward by weights.
        """
        from search.policy._ppo import Episodes

        rng = np.random.default_rng(update.seed)
        points = context.points[: update.last]
        replayed = rng.integers(update.last, size=self.replay)
        members: IntArray = np.concatenate([np.arange(update.first, update.last), replayed])
        weights = draw_weights(len(members), points.shape[1], rng)
        if self.reward == "weights":
            advantages = ranked_advantages(weighted_rewards(points, weights, context.reference), _POWER)
            chosen = advantages[np.arange(len(members)), members]
        else:
            chosen = ranked_advantages(gains[: update.last], _POWER)[members]
        return Episodes(context.codes[members], self._preferences(weights), chosen)


@dataclass(frozen=True)
class _Update:
    """The trials that are new to the policy in one update.

    Attributes:
        first: Index of the first one.
        last: Index after the last one.
        seed: Seeds the random numbers of the update.
    """

    first: int
    last: int
    seed: tuple[int, int]


def _updates(batches: IntArray) -> list[_Update]:
    """Make the updates: one for each batch of at most 32 trials, several for a longer one, the last 20 of them at most.

    Args:
        batches: Index of the batch of each trial ``(n,)``, ascending.
    """
    updates: list[_Update] = []
    for batch in np.unique(batches):
        end = int(np.searchsorted(batches, batch, side="right"))
        starts = range(int(np.searchsorted(batches, batch)), end, _UPDATE_SIZE)
        parts = [_Update(first, min(first + _UPDATE_SIZE, end), (int(batch), i)) for i, first in enumerate(starts)]
        updates.extend(parts[-_MOST_UPDATES:])
    return updates


def _values_change(context: Context) -> bool:
    """Check whether the points of earlier trials change with every batch.

    Told values with deviations are combined anew with the corrected estimates. Without a successful trial in the
    initial design the scale follows all values.
    """
    return not (np.array_equal(context.values, context.told, equal_nan=True) and (context.batches == 0).any())
