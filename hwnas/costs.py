"""What the architectures of a space cost, and the search problem that follows from costs and budgets."""

from hwnas._costs._cost import COSTS
from hwnas._costs._space_costs import SpaceCosts, cheapest_network
from hwnas._pipeline._problem import make_problem

__all__ = ["COSTS", "SpaceCosts", "cheapest_network", "make_problem"]
