"""An operator of somebody else's, and a space on sound that uses it: checked, and used through the command line."""

import json
from pathlib import Path

import pytest
from own_plugins import install
from simulated_device import AdditiveBackend

import hwnas
from hwnas._cli import main
from hwnas._common._plugins import KINDS
from hwnas.spaces import Choice, Space
from hwnas.testing import check_operator, check_space
from profilers import OPERATOR_GROUP
from profilers._operators import _registry


class Negate(hwnas.Primitive):
    kind = "negate"

    def infer(self, op):
        return op.inputs[0]

    def lower(self, op, emit, inputs, weights):
        return emit.node("Neg", inputs)

    def forward(self, op, inputs, parameters, norm):
        return -inputs[0]


class Sound(Space):
    name = "sound"
    choices = (Choice("width", (8, 16)), Choice("kernel", (1, 3, 5)))

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((2, 32)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((2, 32), arch.values[0], arch.values[1], stride=2, act="relu"), x)
        x = builder.add("negate", negate(builder.shape(x)), x)
        return builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 4), x))


class Stopwatch(AdditiveBackend):
    def __init__(self, *, batch, image_channels):
        super().__init__(image_channels)
        self.batch = batch

    def identity(self):
        return {"device": "stopwatch", "batch": self.batch}


def negate(shape):
    return hwnas.Op("negate", (shape,), shape)


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """Installs a distribution with the operator; in other tests it is not known."""
    operators = {"negate": f"{__name__}:Negate", "conv": f"{__name__}:Negate"}
    points = {"spaces": {"sound": f"{__name__}:Sound"}, "profilers": {"stopwatch": f"{__name__}:Stopwatch"}}
    install(tmp_path / "site", "sounds", {"operators": operators, **points})
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(_registry, "_OPERATORS", dict(_registry._OPERATORS))
    monkeypatch.chdir(tmp_path)


def test_the_group_has_one_name():
    assert KINDS["operator"] == OPERATOR_GROUP


def test_it_keeps_the_contract_in_every_rank():
    check_operator(*(negate(shape) for shape in [(12,), (8, 11), (8, 7, 9), (8, 4, 5, 6)]))
    check_space(Sound())


def test_a_space_with_it_is_profiled_and_predicted(capsys):
    options = ["--space", "sound", "--device", "stopwatch", "--networks", "2"]
    assert main(["profile", *options, "-o", "sound.json"]) == 0
    kinds = {entry["op"].split()[0] for entry in json.loads(Path("sound.json").read_text())["entries"]}
    assert kinds == {"conv", "linear", "negate", "session"}
    capsys.readouterr()
    assert main(["predict", "sound.json", "width=8,kernel=3"]) == 0
    assert "latency " in capsys.readouterr().out


def test_operators_are_listed(capsys):
    assert main(["plugins"]) == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["operator", "upsample", "hwnas"] in lines
    assert ["operator", "negate", "sounds 1.0"] in lines
    assert ["operator", "conv", "sounds 1.0 (not usable: hwnas has this name itself)"] in lines
