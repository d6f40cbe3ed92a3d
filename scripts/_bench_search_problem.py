"""A benchmark table as a search problem: candidates, maximum, true front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwnas.costs import SpaceCosts
from hwnas.evaluators import BenchmarkTable
from hwnas.spaces import Space, make_space
from search import Domain, Objective, Problem, hypervolume, nondominated

_SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


@dataclass(frozen=True)
class Benchmark:
    """A tabular problem.

    Attributes:
        problem: The problem that strategies see; minimised columns have a cost function, maximised ones are expensive.
        rows: Row of the table for each mixed-radix index of codes; -1 where there is nothing to evaluate.
        archs: Architecture strings of the table.
        values: Natural objective values ``(n, m)`` of the table's rows.
        maximum: Normalised hypervolume of the candidates.
        everything: Normalised hypervolume of all connected rows, isomorphic ones counted separately.
        front: Rows of the candidates' true front.
        notes: What was filtered, in words.
        cheap: Natural low-fidelity values ``(n,)`` of the expensive objective; None where there are none.
        cheap_cost: Cost of one low-fidelity evaluation, in full ones.
        unit: A normalised hypervolume of 1 in units of standard deviations.
    """

    problem: Problem
    rows: np.ndarray
    archs: list[str]
    values: np.ndarray
    worst: np.ndarray
    best: np.ndarray
    maximum: float
    everything: float
    front: frozenset[int]
    notes: list[str]
    cheap: np.ndarray | None = None
    cheap_cost: float = 0.0
    unit: float = 1.0

    def row(self, codes: tuple[int, ...]) -> int:
        """Return the table's row of a canonical architecture."""
        return int(self.rows[int(_index(np.array([codes]), self.problem.domain.cardinalities)[0])])

    def normalised(self, rows: list[int] | np.ndarray) -> np.ndarray:
        """Return maximised values ``(n, m)`` of rows of the table, 0 at the worst and 1 at the best of the table."""
        return (self.values[rows] - self.worst) / (self.best - self.worst)

    def gap(self, rows: list[int]) -> float:
        """Return the share of the maximal hypervolume that is missing after these evaluations."""
        return 1.0 - hypervolume(self.normalised(rows), np.zeros(self.values.shape[1])) / self.maximum

    def gaps(self, rows: list[int]) -> np.ndarray:
        """Return the gap after each of the evaluations ``(k,)``."""
        return np.array([self.gap(rows[: k + 1]) for k in range(len(rows))])


def _index(codes: np.ndarray, cardinalities: tuple[int, ...]) -> np.ndarray:
    return np.ravel_multi_index(tuple(codes.T), cardinalities)


def load_benchmark(
    path: Path,
    maximize: list[str],
    minimize: list[str],
    cheap: tuple[str, float] | None = None,
    reference: list[float] | None = None,
    every_row: bool = False,
) -> Benchmark:
    """Build the problem; `cheap` is the column of low-fidelity values of the maximised one, and their cost.

    Rows of disconnected cells and rows with values that are not positive are filtered. Isomorphic cells
    are one network measured several times: each class is represented by its row with the lowest
    first minimised column, and is evaluated at most once. Objectives are scaled to [0, 1] over the
    connected rows; the maximum is the hypervolume of all candidates, with reference 0. A `reference` puts 0 that many
    standard deviations of the connected rows above their mean (maximised, so negative numbers are worse). With
    `every_row` nothing is filtered, and every row is a candidate. The column ``macs``, where the table has
    none, is counted from the cells as the benchmark publishes it: operators that reach no output count too.
    """
    space = make_space("nasbench201")
    table = BenchmarkTable.load(path)
    codes = np.array([space.encode(space.parse(arch)) for arch in table.archs])
    values = np.stack([_column(table, space, codes, name) for name in [*maximize, *minimize]], axis=1)
    connected = np.asarray(space.valid_codes(codes), dtype=bool)
    sound = (values > 0).all(axis=1)
    usable = np.arange(len(values)) if every_row else np.flatnonzero(connected & sound)
    chosen = usable if every_row else _representatives(space, codes, usable, values[:, len(maximize)])

    signs = np.array([1.0] * len(maximize) + [-1.0] * len(minimize))
    oriented = values[usable] * signs
    best, worst = oriented.max(axis=0) * signs, oriented.min(axis=0) * signs
    deviations = np.ones(len(signs))
    if reference is not None:
        deviations = oriented.std(axis=0)
        worst = (oriented.mean(axis=0) + np.array(reference) * deviations) * signs
    scaled, zero = (values - worst) / (best - worst), np.zeros(len(signs))
    maximum, everything = hypervolume(scaled[chosen], zero), hypervolume(scaled[usable], zero)
    front = frozenset(int(row) for row in chosen[nondominated(scaled[chosen])])
    notes = [
        f"{len(values)} rows, {int((~connected).sum())} of disconnected cells and "
        f"{int((connected & ~sound).sum())} with values that are not positive filtered",
        f"{len(chosen)} classes of isomorphic cells, each by its row with the lowest {minimize[0]}",
        f"maximal hypervolume {maximum:.5f} (these classes, scaled to [0, 1] over the connected rows, "
        f"reference 0), front of {len(front)}; {everything:.5f} with isomorphic rows counted separately",
    ]
    if every_row:
        points = len(np.unique(values[sorted(front)], axis=0))
        notes = [f"{len(values)} rows, none filtered, isomorphic cells counted separately, front of {points} points"]
    same = (lambda asked: asked) if every_row else space.canonical_codes
    problem, rows = _problem(space, codes, chosen, values, (maximize, minimize), (worst, best), same)
    unit = float(np.prod(np.abs(best - worst) / deviations)) if reference is not None else 1.0
    if reference is not None:
        notes.append(f"reference {reference} standard deviations from the mean: maximum {maximum * unit:.4f}")
    if cheap is not None:
        problem = replace(problem, low_fidelity=True)
        notes.append(f"low-fidelity evaluations: {cheap[0]}, each costs {cheap[1]:g} of a full one")
    benchmark = Benchmark(problem, rows, table.archs, values, worst, best, maximum, everything, front, notes, unit=unit)
    return benchmark if cheap is None else replace(benchmark, cheap=table.column(cheap[0]), cheap_cost=cheap[1])


