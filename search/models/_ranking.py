"""Models that learn from comparisons of trials: which of two is better, not by how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search._arrays import BoolArray, FloatArray
from search.models._base import Inputs
from search.models._gp import counts_in, with_presence
from search.models._gp_density import squared_distances

__all__ = ["Score", "fit_pair_classifier", "fit_ranking"]

Score = Callable[[Inputs], FloatArray]
"""Scores architectures (p rows), ``(p,)``; a higher score is predicted to be better."""

_STRENGTH = 1000.0
"""Sum of the weights of all pairs, over twice the number of trials."""
_SMOOTHNESS = 0.2
"""Median squared distance of trials in the kernel; smaller values make the utility smoother."""
_NEWTON_STEPS = 40
_LEAST_STEP = 1e-3
_TOLERANCE = 1e-6
_PAIRS = 3000
_PENALTY = 10.0
_JUDGES = 40


@dataclass(frozen=True)
class _Columns:
    """Columns of the kernel: the encodings, which counts are positive, and the one-hot codes.

    Attributes:
        counts: Columns ``(f,)`` of the encodings that are counts.
        scale: Factor of the columns: the median squared distance of different trials becomes `_SMOOTHNESS`.
    """

    counts: BoolArray
    scale: float

    @classmethod
    def fit(cls, train: Inputs) -> _Columns:
        """Find the counts and the scale."""
        columns = cls(counts_in(train.encodings), 1.0)
        distances = squared_distances(columns(train), columns(train))
        positive = distances[distances > 0]
        return cls(columns.counts, float(np.sqrt(_SMOOTHNESS / np.median(positive))) if len(positive) else 1.0)

    def __call__(self, inputs: Inputs) -> FloatArray:
        """Make the columns ``(n, g)`` of architectures."""
        return self.scale * np.hstack([with_presence(inputs.encodings, self.counts), inputs.one_hot])


def fit_ranking(train: Inputs, values: FloatArray) -> Score:
    """Fit a utility f to all comparisons of trials: the better one of each pair shall have the higher utility.

    Preference learning with a Gaussian process (Chu and Ghahramani 2005, doi 10.1145/1102351.1102369), with a
    logistic likelihood: f minimises

        sum_ij c_ij log(1 + exp(f_j - f_i)) + 1/2 f^T K^-1 f        over the pairs in which i is better than j,

    with K_ij = exp(-|x_i - x_j|^2). The order of two architectures follows from one utility, so it is antisymmetric and
    transitive, which a classifier of pairs is not. A pair counts with c_ij in proportion to 1 over the rank of its
    better trial: the order near the top decides what is found next.

    Args:
        train: Trials (n rows), n >= 1.
        values: Their values ``(n,)``, maximised.

    Returns:
        The utility.
    """
    columns = _Columns.fit(train)
    x = columns(train)
    kernel = np.exp(-squared_distances(x, x))
    weights = _maximise(kernel, np.sign(values[:, None] - values), _pair_weights(values))

    def utility(pool: Inputs) -> FloatArray:
        """Compute f(z) = sum_i a_i k(x_i, z), ``(p,)``."""
        result: FloatArray = np.exp(-squared_distances(columns(pool), x)) @ weights
        return result

    return utility


def _pair_weights(values: FloatArray) -> FloatArray:
    """Weigh the pairs ``(n, n)`` by 1 over the rank of the better trial; on average `_STRENGTH` / n."""
    order = np.argsort(-values, kind="stable")
    rank = np.empty(len(values))
    rank[order] = 1.0 + np.arange(len(values))
    weights = 1.0 / np.minimum(rank[:, None], rank)
    return weights * (_STRENGTH / len(values) / float(weights.mean()))


def _maximise(kernel: FloatArray, signs: FloatArray, pair_weights: FloatArray) -> FloatArray:
    """Find the weights a ``(n,)`` of the utility f = K a by Newton's method with step halving.

    Args:
        kernel: Kernel matrix K ``(n, n)``.
        signs: 1 where trial i is better than trial j, -1 where it is worse, 0 where both are equal ``(n, n)``.
        pair_weights: Weights c of the pairs ``(n, n)``, symmetric.
    """
    n, strength = len(kernel), pair_weights * (signs != 0)

    def loss(a: FloatArray, f: FloatArray) -> float:
        """Compute the objective; each pair is in the sum twice, so half of it counts."""
        margins = signs * (f[:, None] - f)
        return float(0.5 * (strength * np.logaddexp(0.0, -margins)).sum() + 0.5 * a @ f)

    a, f = np.zeros(n), np.zeros(n)
    current = loss(a, f)
    for _ in range(_NEWTON_STEPS):
        # p_ij = 1 / (1 + exp(s_ij (f_i - f_j))): the probability of the wrong order.
        wrong = np.exp(-np.logaddexp(0.0, signs * (f[:, None] - f)))
        # g_i = sum_j c_ij s_ij p_ij: minus the gradient of the likelihood term by f.
        gradient = (strength * signs * wrong).sum(axis=1)
        # Its Hessian W: the Laplacian of the graph with edge weights c_ij p_ij (1 - p_ij).
        edges = strength * wrong * (1.0 - wrong)
        hessian = np.diag(edges.sum(axis=1)) - edges
        # Newton's f = (K^-1 + W)^-1 (W f + g) (Rasmussen and Williams 2006, equation 3.18), so
        # a = K^-1 f = (I + W K)^-1 (W f + g).
        step = np.linalg.solve(np.eye(n) + hessian @ kernel, hessian @ f + gradient) - a
        share, before = 1.0, current
        while True:
            current = loss(a + share * step, kernel @ (a + share * step))
            if current <= before or share < _LEAST_STEP:
                break
            share /= 2.0
        if current > before:
            break
        a = a + share * step
        f = kernel @ a
        if before - current <= _TOLERANCE * abs(before):
            break
    return a


def fit_pair_classifier(train: Inputs, values: FloatArray) -> Score:
    """Fit a support vector machine that says which of two trials is better, as SMEM-NAS has it (arXiv 2407.15600).

    Its inputs are the one-hot codes of both trials side by side, [a; b], for at most 3,000 ordered pairs. The score of
    an architecture is the mean of tanh(decision) over comparisons with 40 trials, the best and others evenly spaced.

    Args:
        train: Trials (n rows), n >= 1.
        values: Their values ``(n,)``, maximised.

    Returns:
        The score; 0 everywhere where all values are equal.
    """
    from sklearn.svm import SVC

    first, second = np.nonzero(values[:, None] != values)
    if len(first) == 0:
        return lambda pool: np.zeros(len(pool.one_hot))
    # Half of the pairs are drawn, and each of them is shown in both orders.
    chosen = np.random.default_rng(0).permutation(len(first))[: min(_PAIRS, len(first)) // 2]
    first, second = np.append(first[chosen], second[chosen]), np.append(second[chosen], first[chosen])
    pairs = np.hstack([train.one_hot[first], train.one_hot[second]])
    # scikit-learn's gamma="scale": 1 / (number of features * variance of all entries).
    gamma = 1.0 / (pairs.shape[1] * float(pairs.var()))
    machine = SVC(C=_PENALTY, kernel="rbf", gamma=gamma)
    machine.fit(pairs, (values[first] > values[second]).astype(np.int64))
    order = np.argsort(-values, kind="stable")
    judges = train.one_hot[order[np.unique(np.linspace(0, len(order) - 1, _JUDGES).round().astype(np.int64))]]
    left, right = np.split(np.asarray(machine.support_vectors_, dtype=np.float64), 2, axis=1)
    # On pairs k([a; b], [s; t]) = k(a, s) k(b, t), so the decision is a product of matrices; the judges' part:
    against = np.asarray(machine.dual_coef_[0])[:, None] * np.exp(-gamma * squared_distances(right, judges))

    def score(pool: Inputs) -> FloatArray:
        """Compare each architecture with the judges, ``(p,)``."""
        decisions = np.exp(-gamma * squared_distances(pool.one_hot, left)) @ against + float(machine.intercept_[0])
        result: FloatArray = np.tanh(decisions).mean(axis=1)
        return result

    return score
