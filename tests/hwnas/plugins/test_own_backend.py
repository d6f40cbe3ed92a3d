"""A device of a user's own: one class in this file, with the required methods alone, works through the command line."""

import json
from pathlib import Path

import pytest
from own_plugins import install

import hwnas
from hwnas._cli import main
from hwnas.spaces import Choice, Space
from hwnas.testing import check_backend
from profilers import Backend, EnergyUnavailableError, graph_macs


class Small(Space):
    """Few ops in 96 networks, so that a profile is quick."""

    name = "small"
    settings = {}  # noqa: RUF012
    choices = (Choice("width", (4, 8)), Choice("kernel", (1, 3, 5)), Choice("depth", tuple(range(16))))

    def graph(self, arch):
        width, kernel, depth = arch.values
        builder = hwnas.GraphBuilder((3, 8, 8))
        x = builder.add("conv", hwnas.ops.conv((3, 8, 8), width, kernel, act="relu"), hwnas.INPUT)
        for i in range(depth):
            x = builder.add(f"conv{i}", hwnas.ops.conv(builder.shape(x), width, kernel, act="relu"), x)
        return builder.build(builder.add("classes", hwnas.ops.linear(builder.shape(x), 10), x))


class PaperRunnable:
    """Takes the seconds that somebody worked out on paper."""

    def __init__(self, seconds):
        self.seconds = seconds

    def run(self, repeats):
        return repeats * self.seconds


class PaperBackend(Backend):
    """A device that takes a microsecond for each op and a nanosecond for each ten multiply-accumulates."""

    def __init__(self, *, batch, image_channels):
        self.batch, self.image_channels = batch, image_channels

    def identity(self):
        return {"device": "paper", "batch": self.batch, "protocol": "paper-v1"}

    def load(self, graph, *, seed=0, tied=(), cold=False):
        ops = sum(graph.op_counts.values())
        return PaperRunnable(1e-5 + 1e-6 * ops + 1e-10 * self.batch * graph_macs(graph))


class NoBackend:
    """Lacks what `Backend` has beside the required methods."""

    def identity(self):
        return {"device": "half"}

    def load(self, graph, *, seed=0, tied=(), cold=False):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """Installs a distribution that brings both classes as devices."""
    devices = {"paper": f"{__name__}:PaperBackend", "half": f"{__name__}:NoBackend"}
    points = {"spaces": {"small": f"{__name__}:Small"}, "profilers": devices}
    install(tmp_path / "site", "paper-device", points)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)


PROFILE = ["profile", "--space", "small", "--networks", "2"]
ARCH = "width=8,kernel=3,depth=2"


def test_it_keeps_the_contract():
    for batch in (1, 3):
        check_backend(PaperBackend(batch=batch, image_channels=1))
    with pytest.raises(AssertionError, match=r"NoBackend: a back end must be a subclass of profilers\.Backend"):
        check_backend(NoBackend())


def test_a_device_of_ones_own_is_profiled_validated_verified_and_predicted(capsys):
    assert main([*PROFILE, "--device", "paper", "--batch", "2", "-o", "table.json"]) == 0
    identity = json.loads(Path("table.json").read_text())["identity"]
    assert identity == {"device": "paper", "batch": 2, "protocol": "paper-v1"}
    table = hwnas.LatencyTable.load("table.json")
    assert table.environment["energy_unavailable"] == "energy is unavailable: this device has no energy counter"
    assert all(entry.priced for entry in table.entries.values())
    assert main(["predict", "table.json", ARCH]) == 0
    assert "latency " in capsys.readouterr().out
    assert main(["verify", "table.json"]) == 0
    assert "MOVED" not in capsys.readouterr().out
    assert main(["validate", "table.json", "--networks", "2"]) == 0


def test_what_is_not_defined_has_a_default():
    backend = PaperBackend(batch=1, image_channels=3)
    network = Small().graph(Small().parse(ARCH))
    assert backend.load_trained(network, {}, "network.onnx").run(2) == 2 * backend.load(network).run(1)
    assert backend.arena_bytes([Path("network.onnx")]) == [None]
    assert (backend.environment(), backend.execution_notes({}), backend.warnings()) == ({}, [], [])
    with pytest.raises(EnergyUnavailableError, match="this device has no energy counter"):
        backend.energy_counter()


def test_a_class_that_is_not_a_backend_is_refused_at_once(capsys):
    assert main([*PROFILE, "--device", "half", "-o", "table.json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "device 'half' of paper-device 1.0" in line
    assert not Path("table.json").exists()
