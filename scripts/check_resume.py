"""Kill searches with SIGKILL at random moments, resume them, and compare the results with uninterrupted searches.

    python scripts/check_resume.py --kills 50

Every search looks up its accuracies in a synthetic table of cells. It is killed and started again until one start
finishes; then the next search begins, until there were enough kills. Two in three kills follow one of the next trials
after a random time; the others follow after a random part of the time of an uninterrupted search, so that they also hit
the start and the delivery. A search passes where no finished trial was lost, changed or run twice, and where its trials
and its front equal those of the uninterrupted search. The exit code is 1 where a search does not pass.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hwnas.__main__ import main as hwnas
from hwnas.spaces import make_space
from latency_tables import write_atomic

SLOW_S = 0.02
"""Seconds of a look-up, so that kills come while networks are evaluated."""


def write_cells(path: Path) -> None:
    """Write synthetic accuracies and latencies of all cells."""
    space, rng = make_space("nasbench201"), np.random.default_rng(0)
    grid = np.array(np.meshgrid(*[np.arange(5)] * 6, indexing="ij")).reshape(6, -1).T
    grid = np.unique(space.canonical_codes(grid[space.valid_codes(grid)]), axis=0)
    score = np.take_along_axis(np.repeat(np.array([[0, 1, 4, 9, 2]]) / 60, len(grid), 0), grid, 1).sum(1)
    lines = ["arch,acc,ms"]
    for row, s, noise in zip(grid, score, rng.random(len(grid)), strict=True):
        lines.append(f"{space.format(space.decode(row))},{0.5 + s / 2 + noise / 50:.4f},{1 + 9 * s + noise:.4f}")
    write_atomic(path, "\n".join(lines) + "\n")


def search(table: Path, out: Path, options: argparse.Namespace) -> None:
    """Run one search in this process without output, with slow look-ups."""
    from hwnas.evaluators import TableEvaluator

    look_up = TableEvaluator.evaluate

    def slow(self: TableEvaluator, arch: object) -> object:
        time.sleep(SLOW_S)
        return look_up(self, arch)  # type: ignore[arg-type]

    TableEvaluator.evaluate = slow  # type: ignore[assignment,method-assign]
    columns = ["--accuracy-column", "acc", "--latency-column", "ms", "--latency-budget", "8ms", "--quiet"]
    command = ["search", "--space", "nasbench201", "--evaluator", f"table:{table}", *columns]
    command += ["--strategy", options.strategy, "--samples", str(options.samples), "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = hwnas(command)
    os._exit(code)


def start(table: Path, out: Path, options: argparse.Namespace) -> multiprocessing.Process:
    """Start the search in its own process, which has everything imported."""
    process = multiprocessing.get_context("fork").Process(target=search, args=(table, out, options))
    process.start()
    return process  # type: ignore[return-value]


def journal(out: Path) -> bytes:
    """Read the complete lines of the journal."""
    path = out / "trials.jsonl"
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def trials(out: Path) -> list[dict[str, object]]:
    """Read the trials without their times (and the hashes, which cover the times)."""
    lines = map(json.loads, journal(out).splitlines())
    return [{k: v for k, v in line.items() if k not in ("seconds", "content_hash")} for line in lines]


def wait(
    process: multiprocessing.Process, out: Path, done: int, samples: int, whole_s: float, rng: np.random.Generator
) -> None:
    """Wait until the moment of the next kill, or the end of the process."""
    if done >= samples or rng.random() < 1 / 3:
        process.join(rng.uniform(0.0, whole_s))
        return
    target = min(samples, done + int(rng.integers(1, 7)))
    while process.exitcode is None and journal(out).count(b"\n") < target:
        process.join(0.002)
    process.join(rng.uniform(0.0, 2 * SLOW_S))


def killed_search(
    table: Path, out: Path, options: argparse.Namespace, whole_s: float, rng: np.random.Generator, kills: int
) -> tuple[list[int], int]:
    """Start, kill, and start again until the search finishes, with at most `kills` kills.

    Returns:
        Number of trials in the journal at each kill, and number of those that the next start lost or changed.
    """
    moments, lost, before = [], 0, b""
    while True:
        process = start(table, out, options)
        if len(moments) < kills:
            wait(process, out, before.count(b"\n"), options.samples, whole_s, rng)
        else:
            process.join()
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        process.join()
        after = journal(out)
        if not after.startswith(before):
            lost += sum(a != b for a, b in zip(before.splitlines(), [*after.splitlines(), *[b""] * 9999], strict=False))
        before = after
        if process.exitcode != -signal.SIGKILL:
            if process.exitcode:
                raise SystemExit(f"a search ended with exit code {process.exitcode}; see {out}")
            return moments, lost
        moments.append(after.count(b"\n"))


def main() -> int:
    """Kill, resume, compare, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--strategy", default="lamoo")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills (default 0)")
    options = parser.parse_args()
    rng, began = np.random.default_rng(options.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table = place / "cells.csv"
        write_cells(table)
        import hwnas.evaluators
        import hwnas.run_directories  # noqa: F401

        first = time.monotonic()
        killed_search(table, place / "unbroken", options, 0.0, rng, kills=0)
        whole_s = time.monotonic() - first
        moments: list[int] = []
        searches = lost = twice = different = 0
        while len(moments) < options.kills:
            out = place / f"run{searches}"
            at_kills, gone = killed_search(table, out, options, whole_s, rng, options.kills - len(moments))
            moments += at_kills
            lost += gone
            searches += 1
            here, there = trials(out), trials(place / "unbroken")
            twice += len(here) - len({trial["number"] for trial in here})
            same = here == there and (out / "pareto.json").read_bytes() == (place / "unbroken/pareto.json").read_bytes()
            different += not same
    inside = sum(0 < at < options.samples for at in moments)
    print(
        f"{len(moments)} kills in {searches} searches of {options.samples} samples ({options.strategy}): "
        f"{sum(at == 0 for at in moments)} before the first trial, {inside} between trials, "
        f"{sum(at >= options.samples for at in moments)} after the last"
    )
    print(
        f"finished trials lost or changed: {lost}; run twice: {twice}; searches with other trials or front: {different}"
    )
    print(f"{time.monotonic() - began:.0f} seconds")
    return 1 if lost or twice or different else 0


if __name__ == "__main__":
    sys.exit(main())
