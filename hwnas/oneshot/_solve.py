"""`solve`: the most probable architecture of a distribution within budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwnas._costs._cost import is_bound, written_budgets
from hwnas._costs._form_costs import form_costs
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import BudgetError
from hwnas.oneshot._distribution import Distribution, probabilities, require_distribution
from hwnas.oneshot._labels import LabelSearch
from hwnas.oneshot._resources import Resources
from hwnas.oneshot._stages import Chain, stages_of
from hwnas.spaces import Architecture

_BEAM = 200
MOST_LABELS = 100_000
"""Partial networks that are kept between two terms; where more are needed, the result comes with a gap."""


@dataclass(frozen=True)
class Solution:
    """An architecture within budgets.

    Attributes:
        architecture: The canonical architecture.
        codes: The choices as they were found, ``(d,)``: before isomorphic architectures are taken for one.
        log_probability: Of the choices that were found, natural logarithm.
        bound: No architecture within the budgets has a greater log probability.
        costs: The real price of each budgeted cost, by `Cost.key`.
    """

    architecture: Architecture
    codes: tuple[int, ...]
    log_probability: float
    bound: float
    costs: Mapping[str, float]

    @property
    def gap(self) -> float:
        """How much greater the log probability of the best architecture may be; 0 where this one is proven best."""
        return self.bound - self.log_probability


class Solver:
    """Finds the most probable architecture within budgets, for many distributions and budgets.

    What is maximised is the probability of an assignment of *all* choices: choices that do not matter (the kernel of an
    absent block) have their most probable value, so without a budget that binds the result is the most probable value
    of every choice. Costs are the real ones: nothing over a budget by `SpaceCosts` is ever returned.

    The search is a dynamic programme over the terms of the space. Exact unless more than `most_labels` partial networks
    are needed between two terms: then those of the smallest bounds are dropped, and `Solution.gap` says how much better
    a network may be. Bounds come from the sums that the rest needs at least, and from a Lagrangian relaxation of the
    budgets.

    Args:
        costs: Costs of the space by its table.
        most_labels: Partial networks that are kept between two terms.
    """

    def __init__(self, costs: SpaceCosts, *, most_labels: int = MOST_LABELS) -> None:
        self.costs = costs
        self.most_labels = most_labels
        self._chains: dict[tuple[str, ...], Chain] = {}

    def solve(self, distribution: Distribution, budgets: Mapping[str, float]) -> Solution:
        """Return the most probable architecture within budgets.

        Args:
            distribution: One vector of probabilities for each choice.
            budgets: Upper bounds by the name of the cost: ``{"latency": 4.0, "params": 600e3}`` (milliseconds,
                bytes, counts). None at all is allowed.

        Raises:
            BudgetError: No architecture of positive probability keeps the budgets, or a budget is no positive number.
            SpaceError: The distribution is none over the choices of the space.
            UnmeasuredOpError: The table lacks an op.
        """
        space = self.costs.space
        require_distribution(space, distribution)
        for name, upper in budgets.items():
            if not is_bound(upper):
                raise BudgetError(f"the {name} budget must be a positive number, got {upper!r}")
        resources = Resources.of(self.costs, budgets)
        with np.errstate(divide="ignore"):
            logs = [np.log(vector) for vector in probabilities(distribution)]
        search = LabelSearch(self._chain(resources.quantities), resources, logs)
        rough = search.run(_BEAM, -np.inf)
        best = search.run(self.most_labels, rough.log_probability) if rough.dropped > rough.log_probability else rough
        codes = rough.codes if best.codes is None else best.codes
        value = max(rough.log_probability, best.log_probability)
        if codes is None:
            missing = "was found" if best.dropped > -np.inf else "exists"
            raise BudgetError(
                f"space {space.name}: no architecture of positive probability {missing} within the budgets "
                f"{written_budgets(resources.budgets)}; raise them, or give cheaper choices probability"
            )
        prices = {key: float(values[0]) for key, values in resources.real(codes[None]).items()}
        arch = space.decode(space.canonical_codes(codes[None])[0])
        return Solution(arch, tuple(codes.tolist()), value, max(value, best.dropped), prices)

    def _chain(self, quantities: tuple[str, ...]) -> Chain:
        if quantities not in self._chains:
            forms = form_costs(self.costs, quantities)
            self._chains[quantities] = Chain(stages_of(forms), self.costs.space.cardinalities)
        return self._chains[quantities]


def solve(distribution: Distribution, budgets: Mapping[str, float], costs: SpaceCosts) -> Solution:
    """Return the most probable architecture within budgets; see `Solver`, which is faster for several.

    Args:
        distribution: One vector of probabilities for each choice.
        budgets: Upper bounds by the name of the cost, such as ``{"latency": 4.0}``.
        costs: Costs of the space by its table (`ExpectedCost.costs`).

    Raises:
        BudgetError: No architecture of positive probability keeps the budgets.
        SpaceError: The distribution is none over the choices of the space.
        UnmeasuredOpError: The table lacks an op.
    """
    return Solver(costs).solve(distribution, budgets)
