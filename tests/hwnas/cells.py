"""A made-up benchmark of cells, and searches on it: quick runs for tests of what is around a search."""

import json

import numpy as np
import pytest

from hwnas._cli import main
from hwnas.spaces import make_space


def write_cells(path, seed=0):
    """Accuracies and latencies of all cells, as a CSV file."""
    space = make_space("nasbench201")
    grid = np.array(np.meshgrid(*[np.arange(5)] * 6, indexing="ij")).reshape(6, -1).T
    grid = np.unique(space.canonical_codes(grid[space.valid_codes(grid)]), axis=0)
    rng = np.random.default_rng(seed)
    score = np.take_along_axis(np.repeat(np.array([[0, 1, 4, 9, 2]]) / 60, len(grid), 0), grid, 1).sum(1)
    with path.open("w") as file:
        file.write("arch,acc,ms\n")
        for row, s, noise in zip(grid, score, rng.random(len(grid)), strict=True):
            file.write(f"{space.format(space.decode(row))},{0.5 + s / 2 + noise / 50:.4f},{1 + 9 * s + noise:.4f}\n")
    return path


def arguments(csv, out, *more, samples=20, strategy="mutation", budget="8ms"):
    """Of `hwnas search` on such a file."""
    columns = ["--accuracy-column", "acc", "--latency-column", "ms"]
    found = ["search", "--space", "nasbench201", "--evaluator", f"table:{csv}", *columns, "--strategy", strategy]
    found += ["--latency-budget", budget] if budget else []
    return [*found, "--samples", str(samples), "--out", str(out), *map(str, more)]


def search(csv, out, *more, report=False, **options):
    """A search in this process, by default without the pictures, which take longest."""
    with pytest.MonkeyPatch.context() as patch:
        if not report:
            patch.setattr("hwnas._report.write_report", lambda *shown: None)
        assert main(arguments(csv, out, *more, **options)) == 0
    return out


def trials_of(out):
    """Its trials without the times that they took (and the hashes, which cover these)."""
    lines = (out / "trials.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "content_hash")} for line in lines]


def cut(out, trials):
    """Leave the first trials of a run, as if it had been killed after them."""
    lines = (out / "trials.jsonl").read_text().splitlines(keepends=True)
    (out / "trials.jsonl").write_text("".join(lines[:trials]))


def as_version_1(out, change=lambda record, trials: None):
    """Write a run as the version of hwnas did that knew no hashes, changed or not."""
    record = json.loads((out / "settings.json").read_text()) | {"version": 1}
    for name in ("content_hash", "pareto_hash", "unhashed"):
        record.pop(name, None)
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    for trial in trials:
        trial.pop("content_hash", None)
    change(record, trials)
    (out / "settings.json").write_text(json.dumps(record, indent=1) + "\n")
    (out / "trials.jsonl").write_text("".join(json.dumps(trial) + "\n" for trial in trials))
