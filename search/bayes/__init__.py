"""Bayesian optimisation: pools of candidates, hypervolume improvement in closed form, scalarisations, batches."""

from search.bayes._chebyshev import Believed, Objectives, Scalarisation, random_weights, scalarise
from search.bayes._ehvi import MOST_COMPUTED, ImprovementGrid, expected_improvement, improvement_grid
from search.bayes._learn import training_rows
from search.bayes._pool import Pool, make_pool, whole_pool
from search.bayes._scalar import scalar_batch
from search.bayes._select import choose_greedily, greedy_batch

__all__ = [
    "MOST_COMPUTED",
    "Believed",
    "ImprovementGrid",
    "Objectives",
    "Pool",
    "Scalarisation",
    "choose_greedily",
    "expected_improvement",
    "greedy_batch",
    "improvement_grid",
    "make_pool",
    "random_weights",
    "scalar_batch",
    "scalarise",
    "training_rows",
    "whole_pool",
]
