"""The expectation of a maximum over terms, by the probability that all terms stay within each level.

``E[max] = sum over levels l of l * (P(all terms <= l) - P(all terms <= the level before))``. Terms share choices, so
these probabilities are no products over terms: shared choices are summed out along the chain of terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hwnas._costs._form_costs import FormCosts
from hwnas._errors import SpaceError
from hwnas.oneshot._distribution import Distribution
from hwnas.oneshot._stages import Stage, stages_of

_MOST_ENTRIES = 100_000_000
"""Numbers of one call, over all terms: about a gigabyte with gradients."""


class ExpectedMaximum:
    """Computes the expectation of the largest of the terms' values, exactly and differentiably.

    Args:
        forms: The forms of the terms, in the order of the space.
        quantity: Name of the value.
        cardinalities: How many values each choice of the space has.

    Raises:
        SpaceError: Too many different values come together with too many combinations of choices.
    """

    def __init__(self, forms: Sequence[FormCosts], quantity: str, cardinalities: Sequence[int]) -> None:
        self._stages = stages_of(forms)
        self._cardinalities = tuple(cardinalities)
        valid = [own.values[quantity][own.valid] for own in forms]
        levels = np.unique(np.concatenate(valid))
        levels = levels[levels >= max(values.min() for values in valid)]  # no network's largest value is lower
        self._levels = torch.from_numpy(levels)
        unions = (math.prod(self._cardinalities[choice] for choice in _union(stage)) for stage in self._stages)
        self.entries = len(levels) * sum(unions)
        if self.entries > _MOST_ENTRIES:
            raise SpaceError(
                f"the expected {quantity} of this space needs {self.entries:,} numbers, at most {_MOST_ENTRIES:,} are "
                "allowed; give the space fewer choices, or use another cost"
            )
        self._ranks = [
            torch.from_numpy(np.where(own.valid, np.searchsorted(levels, own.values[quantity]), len(levels)))
            for own in forms
        ]

    def __call__(self, distribution: Distribution) -> Tensor:
        """Return the expectation over networks as a scalar in float64."""
        vectors = [vector.double().cpu() for vector in distribution]
        places = torch.arange(len(self._levels))[:, None]
        within = torch.ones(len(self._levels), dtype=torch.float64)  # of the terms behind, by entering choices
        for stage, ranks in zip(reversed(self._stages), reversed(self._ranks), strict=True):
            union, choices = _union(stage), stage.forms.choices
            order = [1 + axis for axis in np.argsort(choices)]
            own = (ranks <= places).double().reshape(-1, *stage.forms.counts).permute(0, *order)
            joined = self._on(own, sorted(choices), union) * self._on(within, stage.leaving, union)
            for choice in reversed(stage.new):  # the last axis first, so that the others keep their places
                axis = 1 + union.index(choice)
                joined = torch.tensordot(joined, vectors[choice], dims=([axis], [0]))
                union = tuple(other for other in union if other != choice)
            within = joined
        shares = within / within[-1]
        return (self._levels * torch.diff(shares, prepend=shares.new_zeros(1))).sum()

    def _on(self, values: Tensor, own: Sequence[int], union: Sequence[int]) -> Tensor:
        """Return values of some choices ``(levels, ...)`` with an axis for each choice of a larger set."""
        return values.reshape(-1, *(self._cardinalities[choice] if choice in own else 1 for choice in union))


def _union(stage: Stage) -> tuple[int, ...]:
    return tuple(sorted({*stage.entering, *stage.forms.choices}))
