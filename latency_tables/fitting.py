"""Fit prices of ops to latencies of whole networks alone, for devices on which ops cannot be measured.

A network costs a session and the sum of its ops' prices, none below zero. A handful of networks says little about
dozens of ops, so the prices get a structure, coarse parts first:

1. ``price = work . (global + kind)``: what an op does (multiply-accumulates, bytes, kernels; `work`) times a cost
   of each that all ops share, plus one for each kind of op. The kinds' own costs are shrunk towards zero.
2. Factors on these prices, one for each group of ops that the samples cannot tell apart, shrunk towards one; used where
   they predict networks that were left out better.

How strongly to shrink is left to cross-validation within the samples. Errors are relative; the loss is Huber's, so that
a network which a burst of noise hit does not bend the others' prices. Latencies of a coarse clock are intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SESSION_PENALTY, _GLOBAL_PENALTY = 1e-6, 1e-3
_KIND_PENALTIES = (0.03, 0.3, 3.0)
_FACTOR_PENALTIES = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
_WORTH, _MOST_FREEDOM = 0.95, 0.9
"""Factors must lower the error by a twentieth; leverages say nothing once samples are nearly interpolated."""
_HUBER, _NOISE, _STEPS = 1.345, 0.01, 8
_WORST = 0.3
_FLOOR = 0.1


@dataclass(frozen=True)
class AdditivePrices:
    """Prices of a session and of ops.

    Attributes:
        session_ms: of one inference, whatever is computed.
        prices_ms: of the ops, ``(p,)``.
        costs: of one unit of work: shared by all kinds ``(f,)``, then of each kind ``(k, f)``, flattened.
    """

    session_ms: float
    prices_ms: FloatArray
    costs: FloatArray

    def predict(self, counts: FloatArray) -> FloatArray:
        """Latencies ``(n,)`` in milliseconds of networks with op counts ``(n, p)``."""
        return np.asarray(self.session_ms + counts @ self.prices_ms)

    def of_work(self, work: FloatArray) -> FloatArray:
        """Prices ``(m,)`` of ops that do `work` ``(m, k, f)``, whether or not they were in the samples."""
        return np.asarray(_columns(work) @ self.costs)


@dataclass(frozen=True)
class _Solution:
    """Of one non-negative least-squares problem.

    Attributes:
        values: ``(d,)``.
        weights: of the samples, ``(n,)``.
        left_out: predictions of samples left out, ``(n,)``.
        freedom: effective parameters for each sample.
    """

    values: FloatArray
    weights: FloatArray
    left_out: FloatArray
    freedom: float

    @property
    def error(self) -> float:
        """Mean squared relative error of the left-out predictions, each at most 30 %."""
        return float(np.mean(np.minimum(np.abs(self.left_out - 1.0), _WORST) ** 2)) + 1e-12


class AdditiveFit:
    """Prices fitted to whole networks.

    Args:
        counts: how often each op occurs in each network, ``(n, p)``.
        work: what each op does, ``(p, k, f)``: by kind of op, the amounts of each quantity; not negative.
        latency_ms: of the networks, ``(n,)``, positive.
        quantum_ms: of the clock; each latency may be off by half of it. 0 where it is fine.
        refine: whether ops may have factors of their own (step 2 above).

    Attributes:
        error: of step 1 on networks left out: mean squared relative error, outliers cut at 30 %.
        refined: whether ops have factors of their own.
        weights: what became of each network's weight under Huber's loss, ``(n,)``, at most 1.
    """

    def __init__(
        self,
        counts: FloatArray,
        work: FloatArray,
        latency_ms: FloatArray,
        *,
        quantum_ms: float = 0.0,
        refine: bool = True,
    ) -> None:
        self._counts, self._work, self._latency = counts, work, latency_ms
        half = quantum_ms / 2 / latency_ms
        self._bounds = (1.0 - half, 1.0 + half)
        nothing = np.zeros(len(self._penalty(0.0)))
        self._coarse = [_robust(self._relative, self._penalty(p), nothing, self._bounds) for p in _KIND_PENALTIES]
        self._shares = _shares([found.error for found in self._coarse], len(latency_ms))
        best = int(np.argmax(self._shares))
        self.error, self.weights = self._coarse[best].error, self._coarse[best].weights
        self._fine: tuple[float, _Solution] | None = None
        if refine:
            found = [(penalty, self._fit_factors(penalty)) for penalty in _FACTOR_PENALTIES]
            found = [pair for pair in found if pair[1].freedom <= _MOST_FREEDOM] or found[-1:]
            penalty, solution = min(found, key=lambda pair: pair[1].error)
            if solution.error < _WORTH * self.error:
                self._fine, self.weights = (penalty, solution), solution.weights
        self.refined = self._fine is not None

    @cached_property
    def prices(self) -> AdditivePrices:
        """The prices."""
        if self._fine is None:
            return self._prior
        return self._with_factors(self._prior, self._fine[1].values)

    def resampled(self, draws: int, seed: int) -> list[AdditivePrices]:
        """Prices under random weights of the networks: the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9).

        The strengths of shrinkage stay as they were chosen.
        """
        rng = np.random.default_rng(seed)
        found, target = [], np.ones(len(self._latency))
        penalties = [self._penalty(kinds) for kinds in _KIND_PENALTIES]
        nothing = np.zeros(len(penalties[0]))
        for _ in range(draws):
            drawn = rng.exponential(size=len(target))
            roots = [np.sqrt(drawn * coarse.weights) for coarse in self._coarse]
            solved = [_solve(self._relative, target, *given, nothing) for given in zip(roots, penalties, strict=True)]
            prices = self._from_costs(solved)
            if self._fine is not None:
                penalty, fine = self._fine
                matrix, goal = self._factor_columns(prices)
                root = np.sqrt(drawn * fine.weights)
                prices = self._with_factors(prices, _solve(matrix, target, root, np.full(len(goal), penalty), goal))
            found.append(prices)
        return found

    @cached_property
    def _prior(self) -> AdditivePrices:
        return self._from_costs([found.values for found in self._coarse])

    @cached_property
    def _with_session(self) -> FloatArray:
        """Counts with a first column for the session, ``(n, 1 + p)``."""
        return np.hstack([np.ones((len(self._latency), 1)), self._counts])

    @cached_property
    def _shared(self) -> FloatArray:
        """Amounts of work over latencies, ``(n, 1 + f + k f)``; the session first."""
        amounts = np.hstack([np.ones((len(self._latency), 1)), self._counts @ _columns(self._work)])
        return np.asarray(amounts / self._latency[:, None])

    @cached_property
    def _scales(self) -> FloatArray:
        """Mean of each of these columns; 0 for kinds that no sample holds."""
        return np.asarray(self._shared.mean(axis=0))

    @cached_property
    def _relative(self) -> FloatArray:
        """The columns that samples hold, each with mean 1."""
        kept = self._scales > 0
        return np.asarray(self._shared[:, kept] / self._scales[kept])

    def _penalty(self, kinds: float) -> FloatArray:
        quantities = self._work.shape[2]
        full = np.full(len(self._scales), kinds)
        full[0], full[1 : 1 + quantities] = _SESSION_PENALTY, _GLOBAL_PENALTY
        return np.asarray(full[self._scales > 0])

    def _from_costs(self, solutions: Sequence[FloatArray]) -> AdditivePrices:
        """Average of the solutions of all strengths of shrinkage."""
        kept = self._scales > 0
        costs = np.zeros(len(self._scales))
        costs[kept] = sum(s * v for s, v in zip(self._shares, solutions, strict=True)) / self._scales[kept]
        return AdditivePrices(float(costs[0]), _columns(self._work) @ costs[1:], costs[1:])

    @cached_property
    def _groups(self) -> IntArray:
        """Group of the session and of each op, ``(1 + p,)``, -1 for ops in no sample.

        Ops whose counts are in proportion in all samples share a group: only the sum of their prices is known.
        """
        columns = self._with_session
        most = columns.max(axis=0)
        seen = most > 0
        _, inverse = np.unique(np.round(columns[:, seen] / most[seen], 9), axis=1, return_inverse=True)
        groups = np.full(len(most), -1)
        groups[seen] = np.asarray(inverse).reshape(-1)
        return groups

    def _shapes(self, prior: AdditivePrices) -> FloatArray:
        """What factors scale, ``(1 + p,)``: prior prices, at least a tenth of the median's (a session: a network's)."""
        prices = np.concatenate([[prior.session_ms], prior.prices_ms])
        floors = np.full(len(prices), np.median(prices[self._groups >= 0]))
        floors[0] = np.median(self._latency)
        return np.asarray(np.maximum(prices, _FLOOR * floors))

    def _factor_columns(self, prior: AdditivePrices) -> tuple[FloatArray, FloatArray]:
        """Share of each group in the latencies ``(n, g)`` at factor 1, and the factors ``(g,)`` of the prior prices."""
        columns = self._with_session / self._latency[:, None]
        prices = np.concatenate([[prior.session_ms], prior.prices_ms])
        members = (self._groups[:, None] == np.arange(self._groups.max() + 1)).astype(np.float64)
        matrix = (columns * self._shapes(prior)) @ members
        goal = ((columns * prices) @ members).sum(axis=0) / np.maximum(matrix.sum(axis=0), 1e-300)
        return matrix, goal

    def _fit_factors(self, penalty: float) -> _Solution:
        matrix, goal = self._factor_columns(self._prior)
        return _robust(matrix, np.full(len(goal), penalty), goal, self._bounds)

    def _with_factors(self, prior: AdditivePrices, factors: FloatArray) -> AdditivePrices:
        full, seen = np.concatenate([[prior.session_ms], prior.prices_ms]), self._groups >= 0
        full[seen] = factors[self._groups[seen]] * self._shapes(prior)[seen]
        return AdditivePrices(float(full[0]), full[1:], prior.costs)


def clock_quantum(values: npt.ArrayLike) -> float:
    """The power of ten that all values ``(n,)`` are whole multiples of, in their own unit; 0 where it does not matter.

    It does not matter below 0.5 % of the median value.
    """
    found = np.asarray(values, dtype=np.float64)
    middle = float(np.median(found))
    quantum = 10.0 ** np.floor(np.log10(middle))
    while quantum >= 0.005 * middle:
        if np.allclose(found / quantum, np.round(found / quantum), rtol=0, atol=1e-6):
            return float(quantum)
        quantum /= 10
    return 0.0


def _columns(work: FloatArray) -> FloatArray:
    """What is priced in an op ``(p, f + k f)``: quantities over all kinds, then by kind."""
    return np.hstack([work.sum(axis=1), work.reshape(len(work), -1)])


def _shares(errors: Sequence[float], samples: int) -> FloatArray:
    """Weights of models by their left-out errors: pseudo-BMA (Yao et al. 2018, arXiv 1704.02030), normal errors."""
    evidence = -0.5 * samples * np.log(np.array(errors))
    shares = np.exp(evidence - evidence.max())
    return np.asarray(shares / shares.sum())


def _solve(
    matrix: FloatArray, target: FloatArray, roots: FloatArray, penalty: FloatArray, goal: FloatArray
) -> FloatArray:
    """Non-negative ``x`` that minimises ``|roots (matrix x - target)|^2 + penalty |x - goal|^2``."""
    from scipy.optimize import nnls

    ridge = np.sqrt(penalty)
    rows = np.vstack([matrix * roots[:, None], np.diag(ridge)])
    found, _ = nnls(rows, np.concatenate([target * roots, ridge * goal]), maxiter=50 * len(ridge))
    return np.asarray(found)


def _robust(
    matrix: FloatArray, penalty: FloatArray, goal: FloatArray, bounds: tuple[FloatArray, FloatArray]
) -> _Solution:
    """Huber's loss by reweighting; each target is the point of its interval `bounds` that is nearest to the fit.

    Left-out predictions come from the leverages of the weighted problem with its active set held fixed.
    """
    weights, target = np.ones(len(matrix)), np.ones(len(matrix))
    values = np.zeros(len(penalty))
    for _ in range(_STEPS):
        values = _solve(matrix, target, np.sqrt(weights), penalty, goal)
        fitted = matrix @ values
        target, larger = np.clip(fitted, *bounds), np.maximum(fitted, 1.0)
        residuals = np.abs(fitted - target) / larger
        scale = max(_NOISE, 1.4826 * float(np.median(residuals)))
        before, weights = weights, 1.0 / np.maximum(1.0, residuals / (_HUBER * scale)) / larger**2
        if np.abs(weights - before).max() < 0.01 and not (bounds[1] > 1.0).any():
            break
    active = values > 0
    rows = matrix[:, active] * np.sqrt(weights)[:, None]
    inner = np.linalg.pinv(rows.T @ rows + np.diag(penalty[active]))
    leverage = np.minimum(np.einsum("ij,jk,ik->i", rows, inner, rows), 0.99)
    fitted = matrix @ values
    left_out = target + (fitted - target) / (1.0 - leverage)
    return _Solution(values, weights, left_out, float(leverage.mean()))
