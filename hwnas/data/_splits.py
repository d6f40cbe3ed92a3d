"""Stratified splits and subsets, deterministic from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas._errors import DataError

TEST_FRACTION = 0.2
VALIDATION_FRACTION = 0.25
VALIDATION_MOST = 10_000
"""The validation part is a quarter of the images for training, at most 10,000: small sets need the share to tell
networks apart, large ones do not."""

Indices = npt.NDArray[np.int64]


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
