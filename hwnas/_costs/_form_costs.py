"""What every form of every term of a space costs, as arrays: for whoever needs more than prices of given networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas._costs._space_costs import CROSSINGS, SpaceCosts, TermCosts
from hwnas._errors import SpaceError
from hwnas.spaces import Space, Term

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
MOST_FORMS = 200_000
"""Forms of all terms together: each is lowered and priced once, in about half a millisecond."""
_CHECKED = 64
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class FormCosts:
    """The forms of one term. A form is one combination of values of the term's choices, the last choice fastest.

    Attributes:
        choices: Indices of the term's choices.
        counts: How many values each of them has.
        values: By quantity the value of each form, ``(forms,)``; 0 for forms of which no network is valid.
        valid: Which forms some valid network holds, ``(forms,)``.
        crossings_ms: What each form's core crossings cost, for each state of its inputs ``(forms, states)``; None
            where no crossings were asked for.
        outputs: The state of each form's outputs, likewise.
    """

    choices: tuple[int, ...]
    counts: tuple[int, ...]
    values: Mapping[str, FloatArray]
    valid: BoolArray
    crossings_ms: FloatArray | None
    outputs: IntArray | None


def form_costs(costs: SpaceCosts, quantities: Sequence[str]) -> list[FormCosts]:
    """Price every form of every term of a space, and check that networks are the sums of these.

    Args:
        costs: The costs; what they know already is not worked out again.
        quantities: What to work out, of `SpaceCosts.quantities`.

    Returns:
        The terms in the order of the space.

    Raises:
        SpaceError: There are too many forms, or a term's cost depends on choices that the term does not name.
        UnmeasuredOpError: The table lacks an op.
    """
    space = costs.space
    forms = sum(math.prod(_counts(space, term)) for term in space.terms)
    if forms > MOST_FORMS:
        raise SpaceError(
            f"space {space.name}: its parts have {forms:,} forms, at most {MOST_FORMS:,} can be priced one by one; "
            "give it fewer choices, or let all paths lead through a node within its largest part"
        )
    rows = {term.name: space.rows_of_forms(term) for term in space.terms}
    canonical = {name: _canonical(space, own) for name, (own, _) in rows.items()}
    parts = costs.complete(quantities, lambda term: np.unique(canonical[term.name][rows[term.name][1]], axis=0))
    priced = [_of_term(part, quantities, canonical[part.term.name], rows[part.term.name][1], space) for part in parts]
    _require_sums(costs, quantities, priced)
    return priced


def places(forms: FormCosts, codes: IntArray) -> IntArray:
    """Return which form of a term each row of codes ``(n, d)`` has, ``(n,)``."""
    index = np.zeros(len(codes), dtype=np.int64)
    for choice, count in zip(forms.choices, forms.counts, strict=True):
        index = index * count + codes[:, choice]
    return index


def _counts(space: Space, term: Term) -> tuple[int, ...]:
    return tuple(space.cardinalities[choice] for choice in term.choices)


def _canonical(space: Space, rows: IntArray) -> IntArray:
    return space.canonical_codes(rows) if space.terms_want_canonical_codes else rows


def _of_term(part: TermCosts, quantities: Sequence[str], rows: IntArray, valid: BoolArray, space: Space) -> FormCosts:
    """Read the forms of a term whose networks have canonical codes `rows` ``(forms, d)``."""
    index = rows[:, list(part.term.choices)] @ np.array(part.radices, dtype=np.int64)
    values = {name: np.where(valid, part.values[name][index], 0.0) for name in quantities if name != CROSSINGS}
    counts = _counts(space, part.term)
    if CROSSINGS not in quantities:
        return FormCosts(part.term.choices, counts, values, valid, None, None)
    crossings = part.values[CROSSINGS].reshape(-1, part.states)[index]
    outputs = part.holders.reshape(-1, part.states)[index]
    return FormCosts(part.term.choices, counts, values, valid, np.where(valid[:, None], crossings, 0.0), outputs)


def _require_sums(costs: SpaceCosts, quantities: Sequence[str], priced: Sequence[FormCosts]) -> None:
    """Refuse a space whose costs are no sums (or maxima) of these, by some networks."""
    space, rng = costs.space, np.random.default_rng(1)
    rows = rng.integers(0, space.cardinalities, size=(_CHECKED, len(space.choices)))
    rows = rows[space.valid_codes(rows)]
    for name in quantities:
        if name == CROSSINGS or not len(rows):
            continue
        known = costs.totals([name], rows)[0]
        parts = np.array([forms.values[name][places(forms, rows)] for forms in priced])
        ours = parts.max(axis=0) if costs.is_maximum(name) else parts.sum(axis=0)
        if not np.allclose(ours, known, rtol=_TOLERANCE, atol=0.0):
            raise SpaceError(
                f"space {space.name}: what a part of its networks costs depends on choices that the part does not "
                "name, so costs have no exact expectation here"
            )
