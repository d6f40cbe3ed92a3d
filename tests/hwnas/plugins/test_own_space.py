"""Spaces of somebody else's, a class and a declaration in JSON: checked, and used through the command line."""

import json
from pathlib import Path

import pytest
from own_plugins import install
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas.spaces import make_space
from hwnas.testing import check_space


class Plain(hwnas.ChoiceGraphSpace):
    """Convolutions one after another; depth, width and kernels are chosen."""

    name = "plain"

    def __init__(self, classes=10, image_channels=3):
        self.classes, self.image_channels = classes, image_channels

    @property
    def settings(self):
        return {"classes": self.classes, "image_channels": self.image_channels}

    def state(self):
        graph = hwnas.ChoiceGraph()
        depth, width = graph.choice("depth", (1, 2, 3)), graph.choice("width", (4, 8))
        x = graph.read(self.image_channels, 8, 8)
        for block in range(3):
            kernel = graph.choice(f"kernel{block}", (1, 3))
            present = (depth, lambda d, block=block: d > block)
            x = graph.add(f"conv{block}", hwnas.ops.conv, x, when=present, channels=width, kernel=kernel, act="relu")
        x = graph.add("pool", hwnas.ops.global_pool, x)
        return graph.finish(graph.add("classes", hwnas.ops.linear, x, features=self.classes))


CHAIN = {
    "format": "hwnas-space",
    "version": 1,
    "name": "chain",
    "settings": {"classes": 10, "image_channels": 3},
    "choices": [{"name": "width", "values": [4, 8]}, {"name": "kernel", "values": [1, 3, 5]}],
    "input": [{"setting": "image_channels"}, 8, 8],
    "nodes": [
        {
            "name": "conv",
            "op": "conv",
            "inputs": ["input"],
            "attributes": {"channels": {"choice": "width"}, "kernel": {"choice": "kernel"}, "act": "relu"},
        },
        {"name": "pool", "op": "global_pool", "inputs": ["conv"]},
        {"name": "classes", "op": "linear", "inputs": ["pool"], "attributes": {"features": {"setting": "classes"}}},
    ],
    "output": "classes",
}


class Stopwatch(AdditiveBackend):
    def __init__(self, *, image_channels):
        super().__init__(image_channels)

    def identity(self):
        return {"device": "stopwatch"}


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    points = {"spaces": {"plain": f"{__name__}:Plain"}, "profilers": {"stopwatch": f"{__name__}:Stopwatch"}}
    install(tmp_path / "site", "plain-spaces", points)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    Path("chain.json").write_text(json.dumps(CHAIN))


def test_both_keep_the_contract():
    check_space(Plain(classes=3))
    check_space(make_space("chain.json", classes=3))


@pytest.mark.parametrize("space", ["plain", "chain.json"])
def test_they_are_profiled_searched_and_exported(space, capsys, monkeypatch):
    monkeypatch.setattr("hwnas._report._write._pictures", lambda shown: {})
    parts = ["--space", space, "--device", "stopwatch", "--table", "table.json"]
    shape = ["--space-option", "image_channels=1"]
    assert main(["profile", *parts[:4], *shape, "--networks", "2", "-o", "table.json"]) == 0
    data = ["--data", "digits", "--data-limit", "40", "--evaluator", "train", "--epochs", "1"]
    assert main(["search", *parts, *data, "--samples", "5", "--out", "run", "--quiet"]) == 0
    trials = [json.loads(line) for line in Path("run/trials.jsonl").read_text().splitlines()]
    made = make_space(space, image_channels=1)
    assert len({made.canonical(made.parse(trial["arch"])) for trial in trials}) == 5
    assert main(["export", "run", "--pick", "best", "-o", "best.onnx"]) == 0
    assert Path("best.onnx").stat().st_size > 0
    capsys.readouterr()
    assert main(["predict", "table.json", trials[0]["arch"]]) == 0
    assert "latency " in capsys.readouterr().out
