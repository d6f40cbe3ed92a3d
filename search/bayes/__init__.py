"""Bayesian optimisation: pools of candidates, hypervolume improvement in closed form, batches."""

from search.bayes._ehvi import ImprovementGrid, expected_improvement, improvement_grid
from search.bayes._pool import Pool, make_pool, whole_pool
from search.bayes._select import choose_greedily, greedy_batch, training_rows

__all__ = [
    "ImprovementGrid",
    "Pool",
    "choose_greedily",
    "expected_improvement",
    "greedy_batch",
    "improvement_grid",
    "make_pool",
    "training_rows",
    "whole_pool",
]
