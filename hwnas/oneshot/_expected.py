"""`ExpectedCost`: what a network costs that is drawn from a distribution over choices, differentiably."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas._costs._cost import LATENCY, cost_named
from hwnas._costs._form_costs import FormCosts, form_costs
from hwnas._costs._space_costs import CROSSINGS, SpaceCosts
from hwnas._errors import SpaceError
from hwnas.oneshot._contraction import Contraction, Table
from hwnas.oneshot._distribution import Distribution, require_distribution, require_shapes, sample_codes
from hwnas.oneshot._maximum import ExpectedMaximum
from hwnas.spaces import Space
from latency_tables import LatencyTable


@dataclass(frozen=True)
class MonteCarlo:
    """The mean real cost of networks drawn from a distribution.

    Attributes:
        mean: Their mean.
        standard_error: Standard error of the mean.
        networks: How many of the draws were networks.
    """

    mean: float
    standard_error: float
    networks: int


@dataclass(frozen=True)
class ExpectationError:
    """How far `ExpectedCost` is off at a distribution.

    Attributes:
        expected: What it computes.
        sampled: The mean over drawn networks.
    """

    expected: float
    sampled: MonteCarlo

    @property
    def relative(self) -> float:
        """The error as a share of the sampled mean; within ``2 standard_error / mean`` it cannot be told from 0."""
        return self.expected / self.sampled.mean - 1.0


class ExpectedCost:
    """The expectation of a cost under independent distributions over a space's choices, in torch (float64).

    The networks of a space are chains of its terms, and what a term costs depends on few choices. So the expectation of
    a sum over terms is a sum of small tables contracted with the probabilities: MACs, parameters, and the sum of the
    prices of ops are **exact**. Peak memory is the largest of the terms' values, and exact too: the probability that
    all terms stay within each value that occurs is summed along the chain. At one-hot probabilities every cost is the
    price of that network, up to rounding.

    Otherwise two parts of a latency are approximated; `error` tells how well, by drawing networks:

    * The cache curve and the correction of a table are evaluated at the expected milliseconds and bytes.
    * Core crossings depend on which side holds a term's inputs. That state is followed from term to term as a
      distribution of its own, as though it were independent of the choices that the next term shares with those before.

    On the spaces of hwnas and a derived one, with made-up tables, the latency errs by at most 0.3 % without crossings
    and 2 % with them; on networks of a few ops, around the cache curve's bend, by up to 6 % (`docs/oneshot.md`).

    Where some architectures are no networks (a cell without a path), the expectation is that over the networks: exactly
    where one term alone decides, else term by term.

    Args:
        space: The space.
        table: Prices; None where the cost is not the latency.
        cost: Name of the cost, as in ``--minimize``.
        batch: Images of one inference (for peak memory).
        costs: Costs of the same space, table and batch that are worked out already; None to make them.

    Attributes:
        space: The space.
        costs: The real costs, which `solve` takes too.
        key: Name of the cost in files and results.
        preparation_s: Seconds that pricing every form of every term took, once.

    Raises:
        SpaceError: The space has too many forms, or its costs are no sums over its terms.
        UnmeasuredOpError: The table lacks an op.
    """

    def __init__(
        self,
        space: Space,
        table: LatencyTable | None = None,
        cost: str = "latency",
        *,
        batch: int = 1,
        costs: SpaceCosts | None = None,
    ) -> None:
        began = time.perf_counter()
        self.space = space
        self.costs = costs if costs is not None else SpaceCosts(space, table, batch=batch)
        self.key = cost_named(cost, "ExpectedCost").key
        if self.key == LATENCY.key and self.costs.table is None:
            raise SpaceError(f"space {space.name}: the expected latency needs a latency table; pass table")
        self._quantities = self.costs.quantities(self.key)
        forms = form_costs(self.costs, self._quantities)
        self._conditional = not all(own.valid.all() for own in forms)
        self._names = [name for name in self._quantities if name != CROSSINGS]
        self._crossings = [_Crossings(own) for own in forms] if CROSSINGS in self._quantities else []
        self._maxima = {
            name: ExpectedMaximum(forms, name, space.cardinalities)
            for name in self._names
            if self.costs.is_maximum(name)
        }
        tables = [self._table(own, number) for number, own in enumerate(forms)]
        self._contraction = Contraction(tables, space.cardinalities)
        self.preparation_s = time.perf_counter() - began

    def __call__(self, distribution: Distribution) -> Tensor:
        """Return the expected cost as a scalar (milliseconds for the latency), with gradients.

        Args:
            distribution: One vector of probabilities ``(values,)`` for each choice, of any floating type.

        Raises:
            SpaceError: The vectors do not belong to the choices.
        """
        expected = self.expected_quantities(distribution)
        if self.key != LATENCY.key:
            return expected[self.key]
        ops_ms = expected["op_ms"] + expected.get(CROSSINGS, 0.0)
        moved = [expected[name] for name in ("touched_bytes", "activation_bytes") if name in expected]
        return self._latency(ops_ms, moved)

    def expected_quantities(self, distribution: Distribution) -> dict[str, Tensor]:
        """Return the expectations of the quantities that the cost follows from, by name; see `SpaceCosts.quantities`.

        Raises:
            SpaceError: The vectors do not belong to the choices.
        """
        require_shapes(self.space, distribution)
        of_terms = self._contraction(distribution)
        count = len(self._names)
        if self._conditional:  # E[value | network] = E[value, network] / P(network)
            of_terms = [own[:-1] / own[-1] for own in of_terms]
        values = torch.stack([own[:count] for own in of_terms])
        result = {
            name: self._maxima[name](distribution) if name in self._maxima else values[:, i].sum()
            for i, name in enumerate(self._names)
        }
        if self._crossings:
            result[CROSSINGS] = self._expected_crossings([own[count:] for own in of_terms])
        return result

    def monte_carlo(self, distribution: Distribution, networks: int = 10_000, seed: int = 0) -> MonteCarlo:
        """Draw networks and return the mean of their real costs.

        Raises:
            SpaceError: The distribution is none over these choices, or no draw was a network.
        """
        require_distribution(self.space, distribution)
        rows = sample_codes(distribution, networks, np.random.default_rng(seed))
        values = self.costs.cost(self.key)(rows)
        values = values[~np.isnan(values)]
        if len(values) < 2:
            raise SpaceError(f"space {self.space.name}: of {networks} draws from the distribution none is a network")
        return MonteCarlo(float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5, len(values))

    def error(self, distribution: Distribution, networks: int = 10_000, seed: int = 0) -> ExpectationError:
        """Compare the expectation with the mean over drawn networks.

        Raises:
            SpaceError: As of `monte_carlo`.
        """
        with torch.no_grad():
            expected = float(self(distribution))
        return ExpectationError(expected, self.monte_carlo(distribution, networks, seed))

    def _table(self, forms: FormCosts, number: int) -> Table:
        """Return the rows of a term: quantities, crossings, and last whether a form is of a network."""
        rows = [forms.values[name] for name in self._names]
        rows += self._crossings[number].rows if self._crossings else []
        rows += [np.ones(len(forms.valid))] if self._conditional else []
        return Table(forms.choices, forms.counts, np.where(forms.valid, np.stack(rows), 0.0))

    def _latency(self, ops_ms: Tensor, moved: Sequence[Tensor]) -> Tensor:
        """Evaluate the table's equations at expected numbers: the value exactly, with its tangent for gradients."""
        assert self.costs.table is not None
        numbers = [ops_ms, *moved]
        tangent = self.costs.table.pricing.tangent(*(number.item() for number in numbers))
        slopes = (tangent.per_op_ms, tangent.per_touched_byte, tangent.per_activation_byte)
        latency = ops_ms.new_tensor(tangent.latency_ms)
        for number, slope in zip(numbers, slopes, strict=False):
            latency = latency + slope * (number - number.detach())
        return latency

    def _expected_crossings(self, of_terms: Sequence[Tensor]) -> Tensor:
        """Follow the distribution of the state from term to term, and add up what is expected to be paid."""
        held = torch.zeros(self._crossings[0].states, dtype=torch.float64)
        held[0] = 1.0  # nobody holds the network's input
        total = torch.zeros((), dtype=torch.float64)
        following = [*(term.states for term in self._crossings[1:]), 0]
        for term, rows, states in zip(self._crossings, of_terms, following, strict=True):
            total = total + held @ rows[: term.states]
            held = term.next(held, rows[term.states :], states) if states else held
        return total


class _Crossings:
    """Core crossings of one term: what each state of its inputs pays, and what state its outputs then have.

    Forms with the same map from states to states are one map, whose probability is the sum of theirs.

    Args:
        forms: The forms of the term.
    """

    def __init__(self, forms: FormCosts) -> None:
        assert forms.crossings_ms is not None
        assert forms.outputs is not None
        self.states = forms.crossings_ms.shape[1]
        maps, which = np.unique(forms.outputs[forms.valid], axis=0, return_inverse=True)
        member = np.full(len(forms.valid), -1)
        member[forms.valid] = which.reshape(-1)
        self.rows: list[npt.NDArray[np.float64]] = [*forms.crossings_ms.T]
        self.rows += [(member == number).astype(np.float64) for number in range(len(maps))]
        self._maps = [torch.from_numpy(own) for own in maps]

    def next(self, held: Tensor, probabilities: Tensor, states: int) -> Tensor:
        """Return the distribution of the outputs' state, ``(states,)``, from that of the inputs and each map's."""
        after = held.new_zeros(states)
        for own, probability in zip(self._maps, probabilities, strict=True):
            after = after.index_add(0, own, held * probability)
        return after
