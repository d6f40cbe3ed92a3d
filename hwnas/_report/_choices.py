"""Which choices the front favours, against all trials within the budgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas._report._html import escape
from hwnas.spaces import Space
from search import Trial

IntArray = npt.NDArray[np.int64]
_SIGMAS = 2.0
_FEWEST = 5
"""Networks of the front from which on shares say something."""
_MOST = 16


@dataclass(frozen=True)
class Share:
    """One value of a choice.

    Attributes:
        value: The value.
        front: Its share among the networks of the front in which the choice matters.
        trials: Its share among all trials in which it matters.
        deviation: Their difference, in standard errors of the front's size.
    """

    value: object
    front: float
    trials: float
    deviation: float

    @property
    def favoured(self) -> int:
        """1 where the front has it more often than chance explains, -1 where less often, else 0."""
        return 0 if abs(self.deviation) <= _SIGMAS else 1 if self.deviation > 0 else -1


@dataclass(frozen=True)
class Favour:
    """One choice.

    Attributes:
        name: Name of the choice.
        shares: Shares of its values.
        networks: Networks of the front in which it matters.
    """

    name: str
    shares: tuple[Share, ...]
    networks: int

    @property
    def strength(self) -> float:
        """Largest difference between a share of the front and that of all trials, in standard errors."""
        return max(abs(share.deviation) for share in self.shares)


def favours(space: Space, front: Sequence[Trial], trials: Sequence[Trial]) -> list[Favour]:
    """Return every choice with several values that matters in some network of the front, the most telling first.

    A choice that does not change the network (the kernel of an absent block) does not count there. A share stands out
    where it is two standard errors of the front's size away from that of all trials. A choice that matters in fewer
    than five networks of a front of five or more is left out: so few say nothing.
    """
    chosen, every = (np.array([trial.codes for trial in part], dtype=np.int64) for part in (front, trials))
    differing = []
    for column, choice in enumerate(space.choices):
        if len(choice.values) < 2:
            continue
        ours = chosen[_matters(space, chosen, column), column]
        all_of_them = every[_matters(space, every, column), column]
        if len(ours) < max(1, min(_FEWEST, len(front))) or not len(all_of_them):
            continue
        shares = []
        for code, value in enumerate(choice.values):
            here, there = float((ours == code).mean()), float((all_of_them == code).mean())
            error = math.sqrt(max(there * (1 - there), 1e-4) / len(ours))
            shares.append(Share(value, here, there, (here - there) / error))
        differing.append(Favour(choice.name, tuple(shares), len(ours)))
    return sorted(differing, key=lambda favour: -favour.strength)


def favour_table(choices: Sequence[Favour], front: int, trials: int) -> str:
    """Return the choices as HTML, the most telling ones."""
    rows = []
    for favour in choices[:_MOST]:
        chips = "".join(_chip(share) for share in favour.shares)
        rows.append(f"<dt>{escape(favour.name)} <small>({favour.networks})</small></dt><dd>{chips}</dd>")
    more = (
        f" Of {len(choices)} choices, the {_MOST} that differ most clearly are shown." if len(choices) > _MOST else ""
    )
    return (
        f"<p class=note>How often each value of a choice occurs on the front ({front} networks) and, in brackets, "
        f"among all {trials} trials within the budgets. Networks in which a choice has no effect (the kernel of an "
        "absent block, say) do not count; the number after a choice says how many networks of the front do. Values in "
        "blue are more frequent on the front, values struck through less frequent, by more than two standard errors."
        f"{more}</p><dl class=choices>{''.join(rows)}</dl>"
    )


def _chip(share: Share) -> str:
    kind = {1: " class=more", -1: " class=less", 0: ""}[share.favoured]
    return f"<span{kind}><b>{escape(share.value)}</b> {share.front:.0%} <small>({share.trials:.0%})</small></span> "


def _matters(space: Space, codes: IntArray, column: int) -> npt.NDArray[np.bool_]:
    """Return in which rows (n, d) another value of a choice would be another network ``(n,)``."""
    other = codes.copy()
    other[:, column] = (other[:, column] + 1) % space.cardinalities[column]
    return np.asarray((space.canonical_codes(other) != codes).any(axis=1), dtype=np.bool_)
