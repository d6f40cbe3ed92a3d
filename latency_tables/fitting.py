"""Fit prices of ops to latencies of whole networks alone, for devices on which ops cannot be measured.

The model is ``latency = session + counts . prices`` (1) with prices of at least 0. A handful of networks says little
about dozens of ops, so the prices get a structure, coarse parts first:

1. ``price = work . (shared + own[kind])`` (2): the amounts that an op computes (multiply-accumulates, bytes, kernels;
   `work`), times a cost of each that all ops share, plus a cost of each for its kind of op. The kinds' own costs are
   shrunk towards 0.
2. ``price = factor[group] * price of step 1`` (3): one factor for each group of ops that the samples cannot tell apart,
   shrunk towards 1. Factors are used where they predict left-out networks better.

Cross-validation within the samples decides how strongly to shrink. Errors are relative. The loss is Huber's, so that a
network that a burst of noise hit does not bend the others' prices. Latencies of a coarse clock are intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from latency_tables._robust import Solution, fit_robustly, solve_ridge

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SESSION_PENALTY, _GLOBAL_PENALTY = 1e-6, 1e-3
_KIND_PENALTIES = (0.03, 0.3, 3.0)
_FACTOR_PENALTIES = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
_WORTH, _MOST_FREEDOM = 0.95, 0.9
"""Share of the error of step 1 that factors must stay below, and largest number of effective parameters for each
sample: leverages mean nothing once samples are nearly interpolated."""
_FLOOR = 0.1


@dataclass(frozen=True)
class AdditivePrices:
    """Prices of a session and of ops.

    Attributes:
        session_ms: Cost of one inference, whatever is computed.
        prices_ms: Prices of the ops, ``(p,)``.
        costs: Costs of one unit of work ``(f + k f,)``: those shared by all kinds ``(f,)``, then each kind's own
            ``(k, f)``, flattened.
    """

    session_ms: float
    prices_ms: FloatArray
    costs: FloatArray

    def predict(self, counts: FloatArray) -> FloatArray:
        """Return latencies ``(n,)`` in milliseconds of networks with op counts ``(n, p)``: equation (1)."""
        return np.asarray(self.session_ms + counts @ self.prices_ms)

    def of_work(self, work: FloatArray) -> FloatArray:
        """Return prices ``(m,)`` of ops that do `work` ``(m, k, f)``, in the samples or not: equation (2)."""
        return np.asarray(_columns(work) @ self.costs)


class AdditiveFit:
    """Prices fitted to whole networks.

    Args:
        counts: How often each op occurs in each network, ``(n, p)``.
        work: What each op does, ``(p, k, f)``: amounts of each quantity by kind of op, 0 or more.
        latency_ms: Latencies of the networks, ``(n,)``, positive.
        quantum_ms: Tick of the clock; each latency may be off by half of it. 0 where the clock is fine.
        refine: Whether ops may have factors of their own (step 2 above).

    Attributes:
        error: Mean squared relative error of step 1 on left-out networks, each error cut at 30 %.
        refined: Whether ops have factors of their own.
        weights: Weight of each network under Huber's loss, ``(n,)``, at most 1.
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
        self._coarse = [fit_robustly(self._relative, self._penalty(p), nothing, self._bounds) for p in _KIND_PENALTIES]
        # step 1 under every strength of shrinkage; the solutions are averaged with these shares
        self._shares = _shares([solution.error for solution in self._coarse], len(latency_ms))
        best = int(np.argmax(self._shares))
        self.error, self.weights = self._coarse[best].error, self._coarse[best].weights
        self._fine: tuple[float, Solution] | None = None
        if refine:
            # step 2 under every strength of shrinkage; the one that predicts left-out networks best
            fits = [(penalty, self._fit_factors(penalty)) for penalty in _FACTOR_PENALTIES]
            fits = [pair for pair in fits if pair[1].freedom <= _MOST_FREEDOM] or fits[-1:]
            penalty, solution = min(fits, key=lambda pair: pair[1].error)
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
        """Return prices under random weights of the networks.

        This is the Bayesian bootstrap (Rubin 1981, Annals of Statistics 9). The strengths of shrinkage stay as chosen.

        Args:
            draws: Number of draws.
            seed: Seed of the draws.
        """
        rng = np.random.default_rng(seed)
        resampled, target = [], np.ones(len(self._latency))
        penalties = [self._penalty(kinds) for kinds in _KIND_PENALTIES]
        nothing = np.zeros(len(penalties[0]))
        for _ in range(draws):
            # weights of the Bayesian bootstrap are exponential; they multiply those of Huber's loss
            drawn = rng.exponential(size=len(target))
            roots = [np.sqrt(drawn * coarse.weights) for coarse in self._coarse]
            solved = [
                solve_ridge(self._relative, target, *given, nothing) for given in zip(roots, penalties, strict=True)
            ]
            prices = self._from_costs(solved)
            if self._fine is not None:
                penalty, fine = self._fine
                matrix, goal = self._factor_columns(prices)
                root = np.sqrt(drawn * fine.weights)
                prices = self._with_factors(
                    prices, solve_ridge(matrix, target, root, np.full(len(goal), penalty), goal)
                )
            resampled.append(prices)
        return resampled

    @cached_property
    def _prior(self) -> AdditivePrices:
        return self._from_costs([solution.values for solution in self._coarse])

    @cached_property
    def _with_session(self) -> FloatArray:
        """Counts with a first column of ones for the session, ``(n, 1 + p)``."""
        return np.hstack([np.ones((len(self._latency), 1)), self._counts])

    @cached_property
    def _shared(self) -> FloatArray:
        """Amounts of work over latencies, ``(n, 1 + f + k f)``; the session first.

        Dividing (1) with (2) by the latency gives ``1 = shared . costs``, whose residuals are relative errors.
        """
        amounts = np.hstack([np.ones((len(self._latency), 1)), self._counts @ _columns(self._work)])
        return np.asarray(amounts / self._latency[:, None])

    @cached_property
    def _scales(self) -> FloatArray:
        """Mean of each column of `_shared`; 0 for kinds that no sample holds."""
        return np.asarray(self._shared.mean(axis=0))

    @cached_property
    def _relative(self) -> FloatArray:
        """The columns of `_shared` that samples hold, scaled to mean 1, so that one penalty is as strong on each."""
        kept = self._scales > 0
        return np.asarray(self._shared[:, kept] / self._scales[kept])

    def _penalty(self, kinds: float) -> FloatArray:
        """Return the ridge penalties of the columns of `_relative`: weak on shared costs, `kinds` on the kinds' own."""
        quantities = self._work.shape[2]
        full = np.full(len(self._scales), kinds)
        full[0], full[1 : 1 + quantities] = _SESSION_PENALTY, _GLOBAL_PENALTY
        return np.asarray(full[self._scales > 0])

    def _from_costs(self, solutions: Sequence[FloatArray]) -> AdditivePrices:
        """Average the solutions of all strengths of shrinkage, in units of work again."""
        kept = self._scales > 0
        costs = np.zeros(len(self._scales))
        costs[kept] = sum(s * v for s, v in zip(self._shares, solutions, strict=True)) / self._scales[kept]
        return AdditivePrices(float(costs[0]), _columns(self._work) @ costs[1:], costs[1:])

    @cached_property
    def _groups(self) -> IntArray:
        """The group of the session and of each op, ``(1 + p,)``; -1 for ops in no sample.

        Ops whose counts are proportional in all samples share a group: only the sum of their prices is known.
        """
        columns = self._with_session
        most = columns.max(axis=0)
        seen = most > 0
        # columns divided by their maximum are equal where counts are proportional
        _, inverse = np.unique(np.round(columns[:, seen] / most[seen], 9), axis=1, return_inverse=True)
        groups = np.full(len(most), -1)
        groups[seen] = np.asarray(inverse).reshape(-1)
        return groups

    def _shapes(self, prior: AdditivePrices) -> FloatArray:
        """Return what factors scale, ``(1 + p,)``: prices of step 1, at least a tenth of the median price.

        For the session it is at least a tenth of the median latency of a network.
        """
        prices = np.concatenate([[prior.session_ms], prior.prices_ms])
        floors = np.full(len(prices), np.median(prices[self._groups >= 0]))
        floors[0] = np.median(self._latency)
        return np.asarray(np.maximum(prices, _FLOOR * floors))

    def _factor_columns(self, prior: AdditivePrices) -> tuple[FloatArray, FloatArray]:
        """Return the share of each group in the latencies ``(n, g)`` at factor 1, and the factors ``(g,)`` of step 1.

        With ``matrix[i, g] = sum over ops of g of counts * shape / latency``, (1) and (3) read ``1 = matrix . factor``.
        """
        columns = self._with_session / self._latency[:, None]
        prices = np.concatenate([[prior.session_ms], prior.prices_ms])
        members = (self._groups[:, None] == np.arange(self._groups.max() + 1)).astype(np.float64)
        matrix = (columns * self._shapes(prior)) @ members
        # factor that gives a group the share that prices of step 1 give it; 1 where no price was raised to a floor
        goal = ((columns * prices) @ members).sum(axis=0) / np.maximum(matrix.sum(axis=0), 1e-300)
        return matrix, goal

    def _fit_factors(self, penalty: float) -> Solution:
        """Fit the factors of step 2, shrunk towards those of the prices of step 1."""
        matrix, goal = self._factor_columns(self._prior)
        return fit_robustly(matrix, np.full(len(goal), penalty), goal, self._bounds)

    def _with_factors(self, prior: AdditivePrices, factors: FloatArray) -> AdditivePrices:
        """Return the prices of equation (3); ops in no sample keep those of step 1."""
        full, seen = np.concatenate([[prior.session_ms], prior.prices_ms]), self._groups >= 0
        full[seen] = factors[self._groups[seen]] * self._shapes(prior)[seen]
        return AdditivePrices(float(full[0]), full[1:], prior.costs)


