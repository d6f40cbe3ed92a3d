"""Stratified splits and subsets, deterministic from a seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.25
VALIDATION_MOST = 10_000
"""The validation part is a quarter of the images for training, at most 10,000: small sets need the share to tell
networks apart, large ones do not."""

Indices = npt.NDArray[np.int64]


class Missing(NamedTuple):
    """A part that a source lacks; it is split off the train part.

    Attributes:
        part: ``test`` or ``validation``.
        fraction: Its share of what is then the train part.
        seed: What it follows from. A test part is the same for every seed, so that runs with different seeds report on
            the same samples.
        needed: Samples that the train part must have, for itself and all parts still to be split off.
    """

    part: str
    fraction: float
    seed: int
    needed: int

    def share(self, count: int) -> float:
        """Return the share of `count` train samples: `fraction`, but at most `VALIDATION_MOST` for validation."""
        if self.part == "test":
            return self.fraction
        return min(self.fraction, VALIDATION_MOST / max(1, count))


def missing_parts(given: Collection[str], seed: int) -> list[Missing]:
    """Return the parts that are not among the given ones, in the order in which they are split off.

    Args:
        given: Names of the parts that a source has.
        seed: Decides the validation part.
    """
    wanted = (("test", TEST_FRACTION, 0), ("validation", VALIDATION_FRACTION, seed))
    missing = [item for item in wanted if item[0] not in given]
    return [Missing(*item, needed=len(missing) + 1 - done) for done, item in enumerate(missing)]


def split_off(
    name: str,
    labels: Indices,
    classes: Sequence[str],
    fraction: float,
    *,
    seed: int,
    needed: int,
    noun: str = "image",
) -> tuple[Indices, Indices]:
    """Divide ``(N,)`` labels into two parts, class by class.

    Args:
        name: The data set's, for error messages.
        labels: Class indices.
        classes: Class names.
        fraction: Share of each class in the second part, which gets at least one of each class.
        seed: Decides the choice.
        needed: Samples that each class must have.
        noun: What a sample is called in error messages.

    Returns:
        Sorted indices of the larger part and of the part split off.

    Raises:
        DataError: A class has fewer than `needed` samples.
    """
    counts = np.bincount(labels, minlength=len(classes))
    for index, count in enumerate(counts):
        if count < needed:
            raise DataError(
                f"data {name}: class {classes[index]!r} has {_count(int(count), noun)}; "
                f"splitting needs at least {needed} of each class"
            )
    wanted = np.clip(np.round(fraction * counts), 1, counts - 1)
    held = _rank_in_class(labels, seed) < wanted[labels]
    return np.flatnonzero(~held), np.flatnonzero(held)


def subset(
    name: str, labels: Indices, limit: int | None, *, needed: int, seed: int = 0, noun: str = "image"
) -> Indices:
    """Return sorted indices of at most `limit` of ``(N,)`` labels, each class in proportion to its size.

    Args:
        name: The data set's, for error messages.
        labels: Class indices.
        limit: Most images; None for all.
        needed: Samples of each class that must remain, where it has them.
        seed: Decides the choice.
        noun: What a sample is called in error messages.

    Raises:
        DataError: The limit is too small for the number of classes.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    counts = np.bincount(labels)
    least = needed * int(np.count_nonzero(counts))
    if limit < least:
        raise DataError(
            f"data {name}: a limit of {_count(limit, noun)} is too small for "
            f"{np.count_nonzero(counts)} classes; it must be at least {least}"
        )
    rank = _rank_in_class(labels, seed)
    order = np.where(rank < needed, -1.0, (rank + 0.5) / counts[labels])
    return np.sort(np.argsort(order, kind="stable")[:limit])


def split_any(count: int, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Divide `count` samples, two or more, as `split_off` does it, whatever their classes."""
    return split_off("", _of_one_class(count), ("",), fraction, seed=seed, needed=2)


def subset_of_any(count: int, limit: int | None) -> Indices:
    """Return sorted indices of at most `limit` of `count` samples, one or more, whatever their classes."""
    return subset("", _of_one_class(count), limit, needed=1)


def _of_one_class(count: int) -> Indices:
    return np.zeros(count, dtype=np.int64)


def _rank_in_class(labels: Indices, seed: int) -> Indices:
    """Return a random rank ``(N,)`` of each sample among those of its class, from 0."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    grouped = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.empty(len(labels), dtype=np.int64)
    rank[grouped] = np.arange(len(labels)) - np.repeat(starts, counts)
    return rank


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
