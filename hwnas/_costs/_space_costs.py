"""Costs of architectures straight from their codes: table look-ups instead of graphs, many at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from hwnas._costs._cost import COSTS, LATENCY
from hwnas.spaces import MOST_NETWORKS, Architecture, Space, Term
from latency_tables import Holders, LatencyTable, OpGraph

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
CostOfCodes = Callable[[IntArray], FloatArray]
"""Codes ``(n, d)`` to costs ``(n,)``; NaN for rows that are not networks."""
_ENUMERABLE = MOST_NETWORKS
_CHUNK = 16_384
_FEW = 4
CROSSINGS = "core_crossings_ms"
"""Quantity of a term: what its core crossings cost, for each state of its inputs."""
_HOLDERS = int(Holders.BOTH) + 1
"""Number of values of `Holders`."""
_RANDOM_STARTS = 16


@dataclass(frozen=True)
class TermCosts:
    """Quantities of one term for every combination of its choices; NaN where not yet requested.

    Attributes:
        term: The part.
        radices: One for each of its choices, so that ``sum(code * radix)`` is the place of a combination.
        values: Arrays by quantity. A cost has one number for each combination, ``(combinations,)``; core crossings have
            one for each combination and state of the term's inputs, ``(combinations * states,)``.
        holders: State of the term's outputs, in the same places ``(combinations * states,)``.
        states: Number of states of the inputs. A state is a number with a digit to the base of 4, the `Holders`, for
            each of several tensors, the first the last digit.
    """

    term: Term
    radices: tuple[int, ...]
    values: dict[str, FloatArray]
    holders: IntArray
    states: int


class SpaceCosts:
    """Exact costs of a space's architectures.

    The networks of a space are chains of its terms, so each cost follows from sums (some: maxima) over terms of
    numbers that depend on few choices. Those numbers come from the terms' graphs when first requested, and are kept.

    Core crossings are not a plain sum: what a term pays depends on which side holds its input, and that on the terms
    before it. A term is therefore a small automaton. For each of the four `Holders` of its input (of each of its
    inputs, where there are several) it keeps what its crossings cost and the `Holders` of its outputs, and a network is
    priced by following the holders from term to term (an absent term passes them on). That is exact: the tensors
    between two terms are all that they share.

    Args:
        space: The search space.
        table: Prices; None leaves latency out.
        batch: Images of one inference (for peak memory).
        precision: Number format of the networks, as in ``--precision``, for costs that depend on it.
    """

    def __init__(self, space: Space, table: LatencyTable | None, *, batch: int = 1, precision: str = "fp32") -> None:
        self.space = space
        self.table = table
        self.batch = batch
        self._measures: dict[str, Callable[[OpGraph], float]] = {
            cost.key: partial(cost.value, batch=batch, precision=precision)
            for cost in COSTS.values()
            if cost.of_graph is not None
        }
        self._maxima = {"activation_bytes", *(cost.key for cost in COSTS.values() if cost.combine == "max")}
        if table is not None:
            pricing = table.pricing
            self._measures["op_ms"] = lambda graph: pricing.part_costs(graph).ops_ms
            self._measures["touched_bytes"] = lambda graph: pricing.part_costs(graph).touched_bytes
            self._measures["activation_bytes"] = lambda graph: pricing.part_costs(graph).activation_bytes
        self._terms = [self._empty(term) for term in space.terms]

    def latency_ms(self, codes: npt.ArrayLike) -> FloatArray:
        """Return predicted latency ``(n,)`` in milliseconds of codes ``(n, d)``; NaN for rows that are not networks.

        Raises:
            UnmeasuredOpError: The table lacks an op.
        """
        return self._table.correction.apply(self.unfitted_ms(codes))

    def unfitted_ms(self, codes: npt.ArrayLike) -> FloatArray:
        """Return the same before the correction by whole networks."""
        names = self.quantities(LATENCY.key)
        totals = dict(zip(names, self.totals(names, codes), strict=True))
        ops_ms = totals.pop("op_ms")
        if CROSSINGS in totals:
            ops_ms = ops_ms + totals.pop(CROSSINGS)
        return self._table.pricing.unfitted_ms(ops_ms, **totals)

    def quantities(self, key: str) -> tuple[str, ...]:
        """Name the quantities of terms that a cost (a `Cost.key`) follows from: for most costs, the cost itself.

        A latency follows from sums of ``op_ms``, `CROSSINGS` and ``touched_bytes`` and from the maximum of
        ``activation_bytes`` (`latency_tables.Pricing`); of these only what the table prices is named.
        """
        if key != LATENCY.key:
            return (key,)
        pricing = self._table.pricing
        bytes_of = ("touched_bytes", "activation_bytes") if pricing.cache is not None else ()
        return ("op_ms", *bytes_of, *((CROSSINGS,) if pricing.prices_crossings else ()))

    def is_maximum(self, quantity: str) -> bool:
        """Return whether a network's value of a quantity is the largest of its terms' instead of their sum."""
        return quantity in self._maxima

    def complete(self, names: Sequence[str], rows_of: Callable[[Term], IntArray]) -> list[TermCosts]:
        """Work out quantities of many forms of every term; what was not requested stays NaN.

        Args:
            names: Quantities, of `quantities`.
            rows_of: Gives codes ``(n, d)`` of valid networks that hold the wanted forms of a term.

        Returns:
            The terms in the order of the space. They are the ones that all prices are looked up in: do not change them.
        """
        for part in self._terms:
            if len(rows := rows_of(part.term)):
                self._fill(names, rows)
                if CROSSINGS in names:
                    places = _forms(part, rows)[:, None] * part.states + np.arange(part.states)
                    self._fill_crossings(part, places.ravel(), rows.repeat(part.states, axis=0))
        return list(self._terms)

    def cost(self, key: str) -> Callable[[npt.ArrayLike], FloatArray]:
        """Return the function that computes a cost (a `Cost.key`): codes ``(n, d)`` to values ``(n,)``."""
        if key == LATENCY.key:
            return self.latency_ms
        return partial(self._total, key)

    def _total(self, key: str, codes: npt.ArrayLike) -> FloatArray:
        return self.totals((key,), codes)[0]

    @property
    def _table(self) -> LatencyTable:
        if self.table is None:
            raise ValueError("latency needs a table")
        return self.table

    def _empty(self, term: Term) -> TermCosts:
        counts = [self.space.cardinalities[c] for c in term.choices]
        radices = tuple(math.prod(counts[i + 1 :]) for i in range(len(counts)))
        combinations, states = math.prod(counts), _HOLDERS**term.tensors
        values = {name: np.full(combinations, np.nan) for name in self._measures}
        values[CROSSINGS] = np.full(combinations * states, np.nan)
        return TermCosts(term, radices, values, np.zeros(combinations * states, dtype=np.int64), states)

    def totals(self, names: Sequence[str], codes: npt.ArrayLike) -> list[FloatArray]:
        """Return one array ``(n,)`` for each quantity, NaN for rows that are not networks."""
        rows = np.atleast_2d(np.asarray(codes, dtype=np.int64))
        if self.space.terms_want_canonical_codes:
            rows = self.space.canonical_codes(rows)
        valid = self.space.valid_codes(rows)
        if valid.all():
            return self._totals_of_networks(names, rows)
        totals = [np.full(len(rows), np.nan) for _ in names]
        if valid.any():
            for total, part in zip(totals, self._totals_of_networks(names, rows[valid]), strict=True):
                total[valid] = part
        return totals

    def _totals_of_networks(self, names: Sequence[str], rows: IntArray) -> list[FloatArray]:
        if len(rows) <= _FEW:
            return list(np.array([self._totals_of_one(names, row) for row in rows.tolist()]).T)
        parts = [self._chunk(names, rows[i : i + _CHUNK]) for i in range(0, len(rows), _CHUNK)]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _chunk(self, names: Sequence[str], rows: IntArray) -> list[FloatArray]:
        columns = np.ascontiguousarray(rows.T)
        totals = [np.zeros(len(rows)) for _ in names]
        held = np.zeros(len(rows), dtype=np.int64)
        for part in self._terms:
            index = np.zeros(len(rows), dtype=np.int64)
            for choice, radix in zip(part.term.choices, part.radices, strict=True):
                index += columns[choice] * radix
            places = index * part.states + held
            for name, total in zip(names, totals, strict=True):
                combine = np.maximum if name in self._maxima else np.add
                combine(total, part.values[name].take(places if name == CROSSINGS else index), out=total)
            if CROSSINGS in names:
                held = part.holders.take(places)
        unknown = np.isnan(totals[0]) if len(totals) == 1 else np.isnan(totals).any(axis=0)
        if unknown.any():
            self._fill(names, rows[unknown])
            return self._chunk(names, rows)
        return totals

    def _totals_of_one(self, names: Sequence[str], row: list[int]) -> list[float]:
        """Return as `_chunk`, without arrays: faster for a single architecture."""
        totals, held = [0.0] * len(names), 0
        for part in self._terms:
            index = 0
            for choice, radix in zip(part.term.choices, part.radices, strict=True):
                index += row[choice] * radix
            place = index * part.states + held
            for i, name in enumerate(names):
                value = part.values[name].item(place if name == CROSSINGS else index)
                if value != value:  # NaN: not requested before
                    self._fill(names, np.array([row], dtype=np.int64))
                    return self._totals_of_one(names, row)
                totals[i] = max(totals[i], value) if name in self._maxima else totals[i] + value
            if CROSSINGS in names:
                held = part.holders.item(place)
        return totals

    def _fill(self, names: Sequence[str], rows: IntArray) -> None:
        """Work out every quantity that these rows need and that is not known yet."""
        held = np.zeros(len(rows), dtype=np.int64)
        costs = [name for name in names if name != CROSSINGS]
        for part in self._terms:
            forms = _forms(part, rows)
            for form, row in _each_once(forms, rows):
                missing = [name for name in costs if np.isnan(part.values[name][form])]
                if missing:
                    graph = self.space.term_graph(part.term, self.space.decode(row))
                    for name in missing:
                        part.values[name][form] = 0.0 if graph is None else self._measures[name](graph)
            if CROSSINGS in names:
                places = forms * part.states + held
                self._fill_crossings(part, places, rows)
                held = part.holders.take(places)

    def _fill_crossings(self, part: TermCosts, places: IntArray, rows: IntArray) -> None:
        """Work out what the core crossings of a term cost in some states, where that is not known yet.

        A term that reads many tensors has too many states to work out all of them, and few of them occur.

        Args:
            part: The term.
            places: Where the form and state of each row is ``(n,)``.
            rows: Codes of networks ``(n, d)``.
        """
        unknown = np.isnan(part.values[CROSSINGS].take(places))
        known_form, graph = -1, None
        for place, row in _each_once(places[unknown], rows[unknown]):
            form, state = divmod(place, part.states)
            if form != known_form:
                known_form, graph = form, self.space.term_graph(part.term, self.space.decode(row))
            held = _held(state, part.term.tensors)
            ms, outputs = (0.0, held) if graph is None else self._table.pricing.crossings_ms(graph, held)
            part.values[CROSSINGS][place] = ms
            part.holders[place] = _state(outputs)


def _forms(part: TermCosts, rows: IntArray) -> IntArray:
    """Return the place of the term's form in each row ``(n,)``."""
    forms: IntArray = rows[:, list(part.term.choices)] @ np.array(part.radices, dtype=np.int64)
    return forms


