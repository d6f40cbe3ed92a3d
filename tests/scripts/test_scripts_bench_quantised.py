"""Quantised networks of the comparison: which files are taken, and what the page says of them."""

import json
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_trained_networks_are_taken_and_searches_are_not(tmp_path):
    from bench_quantised import networks_of

    for folder, kind, seed in (("b", "ours", 1), ("a", "pruned", 0), ("a", "search", 0)):
        (tmp_path / folder).mkdir(exist_ok=True)
        job = {"kind": kind, "base": "resnet20", "share": 0.5, "seed": seed}
        (tmp_path / folder / f"resnet20-{kind}-50-seed{seed}.json").write_text(json.dumps({"job": job}))
    (tmp_path / "a" / "settings.json").write_text(json.dumps({"scale": {}}))
    found = networks_of([tmp_path / "b", tmp_path / "a"])
    assert [(each["method"], each["seed"]) for each in found] == [("pruned", 0), ("ours", 1)]
    assert found[0]["file"] == str(tmp_path / "a" / "resnet20-pruned-50-seed0" / "network.onnx")


def test_the_table_holds_means_over_seeds_with_the_base_first():
    from write_int8 import speed_table

    def network(method, share, fp32_ms, int8_ms, test):
        figures = {"fp32": {"ms": fp32_ms, "test": test}, "int8": {"ms": int8_ms, "test": test - 0.01}}
        return {"base": "resnet20", "method": method, "share": share, "macs": 3e6, **figures}

    seeds = [network("ours", 0.5, 1.0, 0.4, 0.8), network("ours", 0.5, 1.0, 0.6, 0.9)]
    lines = speed_table([network("narrow", 0.5, 1.0, 2.0, 0.7), *seeds, network("base", None, 2.0, 1.0, 0.9)])
    assert lines[2] == "| resnet20 |  | 1 | 3.0 M | 2.000 ms | 1.000 ms | 0.50 | 90.00% | 89.00% |"
    figures = "50% | 2 | 3.0 M | 1.000 ms | 0.500 ms | 0.50 | 85.00% | 84.00%"
    assert lines[3] == f"| resnet20: hwnas, derived space | {figures} |"
    assert "| 2.00 |" in lines[4]


def test_within_a_latency_the_validation_part_chooses():
    from write_int8 import best_within

    networks = [
        {"median_ms": 1.0, "validation": 0.8, "test": 0.7},
        {"median_ms": 2.0, "validation": 0.7, "test": 0.9},
        {"median_ms": 3.0, "validation": 0.9, "test": 0.9},
    ]
    assert best_within(networks, 2.5) == 0.7
    assert best_within(networks, 0.5) is None
