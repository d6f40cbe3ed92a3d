"""An evaluator of somebody else's with a metric of its own: checked, and used through the command line."""

import json
from pathlib import Path

import pytest
from made_tables import made_table
from own_plugins import install

import hwnas
from hwnas._cli import main
from hwnas.evaluators import make_evaluator
from hwnas.spaces import make_space
from hwnas.testing import check_evaluator, check_metric
from latency_tables import save_table
from profilers import graph_params

DELAY = hwnas.Metric("delay", "min", unit="us", low=0.0)


class Delay(hwnas.Evaluator):
    """Says that networks with many parameters answer soon."""

    name, metric = "delay", DELAY

    def __init__(self, space, data, *, seed=0, scale=1.0):
        self.space, self.seed, self.scale = space, seed, scale

    @property
    def settings(self):
        return {"scale": self.scale}

    def evaluate(self, arch):
        params = graph_params(self.space.graph(arch))
        if params % 7 == 0:
            raise hwnas.NoValueError("evaluator delay: nobody knows")
        return hwnas.Evaluation(self.scale * 1e6 / params, extra_columns={"params_seen": params})


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    install(tmp_path / "site", "delays", {"evaluators": {"delay": f"{__name__}:Delay"}})
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)


class Rounded(Delay):
    """Has an option of its own that is called precision."""

    name = "rounded"

    def __init__(self, space, data, *, precision=3):
        super().__init__(space, data)
        self.precision = precision


def test_an_option_called_precision_keeps_its_default(tmp_path):
    install(tmp_path / "site", "rounded", {"evaluators": {"rounded": f"{__name__}:Rounded"}})
    assert make_evaluator("rounded", small()).precision == 3
    assert make_evaluator("rounded", small(), precision="int8").precision == "int8"


def small():
    return make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)


def test_it_keeps_the_contract():
    space = small()
    check_evaluator(lambda: Delay(space, None, scale=2.0), space)
    check_metric(DELAY)


def test_it_is_searched_with_and_listed(capsys, monkeypatch):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    save_table(made_table(make_space("mobilenetv3", resolution=[8], width=[0.5]), None), "table.json")
    options = ["--resolution", "8", "--width", "0.5", "--evaluator-option", "scale=3.0", "--minimize", "params"]
    parts = [
        "search",
        "--space",
        "mobilenetv3",
        *options,
        "--evaluator",
        "delay",
        "--data",
        "none",
        "--table",
        "table.json",
        "--offline",
    ]
    assert main([*parts, "--strategy", "random", "--samples", "12", "--out", "run", "--quiet"]) == 0
    trials = [json.loads(line) for line in Path("run/trials.jsonl").read_text().splitlines()]
    scored = [trial["values"] for trial in trials if trial.get("failed") is None]
    assert 6 <= len(scored) <= 12
    assert all(values["delay"] == pytest.approx(3e6 / values["params"]) for values in scored)
    networks = json.loads(Path("run/pareto.json").read_text())
    assert all(network["metric"] == DELAY.as_dict() for network in networks)
    best = min(values["delay"] for values in scored)
    assert min(network["validation_delay"] for network in networks) == best
    capsys.readouterr()
    assert main(["plugins"]) == 0
    assert ["evaluator", "delay", "delays", "1.0"] in [line.split() for line in capsys.readouterr().out.splitlines()]
