"""The large-space benchmark: its front is what it says, and budgets are never broken."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from latency_tables import load_table

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench_search_large.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_search_large", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def large(bench):
    return bench.Large(load_table(bench.TABLE))


def test_sums_keep_exactly_what_no_other_sum_dominates(bench):
    rng = np.random.default_rng(0)
    left, right = rng.random((7, 2)), rng.random((9, 2))
    sums = (left[:, None, :] + right[None, :, :]).reshape(-1, 2)
    best = [row for row in sums if not ((sums <= row * [1, np.inf]) & (sums >= row * [-np.inf, 1])).all(1).sum() > 1]
    assert sorted(map(tuple, bench._sums(left, right))) == sorted(map(tuple, best))


def test_no_network_lies_beyond_the_front(large, bench):
    codes = large.space.sample(3000, np.random.default_rng(0))
    codes = large.space.canonical_codes(np.array([large.space.encode(arch) for arch in codes]))
    front, latency, accuracy = large.front(), large.latency(codes), large.accuracy(codes)
    reach = front[np.searchsorted(front[:, 0], latency, side="right") - 1, 1]
    assert (accuracy <= reach + 1e-3).all()


@pytest.mark.parametrize("price", [0.1, 0.3, 1.0])
def test_networks_reach_the_front_where_worth_is_weighed_against_latency(large, bench, price):
    """The best weighted sum over parts is the sum of the parts' best, and that network can be built."""

    def score(latency, accuracy):
        return -np.log((bench.TOP - accuracy) / (bench.TOP - bench.FLOOR)) - price * latency

    rows = []
    for width, resolution in np.ndindex(*large.space.cardinalities[:2]):
        row = np.zeros(len(large.space.choices), dtype=np.int64)
        row[:2] = width, resolution
        best_of_stage = {}
        for depth in range(3):
            totals = {}
            for term, ms, worth in large.parts:
                if len(term.choices) > 2:
                    gain = worth[width, resolution, depth] - price * ms[width, resolution, depth]
                    pick = np.unravel_index(gain.argmax(), gain.shape)
                    total, picks = totals.get(term.choices[2], (0.0, {}))
                    totals[term.choices[2]] = (total + gain[pick], {**picks, term.choices[3]: pick})
            for stage, (total, picks) in totals.items():
                if total > best_of_stage.get(stage, (-np.inf,))[0]:
                    best_of_stage[stage] = (total, depth, picks)
        for stage, (_, depth, picks) in best_of_stage.items():
            row[stage] = depth
            for choice, pick in picks.items():
                row[choice], row[choice + 1] = pick
        rows.append(row)
    codes = large.space.canonical_codes(np.array(rows))
    reached = score(large.latency(codes), large.accuracy(codes)).max()
    assert score(*large.front().T).max() == pytest.approx(reached, abs=2e-3)


def test_the_script_runs_and_writes_what_it_found(tmp_path):
    out = tmp_path / "large.json"
    options = ["--strategies", "mutation,random", "--samples", "50", "--seeds", "1", "--jobs", "1", "--json", str(out)]
    subprocess.run([sys.executable, str(SCRIPT), *options], check=True, capture_output=True)
    record = json.loads(out.read_text())
    assert list(record["results"]) == ["10", "50", "90"]
    for rows in record["results"].values():
        assert 0 < rows["mutation"]["missing"]["50"] < 1
