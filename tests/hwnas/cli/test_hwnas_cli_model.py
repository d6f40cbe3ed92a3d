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


def test_what_derive_cannot_do_is_one_line(model, tmp_path, capsys):
    for option, value, lack in (
        ("--input-scaling", "pm1", "images to scale"),
        ("--image-size", "8", "images to scale"),
        ("--data-limit", "9", "samples to limit"),
    ):
        assert main(["derive", str(model), option, value]) == 2
        assert capsys.readouterr().err == f"hwnas: error: {option} needs --data: there are no {lack}\n"
    whole = onnx.load(model)
    whole.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    whole.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "w"
    path = tmp_path / "open.onnx"
    path.write_bytes(whole.SerializeToString())
    for command in (["derive", str(path)], ["search", "--model", str(path), "--out", str(tmp_path / "run")]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"{path}: input 'input' has open sizes (axes 2, 3); fix them with python -m onnxruntime.tools." in error
        assert "--input_shape 1,1,224,224 FILE FIXED, or in Python with read_onnx(FILE, shapes={'input': (1," in error


def test_untrainable_nodes_are_named_where_nothing_can_be_pruned(tmp_path, capsys):
    nodes = [onnx.helper.make_node("Erf", ["x"], ["e"], "erf"), onnx.helper.make_node("Erf", ["e"], ["f"], "more")]
    nodes.append(onnx.helper.make_node("Relu", ["f"], ["z"], "last"))
    shape = (1, 4, 4)
    told = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xz"]
    graph = onnx.helper.make_graph(nodes, "g", told[:1], told[1:])
    content = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    path = tmp_path / "odd.onnx"
    path.write_bytes(content.SerializeToString())
    assert main(["derive", str(path)]) == 2
    out, error = capsys.readouterr()
    assert "warning: node erf (Erf) can be measured but not trained, so no search can start: hwnas has no" in out
    assert "hwnas: error: nothing of the model can be left out (" in error
    assert main(["search", "--model", str(path), "--out", str(tmp_path / "run")]) == 2
    line = (
        "--model: hwnas cannot train node erf (Erf) and 1 more: it has no such operator; hwnas derive FILE lists them"
    )
    assert line in capsys.readouterr().err


def test_pixels_from_minus_1_to_1_can_be_typed(model, capsys):
    assert main(["derive", str(model), "--data", "digits", "--data-limit", "50", "--input-scaling", "pm1"]) == 0
    assert "the model as given has accuracy" in capsys.readouterr().out
