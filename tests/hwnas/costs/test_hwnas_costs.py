"""A cost is one entry: minimised, budgeted, written, reported and compared; ours and one that is defined here."""

import json

import numpy as np
import pytest
from cells import search, trials_of
from own_plugins import install

import hwnas
from hwnas._cli import main
from hwnas._cli._parser import build_parser
from hwnas._costs._cost import COSTS, LATENCY, cost_named, cost_of_key, register_cost, written_budgets
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import HwnasError
from hwnas._report._plots import axis_label
from hwnas._runs._entries import require_networks
from hwnas._runs._settings import SearchSettings
from hwnas.spaces import make_space
from hwnas.testing import check_cost

PLUGIN = """
import hwnas


def depth():
    return hwnas.Cost(
        name="depth",
        key="ops",
        title="number of operators",
        heading="ops",
        example="40",
        of_graph=lambda graph, batch: sum(graph.op_counts.values()),
    )
"""

SMALL = ["--space-option", "cells=1"]
"""Networks of few cells, whose graphs are quickly counted."""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Installs a distribution that brings the cost ``depth``; nothing of it stays."""
    install(tmp_path / "site", "deep", {"costs": {"depth": "deep_costs:depth"}})
    (tmp_path / "site" / "deep_costs.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    before = dict(COSTS)
    yield
    COSTS.clear()
    COSTS.update(before)


def test_a_cost_of_a_plug_in_is_minimised_budgeted_written_reported_and_compared(plugin, csv, tmp_path, capsys):
    parser_help = next(a for a in build_parser()._actions if a.dest == "command").choices["search"].format_help()
    assert "--depth-budget" in parser_help
    assert "--minimize of plug-ins: depth" in parser_help
    more = [*SMALL, "--minimize", "latency,depth", "--depth-budget", "30"]
    one = search(csv, tmp_path / "one", *more, report=True, samples=12)
    two = search(csv, tmp_path / "two", *more, "--seed", "1", samples=12)
    space, found = make_space("nasbench201", cells=1), trials_of(one)
    for trial in found:
        graph = space.graph(space.parse(trial["arch"]))
        assert trial["values"]["ops"] == sum(graph.op_counts.values()) <= 30
    networks = json.loads((one / "pareto.json").read_text())
    assert all(n["ops"] <= n["budgets"]["ops"]["upper"] == 30 and n["budgets"]["ops"]["within"] for n in networks)
    assert "<th>ops</th>" in (one / "report.html").read_text()
    capsys.readouterr()
    assert main(["compare", str(one), str(two), "-o", str(tmp_path / "both.html")]) == 0
    text = capsys.readouterr().out
    assert "best accuracy, latency 8 ms, depth 30" in text
    assert "number of operators" in axis_label("ops")
    assert main(["runs", str(tmp_path)]) == 0
    assert "latency 8 ms, depth 30" in capsys.readouterr().out
    assert main(["plugins"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cost", "depth", "deep", "1.0"] in lines
    assert ["cost", "macs", "hwnas"] in lines


def test_ours_and_one_of_a_plug_in_keep_the_contract(plugin):
    for name in ("macs", "params", "memory", "rom", "depth"):
        check_cost(cost_named(name))


def test_a_run_of_a_cost_that_is_no_longer_installed_is_one_line(plugin, csv, tmp_path, monkeypatch, capsys):
    out = search(csv, tmp_path / "run", *SMALL, "--depth-budget", "30", samples=4)
    del COSTS["depth"]
    monkeypatch.setattr("sys.path", [place for place in __import__("sys").path if not place.endswith("/site")])
    capsys.readouterr()
    assert main(["export", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hwnas: error: the run's settings cannot be read: ")
    assert line.endswith("of its budgets is not known here; install the plug-in that adds it")


def test_an_unreachable_budget_names_the_option_of_the_cost(plugin, csv, tmp_path, capsys):
    from cells import arguments

    assert main(arguments(csv, tmp_path / "run", *SMALL, "--depth-budget", "2")) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("hwnas: error: no network of the space meets --depth-budget 2: the cheapest network, |")


def test_costs_of_ours():
    assert list(COSTS)[:5] == ["latency", "macs", "params", "memory", "rom"]
    assert [COSTS[name].key for name in ("latency", "macs", "params", "memory", "rom")] == [
        "latency_ms",
        "macs",
        "params",
        "peak_memory_bytes",
        "rom_bytes",
    ]
    assert [cost.axis for cost in list(COSTS.values())[:5]] == [
        "latency (ms)",
        "multiply-accumulates",
        "parameters",
        "peak activation memory (bytes)",
        "weights (bytes)",
    ]
    for name, cost in list(COSTS.items())[:5]:
        assert cost_named(name) is cost_of_key(cost.key) is cost
        for value in (0.1059, 4.0, 600.0) if cost is LATENCY else (512.0, 6e5, 1.5e9):
            assert cost.parse(cost.format(value)) == pytest.approx(value, rel=1e-3)
    assert cost_of_key("speed") is None
    assert written_budgets({"latency_ms": 4.0, "params": 6e5}) == "latency 4 ms, params 600k"


def test_a_registered_cost_follows_from_the_terms_of_a_large_space(plugin):
    depth = cost_named("depth")
    space = make_space("mobilenetv3", resolution=[16])
    archs = space.sample(6, np.random.default_rng(0))
    values = SpaceCosts(space, None).cost("ops")(np.array([space.encode(arch) for arch in archs]))
    assert values.tolist() == [depth.of_graph(space.graph(arch), 1) for arch in archs]


def test_entries_check_a_registered_cost(plugin):
    cost_named("depth")
    network = {"id": "t1", "arch": "x", "accuracy": None, "validation_accuracy": 0.5, "onnx": None, "ops": 3}
    network["latency_ms"] = {"predicted": 1.0, "measured": None}
    assert require_networks([network]) == [network]
    with pytest.raises(ValueError, match="ops"):
        require_networks([{**network, "ops": "many"}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Two Words"}, "cost 'Two Words': name and key must be words of lower-case letters and digits"),
        ({"of_graph": None}, "cost novel: it needs of_graph, which computes it from an op graph"),
        ({"key": "macs"}, "cost novel with key macs: a cost of this name or key exists already"),
        ({"name": "macs"}, "cost macs with key novel: a cost of this name or key exists already"),
    ],
)
def test_costs_that_cannot_be_registered(changes, message):
    entry = {"name": "novel", "key": "novel", "title": "t", "heading": "h", "example": "1"}
    with pytest.raises(HwnasError) as caught:
        register_cost(hwnas.Cost(**{**entry, "of_graph": lambda graph, batch: 1.0, **changes}))
    assert str(caught.value) == message
    assert "novel" not in COSTS


def test_budgets_of_unknown_costs_are_refused():
    with pytest.raises(HwnasError, match="unknown cost 'speed' in budgets"):
        SearchSettings(budgets={"speed": 1.0})
