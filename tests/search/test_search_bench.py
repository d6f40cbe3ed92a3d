"""The benchmark script on a small made-up table."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.spaces import make_space

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench_search.py"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """150 cells with isomorphic ones among them, and one disconnected cell."""
    space = make_space("nasbench201")
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 5, size=(150, 6)), axis=0)
    codes = np.concatenate([codes, np.zeros((1, 6), dtype=codes.dtype)])
    path = tmp_path_factory.mktemp("bench") / "cells.csv"
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    order = space.choices[0].values
    assert sorted(names) == sorted(map(str, order))
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["arch", "accuracy", "latency_ms"])
        for row in codes:
            a, b, c, d, e, f = (order[k] for k in row)
            arch = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
            writer.writerow([arch, 50 + 5 * (row == 3).sum() + rng.random(), 1 + row.sum() + rng.random()])
    return path


def bench(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


def test_the_report_and_the_json(table, tmp_path):
    out = tmp_path / "out.json"
    arguments = ["--table", table, "--maximize", "accuracy", "--minimize", "latency_ms", "--samples", 30]
    done = bench(*arguments, "--seeds", 2, "--strategies", "mutation,random", "--json", out)
    assert done.returncode == 0, done.stderr
    assert "of disconnected cells" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(("mutation", "random"))]
    assert [line[0] for line in lines] == ["mutation", "random"]
    data = json.loads(out.read_text())
    assert sorted(data) == ["settings", "trials"]
    assert {name: sorted(seeds) for name, seeds in data["trials"].items()} == {
        "mutation": ["0", "1"],
        "random": ["0", "1"],
    }
    space = make_space("nasbench201")
    for seeds in data["trials"].values():
        for archs in seeds.values():
            codes = space.canonical_codes(np.array([space.encode(space.parse(arch)) for arch in archs]))
            assert len(archs) == 30 == len(np.unique(codes, axis=0))
            assert space.valid_codes(codes).all()
    for seed in ("0", "1"):
        first, second = (data["trials"][name][seed] for name in ("mutation", "random"))
        assert first[:10] == second[:10]
        assert first != second


def test_cheap_evaluations_are_paid_for(table, tmp_path):
    out = tmp_path / "out.json"
    done = bench(
        "--table", table, "--maximize", "accuracy", "--minimize", "latency_ms", "--samples", 30, "--seeds", 1,
        "--strategies", "lamoo,lamoo-cheap", "--cheap", "accuracy", "--cheap-cost", 0.1, "--json", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = json.loads(out.read_text())["settings"]
    assert settings["cheap"] == ["accuracy", 0.1]
    costs = settings["cost_of_each_evaluation"]
    assert costs["lamoo/0"] == [float(k) for k in range(1, 31)]
    assert 32 < costs["lamoo-cheap/0"][-1] <= 36.0


def test_processes_do_not_change_the_trials(table, tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for jobs, file in enumerate(files, start=1):
        done = bench(
            "--table", table, "--maximize", "accuracy", "--minimize", "latency_ms", "--samples", 25,
            "--seeds", 2, "--strategies", "lamoo", "--jobs", jobs, "--json", file,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, two = (json.loads(file.read_text())["trials"] for file in files)
    assert one == two


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--strategies", "bogus"], "unknown strategy 'bogus'"),
        (["--maximize", "speed"], "no column 'speed'"),
        (["--table", "absent.csv"], "absent.csv: no such file"),
    ],
)
def test_bad_input_is_one_line(table, change, message):
    arguments = {"--table": str(table), "--maximize": "accuracy", "--minimize": "latency_ms"}
    arguments |= {change[0]: change[1]}
    done = bench(*(word for pair in arguments.items() for word in pair))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_every_row_is_a_candidate_of_its_own(table, tmp_path):
    out = tmp_path / "out.json"
    done = bench(
        "--table", table, "--maximize", "accuracy", "--minimize", "macs", "--samples", 200, "--seeds", 1,
        "--strategies", "random", "--every-row", "--reference=-1,-4", "--json", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "none filtered" in done.stdout
    data = json.loads(out.read_text())
    with table.open() as stream:
        everything = [row["arch"] for row in csv.DictReader(stream)]
    assert sorted(data["trials"]["random"]["0"]) == sorted(everything)
    assert data["settings"]["every_row"] is True


def test_the_published_maximum(benchmark_file):
    done = bench(
        "--table", benchmark_file, "--maximize", "cifar10_test_acc", "--minimize", "macs", "--samples", 10,
        "--seeds", 1, "--strategies", "random", "--every-row", "--reference=-1,-4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "front of 14 points" in done.stdout
    assert "maximum 8.0526" in done.stdout