def _each_once(places: IntArray, rows: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield each place, ascending, with the first row that is there."""
    found, where = np.unique(places, return_index=True)
    yield from zip(found.tolist(), rows[where], strict=True)


def _held(state: int, tensors: int) -> tuple[Holders, ...]:
    """Return which side holds each of several tensors in a state."""
    return tuple(Holders(state // _HOLDERS**place % _HOLDERS) for place in range(tensors))


def _state(holders: Sequence[Holders]) -> int:
    """Return the state of tensors that these sides hold."""
    return sum(int(held) * _HOLDERS**place for place, held in enumerate(holders))


def cheapest_network(
    space: Space, cost: CostOfCodes, seed: int = 0, *, known: Sequence[IntArray] = ()
) -> tuple[Architecture, float]:
    """Return the cheapest network of a space, and what it costs.

    Small spaces are enumerated. In large ones, descents move to the best of all networks one choice away until none is
    cheaper, from every combination of the choices that all terms share (width and resolution, say) and from
    random networks. Where the cost is a sum over terms that share nothing else but a stage's depth, that is exact; the
    cost of a working set beyond the caches does not lead astray, since it grows with the same choices.

    Args:
        space: What is searched.
        cost: Codes ``(n, d)`` to costs ``(n,)``; NaN marks rows that do not count.
        seed: Draws the random networks.
        known: Codes ``(d,)`` of networks that count; the descents begin there where no other start leads to one.
    """
    if math.prod(space.cardinalities) <= _ENUMERABLE:
        grid = np.indices(space.cardinalities).reshape(len(space.choices), -1).T
        values = np.nan_to_num(cost(grid), nan=math.inf)
        best = int(values.argmin())
        return space.decode(space.canonical_codes(grid[best][None])[0]), float(values[best])
    rng = np.random.default_rng(seed)
    starts = [*_shared_starts(space), *(space.encode(arch) for arch in space.sample(_RANDOM_STARTS, rng))]
    value, row = _lowest(space, cost, starts)
    if known and not math.isfinite(value):
        value, row = _lowest(space, cost, known)
    return space.decode(space.canonical_codes(row[None])[0]), value


def _lowest(space: Space, cost: CostOfCodes, starts: Iterable[IntArray]) -> tuple[float, IntArray]:
    """Return where the best of the descents from some networks ends; its cost and codes ``(d,)``."""
    return min((descend(space, cost, start) for start in starts), key=lambda descent: descent[0])


def _shared_starts(space: Space) -> list[IntArray]:
    """Return the first value of each choice, with all combinations of the choices that every term depends on."""
    shared = sorted(set.intersection(*(set(term.choices) for term in space.terms)))
    counts = [space.cardinalities[c] for c in shared]
    starts = []
    for values in np.indices(counts).reshape(len(counts), math.prod(counts)).T[:_ENUMERABLE]:
        row = np.zeros(len(space.choices), dtype=np.int64)
        row[shared] = values
        starts.append(row)
    return starts


def descend(space: Space, cost: CostOfCodes, row: IntArray) -> tuple[float, IntArray]:
    """Move from a network to the best of all one choice away until none is cheaper; its cost and codes ``(d,)``."""
    value = float(np.nan_to_num(cost(row[None])[0], nan=math.inf))
    while True:
        moves = _one_choice_away(row, space.cardinalities)
        values = np.nan_to_num(cost(moves), nan=math.inf)
        step = int(values.argmin())
        if not values[step] < value:
            return value, row
        value, row = float(values[step]), moves[step]


def _one_choice_away(row: IntArray, cardinalities: tuple[int, ...]) -> IntArray:
    columns = np.repeat(np.arange(len(row)), cardinalities)
    moves = np.repeat(row[None], len(columns), axis=0)
    moves[np.arange(len(columns)), columns] = np.concatenate([np.arange(n) for n in cardinalities])
    return moves
