"""Pools of candidates, with the inputs of models and acquisitions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search._arrays import FloatArray, IntArray, unique_rows
from search._context import Context
from search.models import Inputs

__all__ = ["Pool", "make_pool", "whole_pool"]

_POOL = 1024
_ROUNDS = 8


@dataclass(frozen=True)
class Pool:
    """Candidates to choose from.

    Attributes:
        codes: Untried candidates ``(p, d)``.
        inputs: The candidates as models see them.
        known_values: Their normalised objectives ``(p, m)`` by cost function, NaN where expensive.
    """

    codes: IntArray
    inputs: Inputs
    known_values: FloatArray


def make_pool(context: Context, codes: IntArray, rows: IntArray | None = None) -> Pool:
    """Describe untried candidates.

    Args:
        context: The study's view.
        codes: The candidates ``(p, d)``.
        rows: Their indices ``(p,)`` into the enumerated candidates; `None` where the domain is not enumerated.
    """
    domain, candidates = context.problem.domain, context.candidates
    encodings = domain.encode(codes) if rows is None else candidates.encodings[rows]
    known_values = context.problem.known_values(codes) if rows is None else candidates.known_values[rows]
    return Pool(codes, Inputs(encodings, domain.one_hot(codes)), context.normaliser(known_values))


def whole_pool(context: Context, rng: np.random.Generator) -> tuple[IntArray, IntArray | None]:
    """Draw untried candidates of the whole space.

    Args:
        context: The study's view.
        rng: Random generator of the batch.

    Returns:
        For an enumerable domain all untried candidates ``(p, d)`` and their indices ``(p,)`` into the enumerated ones;
        for a large domain random candidates and as many mutations of the Pareto archive, and `None`.
    """
    rows = context.unseen
    if rows is not None and context.candidates.codes is not None:
        return context.candidates.codes[rows], rows
    pool = context.random(_POOL // 2, rng)
    elite = context.codes[context.archive]
    for attempt in range(_ROUNDS):
        if len(pool) >= _POOL:
            break
        parents = elite[rng.integers(len(elite), size=_POOL)]
        mutated = context.problem.domain.mutate(parents, rng, changes=1 + attempt % 3)
        pool = unique_rows(np.concatenate([pool, context.admit(mutated)]))
    return pool[:_POOL], None
