"""One split of a region into good and bad samples, learned by a support vector machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from search._arrays import BoolArray, FloatArray, varying
from search._pareto import dominance_numbers

__all__ = ["KERNELS", "Kernel", "Scaler", "Split", "fit_split", "label_good"]

Kernel = Literal["rbf", "poly"]
KERNELS: tuple[str, ...] = get_args(Kernel)
_POLY_DEGREE = 4
_POLY_OFFSET = 1.0
_CHUNK = 4096


@dataclass(frozen=True)
class Scaler:
    """Standardises encodings ``(n, f)`` column by column; constant columns are only shifted.

    Attributes:
        mean: Mean of each column ``(f,)``.
        scale: Standard deviation of each column ``(f,)``, 1 where all values are equal up to rounding.
    """

    mean: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, encodings: FloatArray) -> Scaler:
        """Take mean and standard deviation from `encodings` ``(n, f)``, n >= 1."""
        return cls(encodings.mean(axis=0), np.where(varying(encodings), encodings.std(axis=0), 1.0))

    @classmethod
    def identity(cls, width: int) -> Scaler:
        """Make the scaler that leaves encodings of `width` columns as they are."""
        return cls(np.zeros(width), np.ones(width))

    def __call__(self, encodings: FloatArray) -> FloatArray:
        """Standardise encodings ``(n, f)``."""
        return (encodings - self.mean) / self.scale


def label_good(points: FloatArray) -> BoolArray:
    """Label the better part of a region's samples, by dominance number (arXiv 2110.03173, section 3.1).

    The samples with o(x) <= t are good, for the t that brings their share closest to one half. So all
    non-dominated samples are good whatever their share, and ties are never broken by index.

    Args:
        points: Maximised objective values ``(n, m)``, n >= 1.

    Returns:
        Labels ``(n,)``; all true when every sample has the same dominance number.
    """
    numbers = dominance_numbers(points)
    # |{o <= t}| for every level t; the level with |{o <= t}| closest to n/2 is the threshold.
    levels, counts = np.unique(numbers, return_counts=True)
    nearest = int(np.argmin(np.abs(np.cumsum(counts) - len(points) / 2)))
    result: BoolArray = numbers <= levels[nearest]
    return result


@dataclass(frozen=True)
class Split:
    """A fitted decision function, sum_i a_i k(s_i, x) + b; positive is the good side.

    Attributes:
        kernel: ``"rbf"``, exp(-gamma |x - s|^2), or ``"poly"``, (gamma x.s + 1)^4.
        gamma: Kernel coefficient.
        support: Support vectors ``(s, f)``.
        weights: Signed dual coefficients of the support vectors ``(s,)``.
        intercept: The constant b.
        accuracy: Share of the training samples on the side of their label.
    """

    kernel: Kernel
    gamma: float
    support: FloatArray
    weights: FloatArray
    intercept: float
    accuracy: float

    def good(self, scaled: FloatArray) -> BoolArray:
        """Mark the scaled encodings ``(n, f)`` on the good side ``(n,)``."""
        result = np.zeros(len(scaled), dtype=bool)
        for start in range(0, len(scaled), _CHUNK):
            block = scaled[start : start + _CHUNK]
            # f(x) = sum_i a_i k(s_i, x) + b > 0.
            result[start : start + _CHUNK] = self._gram(block) @ self.weights + self.intercept > 0.0
        return result

    def _gram(self, block: FloatArray) -> FloatArray:
        """Compute kernel values ``(n, s)`` of encodings ``(n, f)`` and the support vectors."""
        inner = block @ self.support.T
        if self.kernel == "poly":
            return (self.gamma * inner + _POLY_OFFSET) ** _POLY_DEGREE
        # |x - s|^2 = |x|^2 + |s|^2 - 2 x.s, which rounding may take below zero.
        squared = (block**2).sum(axis=1)[:, None] + (self.support**2).sum(axis=1) - 2.0 * inner
        result: FloatArray = np.exp(-self.gamma * np.maximum(squared, 0.0))
        return result


def fit_split(scaled: FloatArray, good: BoolArray, kernel: Kernel, penalty: float) -> Split | None:
    """Fit a support vector machine to labels.

    Args:
        scaled: Scaled encodings ``(n, f)``.
        good: Labels ``(n,)``.
        kernel: Kernel of the machine.
        penalty: C of the machine.

    Returns:
        The split, or `None` when the labels are all the same or every sample is encoded alike.
    """
    if good.all() or not good.any() or not scaled.var() > 0:
        return None
    from sklearn.svm import SVC

    # scikit-learn's gamma="scale": 1 / (number of features * variance of all entries).
    gamma = 1.0 / (scaled.shape[1] * float(scaled.var()))
    machine = SVC(C=penalty, kernel=kernel, gamma=gamma, degree=_POLY_DEGREE, coef0=_POLY_OFFSET)
    machine.fit(scaled, good.astype(np.int64))
    split = Split(
        kernel=kernel,
        gamma=gamma,
        support=np.asarray(machine.support_vectors_, dtype=np.float64),
        weights=np.asarray(machine.dual_coef_[0], dtype=np.float64),
        intercept=float(machine.intercept_[0]),
        accuracy=0.0,
    )
    accuracy = float((split.good(scaled) == good).mean())
    return Split(split.kernel, gamma, split.support, split.weights, split.intercept, accuracy)
