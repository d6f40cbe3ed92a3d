"""From a model file on the command line: derive, search, go on without the file, export."""

import json

import onnx
import pytest

from hwnas._cli import main
from hwnas.testing._operators import varied_weights
from latency_tables import INPUT, GraphBuilder
from profilers import build_onnx, ops


@pytest.fixture
def model(tmp_path):
    """A file of a small network with random weights."""
    b = GraphBuilder((1, 8, 8))
    x = b.add("a", ops.conv((1, 8, 8), 16, 3, act="relu"), INPUT)
    x = b.add("p", ops.global_pool(b.shape(x)), x)
    graph = b.build(b.add("out", ops.linear(b.shape(x), 10), x))
    path = tmp_path / "model.onnx"
    path.write_bytes(build_onnx(graph, varied_weights(graph, 1)).SerializeToString())
    return path


def test_from_a_file_to_a_network(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "tables"))
    assert main(["derive", str(model), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (width,) = (name for name in shown["choices"] if name.endswith("width"))
    assert shown["choices"] == {"resolution": [6, 8], width: [4, 8, 12, 16]}
    words = ["search", "--model", str(model), "--data", "digits", "--data-limit", "100", "--epochs", "1"]
    words += ["--measure", "none", "--out", "run"]
    assert main([*words, "--samples", "2"]) == 0
    told = capsys.readouterr().err
    assert f"{width}: " in told
    model.unlink()
    assert main([*words, "--samples", "3"]) == 0
    told = capsys.readouterr().err
    assert "continuing after 2 trials" in told
    assert f"{width}: " not in told
    assert main(["export", "run", "--pick", "best", "-o", "best.onnx"]) == 0
    onnx.checker.check_model(onnx.load("best.onnx"))
