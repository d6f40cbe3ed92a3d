"""Policies that walk through a domain, trained by augmented random search (Mania et al. 2018, arXiv 1803.07055)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search._arrays import FloatArray, IntArray
from search._domain import Domain

__all__ = ["ARSSettings", "cluster", "encode_codes", "round_to_codes", "train_policies"]

Reward = Callable[[IntArray], FloatArray]
"""Maps rows of codes ``(n, d)`` to rewards ``(n,)``."""

_CLUSTER_ROUNDS = 20


@dataclass(frozen=True)
class ARSSettings:
    """How policies are shaped and trained.

    Attributes:
        directions: N, the number of random directions of an iteration.
        kept: K, the number of directions that an update uses.
        noise: nu, the size of a perturbation.
        rate: alpha, the size of an update.
        horizon: H, the number of steps of a rollout.
        hidden: Number of hidden units.
        iterations: Number of updates.
        step: The largest change of a coordinate in one step.
    """

    directions: int = 8
    kept: int = 4
    noise: float = 0.1
    rate: float = 0.1
    horizon: int = 5
    hidden: int = 16
    iterations: int = 10
    step: float = 0.25


def encode_codes(codes: IntArray, domain: Domain) -> FloatArray:
    """Map rows ``(n, d)`` to coordinates in [0, 1]^d: the first value of a choice to 0, the last to 1."""
    coordinates: FloatArray = codes / np.maximum(np.asarray(domain.cardinalities) - 1, 1)
    return coordinates


def round_to_codes(coordinates: FloatArray, domain: Domain) -> IntArray:
    """Round coordinates ``(n, d)`` in [0, 1]^d to rows ``(n, d)``."""
    steps = np.asarray(domain.cardinalities) - 1
    codes: IntArray = np.floor(coordinates * steps + 0.5).astype(np.int64)
    return codes


def cluster(points: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """Find the centres ``(l, d)``, l <= k, of clusters of points ``(n, d)`` by Lloyd's algorithm.

    Args:
        points: The points, n >= 1.
        k: Number of clusters wanted.
        rng: Chooses the points that the centres start from.
    """
    distinct = np.unique(points, axis=0)
    if len(distinct) <= k:
        return distinct
    from scipy.cluster.vq import kmeans2

    start = distinct[np.sort(rng.choice(len(distinct), size=k, replace=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cluster that becomes empty keeps its centre
        centres: FloatArray = kmeans2(distinct, start, iter=_CLUSTER_ROUNDS, minit="matrix")[0]
    return centres


class _Networks:
    """Perceptrons with one hidden layer and tanh after both layers; each row of parameters is one of them.

    Args:
        inputs: Number d of coordinates.
        hidden: Number of hidden units.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        self._shapes = ((inputs, hidden), (1, hidden), (hidden, inputs), (1, inputs))
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes])
        self.size = int(self._ends[-1])
        # Weights of a layer start with variance 1 / fan-in; biases start at 0.
        scales = (1.0 / math.sqrt(inputs), 0.0, 1.0 / math.sqrt(hidden), 0.0)
        counts = [math.prod(shape) for shape in self._shapes]
        self.start_scale = np.repeat(scales, counts)

    def __call__(self, parameters: FloatArray, coordinates: FloatArray) -> FloatArray:
        """Compute the moves ``(b, d)`` in [-1, 1] of networks ``(b, p)`` at coordinates ``(b, d)``."""
        parts = np.split(parameters, self._ends[:-1], axis=1)
        w1, b1, w2, b2 = (part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes, strict=True))
        # tanh(W2 tanh(W1 x + b1) + b2), for x in [-1, 1]^d.
        centred = 2.0 * coordinates[:, None, :] - 1.0
        moves: FloatArray = np.tanh(np.tanh(centred @ w1 + b1) @ w2 + b2)
        return moves[:, 0, :]


def train_policies(
    starts: FloatArray, domain: Domain, reward: Reward, settings: ARSSettings, rng: np.random.Generator
) -> FloatArray:
    """Train one policy for each start; whatever a rollout visits is passed to `reward`.

    Algorithm 1 (V1-t) of arXiv 1803.07055, with the return of a rollout the sum of its rewards:
    Theta += alpha / (K sigma_R) sum over the best K directions of (r+ - r-) phi.

    Args:
        starts: Coordinates ``(l, d)`` in [0, 1]^d.
        domain: The domain.
        reward: Rates rows of codes.
        settings: The settings.
        rng: Random generator of the batch.

    Returns:
        The return of each policy after each update ``(iterations + 1, l)``, the first before any.
    """
    count = len(starts)
    networks = _Networks(starts.shape[1], settings.hidden)
    theta = rng.standard_normal((count, networks.size)) * networks.start_scale
    returns = [_rollouts(networks, theta, starts, domain, reward, settings)]
    for _ in range(settings.iterations):
        phi = rng.standard_normal((count, settings.directions, networks.size))
        both = np.stack([theta[:, None] + settings.noise * phi, theta[:, None] - settings.noise * phi], axis=1)
        flat = both.reshape(-1, networks.size)
        origins = np.repeat(starts, 2 * settings.directions, axis=0)
        totals = _rollouts(networks, flat, origins, domain, reward, settings).reshape(count, 2, settings.directions)
        theta = theta + settings.rate * _ascent(totals, phi, settings.kept)
        returns.append(_rollouts(networks, theta, starts, domain, reward, settings))
    return np.stack(returns)


def _ascent(totals: FloatArray, phi: FloatArray, kept: int) -> FloatArray:
    """Compute the direction of ascent of each policy ``(l, p)``.

    Args:
        totals: Returns ``(l, 2, N)`` with every direction added and subtracted.
        phi: Directions ``(l, N, p)``.
        kept: K.
    """
    # The K directions with the largest max(r+, r-).
    best = np.argsort(-totals.max(axis=1), axis=1, kind="stable")[:, :kept]
    used = np.take_along_axis(totals, best[:, None, :], axis=2)
    sigma = used.std(axis=(1, 2))
    weights = (used[:, 0] - used[:, 1]) / (kept * np.where(sigma > 0, sigma, 1.0))[:, None]
    ascent: FloatArray = np.einsum("lk,lkp->lp", weights, np.take_along_axis(phi, best[:, :, None], axis=1))
    return ascent


def _rollouts(
    networks: _Networks,
    parameters: FloatArray,
    starts: FloatArray,
    domain: Domain,
    reward: Reward,
    settings: ARSSettings,
) -> FloatArray:
    """Compute the returns ``(b,)`` of networks ``(b, p)`` that walk from starts ``(b, d)``."""
    coordinates, total = starts, np.zeros(len(starts))
    for _ in range(settings.horizon):
        coordinates = np.clip(coordinates + settings.step * networks(parameters, coordinates), 0.0, 1.0)
        total = total + reward(round_to_codes(coordinates, domain))
    return total
