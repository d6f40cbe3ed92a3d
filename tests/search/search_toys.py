"""Small problems with known answers, shared by the tests of the search package."""

from hwnas.testing._problems import CARDS, advance, evaluate, large_problem, merge_mirror, price, score, toy_problem

__all__ = ["CARDS", "advance", "evaluate", "large_problem", "merge_mirror", "price", "score", "toy_problem"]
