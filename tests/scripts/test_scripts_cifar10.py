"""The CIFAR-10 experiment: baselines as published, statistics, and a tiny run from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from latency_tables import load_table, save_table
from profilers import graph_macs, graph_params

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts():
    """The script and its baselines as modules."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        import _cifar_baselines
        import cifar10

        yield cifar10, _cifar_baselines
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.mark.parametrize(
    ("family", "params", "macs"),
    [
        ("ResNet-8", 0.078e6, 12.5e6),
        ("ResNet-20", 0.27e6, 41e6),  # arXiv 1512.03385, table 6: 0.27 M parameters
        ("MobileNetV2", 2.24e6, 88e6),  # 3.50 M with 1000 classes: 1.27 M fewer with 10
        ("MobileNetV3-Small", 1.53e6, 17.6e6),  # 2.54 M with 1000 classes: 1.01 M fewer with 10
    ],
)
def test_baselines_are_the_published_networks(scripts, family, params, macs):
    graph = scripts[1].BASELINES[family](1.0)
    assert graph.input_shape == (3, 32, 32)
    assert graph.output_shape == (10,)
    assert graph_params(graph) == pytest.approx(params, rel=0.02)
    assert graph_macs(graph) == pytest.approx(macs, rel=0.02)


def test_the_resnets_of_mlperf_tiny(scripts):
    small, large = scripts[1].FULL_BASELINES["ResNet-8"](1.0), scripts[1].FULL_BASELINES["ResNet-IC02"](1.0)
    # by hand: 3x3 convolutions of 32, 16 and 8 pixels, 1x1 shortcuts with stride 2, and the classifier
    assert (
        graph_macs(small)
        == 1024 * 9 * (3 * 16 + 2 * 16 * 16)
        + sum(pixels * (9 * (c // 2 * c + c * c) + c // 2 * c) for pixels, c in ((256, 32), (64, 64)))
        + 640
    )
    assert (
        graph_macs(large)
        == 1024 * 9 * (3 * 26 + 2 * 26 * 26)
        + sum(pixels * (9 * (c // 2 * c + c * c) + c // 2 * c) for pixels, c in ((256, 52), (64, 104)))
        + 1040
    )
    assert 12.4e6 < graph_macs(small) < 12.6e6
    assert graph_params(large) == pytest.approx(200e3, rel=0.03)


@pytest.mark.parametrize("width", [0.2, 0.5, 1.3, 4.0])
def test_baselines_grow_with_their_width(scripts, width):
    for build in (scripts[1].BASELINES | scripts[1].FULL_BASELINES).values():
        assert graph_macs(build(width)) < graph_macs(build(2 * width))


def test_intervals_of_tau(scripts):
    rng = np.random.default_rng(0)
    truth = rng.random(24)
    perfect = scripts[0].taus(truth.tolist(), truth.tolist())
    assert perfect["tau"] == perfect["high"] == pytest.approx(1.0)
    noise = scripts[0].taus(truth.tolist(), rng.random(24).tolist())
    assert noise["low"] < noise["tau"] < noise["high"]
    assert noise["low"] < 0.3


def test_the_volume_of_a_front(scripts):
    volume = scripts[0].front_volume
    assert volume([{"test": 1.0, "latency_ms": 1.0}], (1.0, 4.0)) == pytest.approx(1.0)
    half = [{"test": 0.55, "latency_ms": 2.0}]
    assert volume(half, (1.0, 4.0)) == pytest.approx(0.25)
    assert volume([*half, {"test": 0.5, "latency_ms": 3.0}], (1.0, 4.0)) == pytest.approx(0.25)


def test_the_pick_of_a_front_keeps_the_limit(scripts):
    front = [{"arch": f"a{k}", "latency_ms": 2.0**k, "validation": 0.1 * k} for k in range(5)]
    rows = scripts[0].chosen_networks([front, front[:4]])
    assert [row[0] for row in rows] == ["a0", "a1", "a2"]
    assert all(len(row) == 2 for row in rows)


def test_the_network_that_stands_for_a_row_is_the_best_on_validation_images(scripts):
    from _cifar_tasks import NETWORK, Task

    known = {"a": 0.4, "b": 0.6, "c": 0.5}
    results = {Task(NETWORK, f"space:{arch}", 3): {"validation": v, "test": 1 - v} for arch, v in known.items()}
    assert scripts[0].trained_choice([["a", "b"], ["a", "c", "c"], ["a", "a"]], results, 3) == ["b", "c", "a"]


def test_an_unknown_setting_is_one_line(tmp_path):
    command = [sys.executable, str(SCRIPTS / "cifar10.py"), "--data", "absent", "--change", "speed=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("cifar10: --change: unknown setting 'speed'")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_worker_keeps_what_it_did(scripts, tmp_path, monkeypatch):
    from _cifar_tasks import NETWORK, SUPERNET, Scale, Task, Worker

    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, size=(60, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=np.arange(60) % 10)
    table = SCRIPTS.parent / "latency_tables" / "data" / "mobilenetv3-tiny-32px-1-thread-intel-xeon.json"
    save_table(load_table(table), tmp_path / "table.json")
    scale = Scale(None, 1, 1, 16, 0.05, 2, 12, 1, "cpu", (0.5,), (32,))
    costs_of = Worker(scale, str(tmp_path / "data.npz"), tmp_path, [])
    ranked = scripts[0].spread_networks(costs_of.space, costs_of.costs, 2)
    worker = Worker(scale, str(tmp_path / "data.npz"), tmp_path, ranked)
    found = {}
    for task in [Task(SUPERNET, "bestup", 0), Task(SUPERNET, "uniform", 0)]:
        found[task] = worker.do(task)
        assert sorted(found[task]["ranked"]) == sorted(ranked)
        assert {"smallest", "largest"} == set(found[task]["ends"])
    for text in ranked:
        task = Task(NETWORK, f"space:{text}", 0)
        found[task] = worker.do(task)
    monkeypatch.setattr(Worker, "_network", None)  # what is kept is not trained again
    assert worker.do(task) == found[task]
    results = scripts[0].supernet_results(found, ranked, 1, (0.05, 2.0))
    assert len(results["bestup"]["hypervolume"]) == 1
    assert 0 <= results["uniform"]["hypervolume"][0] <= 1
