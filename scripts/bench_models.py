"""Evaluate accuracy models on held-out cells of NAS-Bench-201.

Each model is fitted to random cells (the log target that searches use) and predicts all others. For both columns and
every number of cells: Kendall's tau over all held-out cells and over the best tenth of them, which decides searches,
and the share of them inside the model's 90 % interval.

    scripts/bench_models.py --table FILE --json OUT
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402
from scipy import stats  # noqa: E402

from hwnas.evaluators import BenchmarkTable  # noqa: E402
from hwnas.spaces import make_space  # noqa: E402
from latency_tables import write_atomic  # noqa: E402
from search import Domain  # noqa: E402
from search.models import Ensemble, Forest, GaussianProcess, Inputs, Model, fit_target  # noqa: E402

COLUMNS = ("cifar10_test_acc", "cifar100_test_acc")
SIZES = (20, 50, 100, 200, 300)
MODELS: dict[str, Model] = {
    "GP, features, a scale for each": GaussianProcess("encodings", relevance=0.3),
    "GP, features, one scale": GaussianProcess("encodings"),
    "GP, one-hot (Hamming)": GaussianProcess("one_hot"),
    "forest": Forest(),
    "GP + forest": Ensemble(GaussianProcess("encodings", relevance=0.3), Forest()),
}
"""The models by name; the first is the default."""
_Z = 1.6449


class Cells:
    """One cell of each class of isomorphic cells of a table, with its accuracy from a column."""

    def __init__(self, table: Path, column: str) -> None:
        space = make_space("nasbench201")
        rows = BenchmarkTable.load(table)
        codes = np.array([space.encode(space.parse(arch)) for arch in rows.archs])
        usable = np.flatnonzero(space.valid_codes(codes) & (rows.column(column) > 0))
        canonical = space.canonical_codes(codes[usable])
        _, first = np.unique(canonical, axis=0, return_index=True)
        codes = canonical[first]
        self.inputs = Inputs(space.features(codes), Domain(tuple(space.cardinalities)).one_hot(codes))
        accuracy = rows.column(column)[usable[first]]
        self.values = (accuracy - accuracy.min()) / np.ptp(accuracy)

    def part(self, rows: np.ndarray) -> Inputs:
        """Select the inputs of some cells."""
        return Inputs(self.inputs.encodings[rows], self.inputs.one_hot[rows])


_cells: dict[str, Cells] = {}


def _prepare(table: Path) -> None:
    for column in COLUMNS:
        _cells[column] = Cells(table, column)


def judge(task: tuple[str, str, int, int]) -> tuple[float, float, float]:
    """Compute tau overall, tau among the best tenth, share inside the 90 % interval, for one random draw."""
    column, name, size, seed = task
    cells = _cells[column]
    order = np.random.default_rng(seed).permutation(len(cells.values))
    train, held = order[:size], order[size:]
    target = fit_target(cells.values[train], 0.0)
    posterior = MODELS[name].fit(cells.part(train), target.transform(cells.values[train])).posterior(cells.part(held))
    truth = cells.values[held]
    top = truth >= np.quantile(truth, 0.9)
    reach = _Z * posterior.std
    low, high = target.inverse(posterior.mean - reach), target.inverse(posterior.mean + reach)
    return (
        float(stats.kendalltau(posterior.mean, truth).statistic),
        float(stats.kendalltau(posterior.mean[top], truth[top]).statistic),
        float(((low <= truth) & (truth <= high)).mean()),
    )


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tasks = [(c, m, n, s) for c in COLUMNS for m in MODELS for n in SIZES for s in range(args.draws)]
    with ProcessPoolExecutor(
        args.jobs, mp_context=get_context("spawn"), initializer=_prepare, initargs=(args.table,)
    ) as pool:
        results = np.array(list(pool.map(judge, tasks, chunksize=4)))
    means = results.reshape(len(COLUMNS), len(MODELS), len(SIZES), args.draws, 3).mean(axis=3)
    record: dict[str, object] = {"draws": args.draws, "sizes": SIZES, "columns": {}}
    columns: dict[str, object] = {}
    for column, by_model in zip(COLUMNS, means, strict=True):
        print(f"{column}: tau / tau of the best tenth / inside 90 %, fitted to {', '.join(map(str, SIZES))} cells")
        columns[column] = {
            name: dict(zip(("tau", "tau_best_tenth", "inside_90"), rows.T.round(4).tolist(), strict=True))
            for name, rows in zip(MODELS, by_model, strict=True)
        }
        for name, rows in zip(MODELS, by_model, strict=True):
            print(f"  {name:<32}" + "  ".join(f"{a:.2f}/{b:.2f}/{c:.2f}" for a, b, c in rows))
    record["columns"] = columns
    if args.json:
        write_atomic(args.json, json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
