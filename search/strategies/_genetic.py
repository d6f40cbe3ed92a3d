"""Shared by the genetic strategies: pymoo's populations and crossover on integer codes, admissible offspring."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from search._arrays import IntArray, unique_rows
from search._context import Context

if TYPE_CHECKING:
    from pymoo.core.population import Population

__all__ = ["arrivals", "continues", "offspring", "pymoo_problem"]

_ROUNDS = 50
_CROSSOVER = 0.9


def arrivals(context: Context, start: int = 0) -> list[Population]:
    """Make a population of the successful trials of each batch, objectives minimised.

    Args:
        context: The study's view.
        start: Index of the first successful trial to include.
    """
    from pymoo.core.population import Population

    batches = context.batches[start:]
    return [
        Population.new(X=context.codes[start:][rows], F=-context.points[start:][rows])
        for rows in (batches == batch for batch in np.unique(batches))
    ]


def continues(context: Context, earlier: Context) -> bool:
    """Check whether a context's successful trials begin with those of an earlier one: same points, same batches.

    The last batch of the earlier context must be complete: no trial of it may be new.

    Args:
        context: The study's view now.
        earlier: An earlier view.
    """
    n = len(earlier.codes)
    if n == 0 or len(context.codes) < n or (len(context.codes) > n and context.batches[n] <= earlier.batches[-1]):
        return False
    pairs = ((context.batches, earlier.batches), (context.codes, earlier.codes), (context.points, earlier.points))
    return all(np.array_equal(now[:n], before) for now, before in pairs)


def pymoo_problem(context: Context) -> Any:
    """Make the problem that pymoo's operators take: numbers of variables and objectives, and bounds."""
    from pymoo.core.problem import Problem

    cards = np.asarray(context.problem.domain.cardinalities)
    n_obj = len(context.problem.objectives)
    return Problem(n_var=len(cards), n_obj=n_obj, xl=np.zeros(len(cards)), xu=cards - 1, vtype=int)


def offspring(
    context: Context,
    population: Population,
    pairs: Callable[[int], IntArray],
    n: int,
    rng: np.random.Generator,
) -> IntArray:
    """Make offspring: uniform crossover, then each choice reset with probability 1/d.

    Offspring are drawn until enough are admissible; the reset probability grows slowly meanwhile.

    Args:
        context: The study's view.
        population: The parents.
        pairs: Draws k pairs of parent indices ``(k, 2)``.
        n: Number of candidates wanted.
        rng: Random generator of the batch.

    Returns:
        Up to `n` untried candidates ``(k, d)``.
    """
    from pymoo.operators.crossover.ux import UniformCrossover

    domain, problem = context.problem.domain, pymoo_problem(context)
    cards = np.asarray(domain.cardinalities)
    candidates = np.empty((0, domain.dimension), dtype=np.int64)
    for attempt in range(_ROUNDS):
        children = UniformCrossover(prob=_CROSSOVER).do(problem, population, pairs(n), random_state=rng)
        rows = np.asarray(children.get("X"), dtype=np.int64)
        reset = rng.random(rows.shape) < min(1.0, (1 + attempt / 5) / domain.dimension)
        rows = np.where(reset, rng.integers(0, cards, size=rows.shape), rows)
        candidates = unique_rows(np.concatenate([candidates, context.admit(rows)]))
        if len(candidates) >= n:
            break
    return candidates[:n]
