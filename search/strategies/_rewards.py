"""Rewards of trials for a policy: by random weights of the objectives, or by what they added to the hypervolume."""

from __future__ import annotations

import numpy as np

from search._arrays import FloatArray, IntArray
from search._pareto import added_volumes

__all__ = ["draw_weights", "improvements", "ranked_advantages", "weighted_rewards"]

_LEAST_WEIGHT = 1e-3


def draw_weights(n: int, objectives: int, rng: np.random.Generator) -> FloatArray:
    """Draw unit vectors ``(n, m)``, uniform on the positive part of the sphere."""
    weights = np.abs(rng.normal(size=(n, objectives))) + _LEAST_WEIGHT
    result: FloatArray = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    return result


def weighted_rewards(points: FloatArray, weights: FloatArray, reference: FloatArray) -> FloatArray:
    """Compute hypervolume scalarisations (Zhang and Golovin 2020, arXiv 2006.04655, section 3).

    The reward of a point y for the weights w is min_k (y_k - r_k) / w_k: the length from the reference r along w up to
    where y no longer dominates. The mean over all w of the best one's m-th power is the hypervolume, up to a factor.

    Args:
        points: Normalised objectives ``(n, m)``, maximised.
        weights: Unit vectors ``(k, m)``, positive.
        reference: Reference point ``(m,)``.

    Returns:
        Rewards ``(k, n)``.
    """
    result: FloatArray = ((points - reference)[None] / weights[:, None]).min(axis=2)
    return result


def improvements(points: FloatArray, batches: IntArray, reference: FloatArray) -> FloatArray:
    """Compute how much hypervolume each trial adds to that of all earlier batches, ``(n,)``.

    Args:
        points: Normalised objectives ``(n, m)``, maximised, by number of the trial.
        batches: Index of the batch of each trial ``(n,)``, ascending.
        reference: Reference point ``(m,)``.
    """
    gains = np.zeros(len(points))
    for batch in np.unique(batches):
        new = batches == batch
        gains[new] = added_volumes(points[batches < batch], points[new], reference)
    return gains


def ranked_advantages(rewards: FloatArray, power: float) -> FloatArray:
    """Turn rewards into advantages by their ranks: mean 0, standard deviation 1, 0 where all rewards are equal.

    Args:
        rewards: Rewards ``(..., n)``.
        power: Exponent of the rank's share; above 1 the best ones stand out.
    """
    from scipy.stats import rankdata

    share = rankdata(rewards, axis=-1) / rewards.shape[-1]
    shaped = share**power
    centred = shaped - shaped.mean(axis=-1, keepdims=True)
    spread = centred.std(axis=-1, keepdims=True)
    result: FloatArray = np.where(spread > 0, centred / np.where(spread > 0, spread, 1.0), 0.0)
    return result