def _column(table: BenchmarkTable, space: Space, codes: np.ndarray, name: str) -> np.ndarray:
    """Return the values ``(n,)`` of a column; multiply-accumulates are counted where the table does not have them."""
    if name != "macs" or name in table.columns:
        return np.asarray(table.column(name))
    skip = space.encode(space.parse(_SKIPS))
    least = float(SpaceCosts(space, None).cost("macs")(skip[None])[0])
    total = np.full(len(codes), least)
    for choice, size in enumerate(space.cardinalities):
        cells = np.repeat(skip[None], size, axis=0)
        cells[:, choice] = np.arange(size)
        alone = SpaceCosts(space, None).cost("macs")(cells) - least
        total += alone[codes[:, choice]]
    return total


def _representatives(space: Space, codes: np.ndarray, usable: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Return the row of the table with the lowest cost in each class of isomorphic usable rows ``(k,)``."""
    classes = _index(space.canonical_codes(codes[usable]), space.cardinalities)
    order = np.lexsort((usable, cost[usable], classes))
    _, first = np.unique(classes[order], return_index=True)
    chosen: np.ndarray = usable[order[first]]
    return chosen


def _problem(
    space: Space,
    codes: np.ndarray,
    chosen: np.ndarray,
    values: np.ndarray,
    names: tuple[list[str], list[str]],
    bounds: tuple[np.ndarray, np.ndarray],
    canonical: Callable[[np.ndarray], np.ndarray],
) -> tuple[Problem, np.ndarray]:
    """Return the problem whose candidates are the chosen rows, and the row of each code index (-1 for none)."""
    cards = tuple(space.cardinalities)
    grid = np.stack(np.unravel_index(np.arange(int(np.prod(cards))), cards), axis=1)
    classes = _index(canonical(grid), cards)
    row_of_class = np.full(len(grid), -1)
    row_of_class[_index(canonical(codes[chosen]), cards)] = chosen
    row_of_code = row_of_class[classes]
    representative = np.where(row_of_code >= 0, _index(codes[row_of_code], cards), np.arange(len(grid)))
    rows = np.full(len(grid), -1)
    rows[representative[row_of_code >= 0]] = row_of_code[row_of_code >= 0]
    features = np.asarray(space.features(grid), dtype=np.float64)

    def column(k: int) -> Callable[[np.ndarray], np.ndarray]:
        def cost(asked: np.ndarray) -> np.ndarray:
            at = rows[_index(asked, cards)]
            return np.where(at >= 0, values[at, k], np.nan)

        return cost

    maximize, minimize = names
    ends = [{"worst": float(w), "best": float(b)} for w, b in zip(*bounds, strict=True)]
    objectives = [Objective(name, "max", **ends[k]) for k, name in enumerate(maximize)]
    for k, name in enumerate(minimize, start=len(maximize)):
        objectives.append(Objective(name, "min", cost_function=column(k), **ends[k]))
    domain = Domain(
        cards, lambda asked: grid[representative[_index(asked, cards)]], lambda c: features[_index(c, cards)]
    )
    return Problem(domain, tuple(objectives)), rows
