"""The strategies beside LaMOO, and the interface that all of them share."""

from search.strategies._base import Strategy, Suggestion
from search.strategies._ehvi import EHVISearch
from search.strategies._mutation import ParetoLocalSearch
from search.strategies._nsga2 import NSGA2
from search.strategies._random import RandomSearch

__all__ = ["NSGA2", "EHVISearch", "ParetoLocalSearch", "RandomSearch", "Strategy", "Suggestion"]
