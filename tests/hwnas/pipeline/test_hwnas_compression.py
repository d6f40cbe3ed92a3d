"""Compression of a trained network: channels and a bit width for each block, within budgets of ROM and RAM."""

import json

import derived_models
import numpy as np
import onnx
import pytest
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas._costs._cost import COSTS, cost_of_key
from hwnas._costs._space_costs import SpaceCosts
from hwnas._pipeline._model import read_model
from hwnas._pipeline._problem import make_problem
from hwnas._runs._run import Run
from hwnas.spaces import derive, with_precision
from profilers import build_onnx, random_weights
from search import Study, make_strategy

GRAPH_COSTS = [cost for cost in COSTS.values() if cost.of_graph is not None]
BUDGETS = {"rom_bytes": 64 * 1024, "peak_memory_bytes": 48 * 1024}


@pytest.fixture(scope="module")
def space():
    """Widths, depths, kernels, resolution and precisions of an inverted-residual network."""
    graph = derived_models.mobile(derived_models.MOBILE[:2])
    return with_precision(derive(graph, random_weights(graph, 0)).space, "mixed")


def test_costs_of_compressed_networks_are_those_of_their_graphs(space):
    costs = SpaceCosts(space, None, precision="mixed")
    archs = space.sample(6, np.random.default_rng(0))
    codes = np.array([space.encode(arch) for arch in archs])
    for cost in GRAPH_COSTS:
        assert costs.cost(cost.key)(codes).tolist() == [cost.value(space.graph(a), 1, "mixed") for a in archs]


@pytest.fixture(scope="module")
def problem(space):
    """The metric, ROM, RAM and MACs of compressed networks, within budgets of ROM and RAM."""
    costs = SpaceCosts(space, None, precision="mixed")
    known = {cost.key: costs.cost(cost.key) for cost in GRAPH_COSTS}
    return make_problem(space, known, ["rom", "ram", "macs"], BUDGETS)


@pytest.mark.parametrize("strategy", ["mobopt", "lamoo", "smem", "controller"])
def test_strategies_keep_budgets_of_rom_and_ram(space, problem, strategy):
    study = Study(problem, make_strategy(strategy), seed=0)
    while len(study.trials) < 8:
        for proposal in study.ask():
            study.tell(proposal.number, {"accuracy": float(np.mean(proposal.codes)) / 5})
    for trial in study.trials:
        graph = space.graph(space.decode(trial.codes))
        for key, upper in BUDGETS.items():
            assert cost_of_key(key).value(graph) <= upper


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small residual network in a file, and a latency table of its compressed versions."""
    folder = tmp_path_factory.mktemp("model")
    graph = derived_models.Net((1, 8, 8))
    x = graph.conv("stem", hwnas.INPUT, 16, 3, "relu")
    y = graph.conv("wide", x, 32, 3, "relu")
    x = graph.plus("sum", graph.conv("narrow", y, 16, 3), x)
    network = graph.classify(graph.conv("head", x, 24, 1, "relu"))
    (folder / "net.onnx").write_bytes(build_onnx(network, random_weights(network, 0)).SerializeToString())
    space = with_precision(read_model(folder / "net.onnx", {}).space, "mixed")
    hwnas.profile(space, AdditiveBackend(1), out=folder / "prices.json", networks=2)
    return folder


def test_one_command_compresses_a_model_for_a_microcontroller(model, monkeypatch, capsys):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    monkeypatch.chdir(model)
    words = "search --model net.onnx --precision mixed --strategy mobopt --minimize rom,ram,macs --rom-budget 16k"
    words += " --ram-budget 5k --data digits --data-limit 100 --epochs 1 --samples 6 --table prices.json --offline"
    assert main([*words.split(), "--out", "run"]) == 0, capsys.readouterr().err
    run = Run.open(model / "run")
    assert run.settings.budgets == {"rom_bytes": 16_384, "peak_memory_bytes": 5_120}
    rows = [json.loads(line) for line in (run.path / "trials.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert any("i" in row["arch"].rpartition("@")[2] for row in rows)
    for row in rows:
        assert row["values"]["rom_bytes"] <= 16_384
        assert row["values"]["peak_memory_bytes"] <= 5_120
    for network in run.pareto():
        values = [onnx.numpy_helper.to_array(t) for t in onnx.load(run.path / network["onnx"]).graph.initializer]
        assert sum(value.nbytes for value in values if value.shape) == network["rom_bytes"]
        assert network["within_budget"]
    original = run.original()
    assert original["rom_bytes"] > 16_384
    assert not original["within_budget"]
    assert "<th>ROM</th>" in (run.path / "report.html").read_text()
