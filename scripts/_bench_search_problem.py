"""A benchmark table as a search problem: candidates, maximum, true front."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas.evaluators import BenchmarkTable
from hwnas.spaces import make_space
from search import Domain, Objective, Problem, hypervolume, nondominated


@dataclass(frozen=True)
class Benchmark:
    """A tabular problem.

    Attributes:
        problem: The problem that strategies see; minimised columns are known, maximised ones expensive.
        rows: Row of the table for each mixed-radix index of codes; -1 where nothing is to be evaluated.
        archs: Architecture strings of the table.
        values: Natural objective values of the table's rows (n, m).
        maximum: Normalised hypervolume of the candidates.
        everything: Normalised hypervolume of all connected rows, isomorphic ones apart.
        front: Rows of the candidates' true front.
        notes: What was filtered, in words.
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

    def row(self, codes: tuple[int, ...]) -> int:
        """The table's row of a canonical architecture."""
        return int(self.rows[int(_index(np.array([codes]), self.problem.domain.cardinalities)[0])])

    def normalised(self, rows: list[int] | np.ndarray) -> np.ndarray:
        """Maximised values (n, m) of rows of the table, 0 at the worst and 1 at the best of the table."""
        return (self.values[rows] - self.worst) / (self.best - self.worst)

    def gaps(self, rows: list[int]) -> np.ndarray:
        """Share of the maximal hypervolume that is missing after each of the evaluations (k,)."""
        points, zero = self.normalised(rows), np.zeros(self.values.shape[1])
        volumes = [hypervolume(points[: k + 1], zero) for k in range(len(points))]
        return 1.0 - np.array(volumes) / self.maximum


def _index(codes: np.ndarray, cardinalities: tuple[int, ...]) -> np.ndarray:
    return np.ravel_multi_index(tuple(codes.T), cardinalities)


def load_benchmark(path: Path, maximize: list[str], minimize: list[str]) -> Benchmark:
    """Builds the problem.

    Rows of disconnected cells and rows with values that are not positive are filtered. Isomorphic cells
    are one network measured several times: each class is represented by its row with the lowest (known)
    first minimised column, and is evaluated at most once. Objectives are scaled to [0, 1] over the
    connected rows; the maximum is the hypervolume of all candidates, with reference 0.
    """
    space = make_space("nasbench201")
    table = BenchmarkTable.load(path)
    archs, values = table.archs, np.stack([table.column(name) for name in [*maximize, *minimize]], axis=1)
    cards = tuple(space.cardinalities)
    codes = np.array([space.encode(space.parse(arch)) for arch in archs])
    connected = np.asarray(space.valid_codes(codes), dtype=bool)
    sound = (values > 0).all(axis=1)
    usable = np.flatnonzero(connected & sound)
    notes = [
        f"{len(archs)} rows, {int((~connected).sum())} of disconnected cells and "
        f"{int((connected & ~sound).sum())} with values that are not positive filtered"
    ]
    signs = np.array([1.0] * len(maximize) + [-1.0] * len(minimize))
    oriented = values[usable] * signs
    best, worst = oriented.max(axis=0) * signs, oriented.min(axis=0) * signs

    classes = _index(space.canonical_codes(codes), cards)
    order = usable[np.lexsort((usable, values[usable, len(maximize)], classes[usable]))]
    _, first = np.unique(classes[order], return_index=True)
    chosen = order[first]
    notes.append(f"{len(chosen)} classes of isomorphic cells, each by its row with the lowest {minimize[0]}")

    size = int(np.prod(cards))
    grid = np.stack(np.unravel_index(np.arange(size), cards), axis=1)
    representative = np.arange(size)
    by_class = {int(classes[row]): int(row) for row in chosen}
    rows = np.full(size, -1)
    for index, kind in enumerate(_index(space.canonical_codes(grid), cards)):
        row = by_class.get(int(kind))
        if row is not None:
            representative[index] = _index(codes[row][None], cards)[0]
            rows[representative[index]] = row
    problem = _problem(space, cards, grid, representative, rows, values, maximize, minimize, worst, best)
    zero = np.zeros(len(signs))
    everything = hypervolume((values[usable] - worst) / (best - worst), zero)
    points = (values[chosen] - worst) / (best - worst)
    front = frozenset(int(row) for row in chosen[nondominated(points)])
    maximum = hypervolume(points, zero)
    notes.append(
        f"maximal hypervolume {maximum:.5f} (these classes, scaled to [0, 1] over the connected rows, reference "
        f"0), front of {len(front)}; with isomorphic rows apart it would be {everything:.5f}"
    )
    return Benchmark(problem, rows, archs, values, worst, best, maximum, everything, front, notes)


def _problem(space, cards, grid, representative, rows, values, maximize, minimize, worst, best):  # type: ignore[no-untyped-def]
    features = np.asarray(space.features(grid), dtype=np.float64)

    def canonical(codes: np.ndarray) -> np.ndarray:
        return grid[representative[_index(codes, cards)]]

    def column(k: int):  # type: ignore[no-untyped-def]
        def known(codes: np.ndarray) -> np.ndarray:
            at = rows[_index(codes, cards)]
            return np.where(at >= 0, values[at, k], np.nan)

        return known

    objectives = [Objective(name, "max", worst=float(worst[k]), best=float(best[k])) for k, name in enumerate(maximize)]
    for k, name in enumerate(minimize, start=len(maximize)):
        objectives.append(Objective(name, "min", known=column(k), worst=float(worst[k]), best=float(best[k])))
    domain = Domain(cards, canonical, lambda codes: features[_index(codes, cards)])
    return Problem(domain, tuple(objectives))
