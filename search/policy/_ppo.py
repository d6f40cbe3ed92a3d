"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347). Imports torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from search._arrays import FloatArray, IntArray
from search.policy._lstm import LSTMPolicy

__all__ = ["PPO", "Episodes"]

_LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class Episodes:
    """Architectures with what they are worth.

    Attributes:
        codes: Rows ``(n, d)``.
        preferences: The preferences ``(n, m)`` that they are judged by.
        advantages: How much better they are than usual ``(n,)``, by these preferences.
    """

    codes: IntArray
    preferences: FloatArray
    advantages: FloatArray


class PPO:
    """Trains a policy.

    Args:
        policy: The policy.
        rate: Learning rate of Adam.
        clip: Range of the ratio of new to old probability that the objective is clipped to.
        entropy: Weight of the entropy, which keeps the policy from settling early.
        epochs: Steps for each set of episodes.
    """

    def __init__(self, policy: LSTMPolicy, rate: float, clip: float, entropy: float, epochs: int) -> None:
        self.policy = policy
        self._clip, self._entropy, self._epochs = clip, entropy, epochs
        self._optimizer = torch.optim.Adam(policy.parameters(), lr=rate)

    def update(self, episodes: Episodes) -> None:
        """Take the steps for one set of episodes; the policy before the first step is the old one."""
        codes = torch.as_tensor(episodes.codes)
        preferences = torch.as_tensor(episodes.preferences)
        advantages = torch.as_tensor(episodes.advantages)[:, None]
        old: torch.Tensor | None = None
        for _ in range(self._epochs):
            every = self.policy(codes, preferences)
            taken = every.gather(2, codes[:, :, None])[:, :, 0]
            old = taken.detach() if old is None else old
            # r_t = pi(a_t | s_t) / pi_old(a_t | s_t), L = E min(r_t A, clip(r_t, 1 - e, 1 + e) A) (equation 7).
            ratio = torch.exp(taken - old)
            clipped = torch.clamp(ratio, 1.0 - self._clip, 1.0 + self._clip)
            gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
            # S = -sum_v pi(v) log pi(v), the mean over choices and episodes (equation 9, without a learned value).
            entropy = -(every.exp() * every).sum(dim=-1).mean()
            self._optimizer.zero_grad()
            (-(gain + self._entropy * entropy)).backward()
            torch.nn.utils.clip_grad_norm_(self.policy.parameters(), _LARGEST_GRADIENT)
            self._optimizer.step()
