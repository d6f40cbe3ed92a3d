"""A distribution that brings an operator and a space on sound that uses it, through the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas._common._plugins import KINDS
from profilers import OPERATOR_GROUP

ROOT = Path(__file__).resolve().parents[3]
MODULE = """
import hwnas
from hwnas.spaces import Choice, Space


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
    settings = property(lambda self: {})
    choices = (Choice("width", (8, 16)), Choice("kernel", (1, 3, 5)))

    def input_shape(self, arch):
        return (2, 32)

    def graph(self, arch):
        builder, x = hwnas.GraphBuilder((2, 32)), hwnas.INPUT
        x = builder.add("conv", hwnas.ops.conv((2, 32), arch.values[0], arch.values[1], stride=2, act="relu"), x)
        x = builder.add("negate", hwnas.Op("negate", (builder.shape(x),), builder.shape(x)), x)
        x = builder.add("classes", hwnas.ops.linear(builder.shape(x), 4), x)
        return builder.build(x)


def stopwatch(*, batch, image_channels):
    from simulated_device import AdditiveBackend

    backend = AdditiveBackend(image_channels=image_channels)
    backend.batch = batch
    backend.identity = lambda: {"device": "stopwatch", "batch": batch}
    return backend
"""
POINTS = f"""[hwnas.spaces]
sound = sounds:Sound
[{OPERATOR_GROUP}]
negate = sounds:Negate
conv = sounds:Negate
[hwnas.profilers]
stopwatch = sounds:stopwatch
"""


@pytest.fixture
def hwnas(tmp_path, monkeypatch):
    """Runs the command line in another process with the distribution on its path."""
    info = tmp_path / "sounds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sounds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (tmp_path / "sounds.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, [ROOT, ROOT / "tests", tmp_path])))

    def run(*arguments):
        command = [sys.executable, "-c", "import sys\nfrom hwnas._cli import main\nsys.exit(main(sys.argv[1:]))"]
        result = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_the_group_has_one_name():
    assert KINDS["operator"] == OPERATOR_GROUP


def test_a_space_on_sound_with_an_operator_of_its_own_is_profiled(hwnas, tmp_path):
    hwnas("profile", "--space", "sound", "--device", "stopwatch", "--networks", "2", "-o", "sound.json")
    kinds = {entry["op"].split()[0] for entry in json.loads((tmp_path / "sound.json").read_text())["entries"]}
    assert kinds == {"conv", "linear", "negate", "session"}
    assert "latency " in hwnas("predict", "sound.json", "width=8,kernel=3")


def test_operators_are_listed(hwnas):
    lines = [line.split(maxsplit=2) for line in hwnas("plugins").splitlines()]
    assert ["operator", "upsample", "hwnas"] in lines
    assert ["operator", "negate", "sounds 1.0"] in lines
    assert ["operator", "conv", "sounds 1.0 (not usable: hwnas has this name itself)"] in lines