def clock_quantum(values: npt.ArrayLike) -> float:
    """Return the power of ten that all values ``(n,)`` are whole multiples of, in their own unit.

    It is 0 where that is less than 0.5 % of the median value, and so does not matter.
    """
    series = np.asarray(values, dtype=np.float64)
    middle = float(np.median(series))
    quantum = 10.0 ** np.floor(np.log10(middle))
    while quantum >= 0.005 * middle:
        if np.allclose(series / quantum, np.round(series / quantum), rtol=0, atol=1e-6):
            return float(quantum)
        quantum /= 10
    return 0.0


def _columns(work: FloatArray) -> FloatArray:
    """Return what is priced in an op ``(p, f + k f)``: its quantities over all kinds, then by kind."""
    return np.hstack([work.sum(axis=1), work.reshape(len(work), -1)])


def _shares(errors: Sequence[float], samples: int) -> FloatArray:
    """Weigh models by their left-out errors: pseudo-BMA (Yao et al. 2018, arXiv 1704.02030) with normal errors.

    ``share_m ~ exp(-n/2 log error_m)``, the profile likelihood of ``n`` normal errors.
    """
    evidence = -0.5 * samples * np.log(np.array(errors))
    shares = np.exp(evidence - evidence.max())
    return np.asarray(shares / shares.sum())
