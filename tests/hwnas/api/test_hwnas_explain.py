import json
import re
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwnas
from hwnas._api import _explain
from hwnas._cli._explained import explained_lines
from hwnas._cli._main import main
from profilers import Change, ExplainedNode, Explanation


def row(node, ms, **more):
    sizes = {"macs": 2_000_000, "read_bytes": 10, "written_bytes": 10, "working_set_bytes": 20}
    shapes = {"block": "", "fused": (node,), "inputs": ((1, 3),), "output": (1, 3)}
    return ExplainedNode(node=node, op="Conv+Relu", ms=ms, low_ms=ms, high_ms=ms, **{**sizes, **shapes, **more})


ROWS = (row("first", 1.0, block="a"), row("second", 3.0, block="b", reasons=("unaligned",)))
EXPLANATION = Explanation(
    "m.onnx", "0", {"device": "cpu"}, 5.0, 4.9, 5.2, ROWS, 1.0, 0.01, 50.0, live_bytes=(2**20, 2**21), rounds=12
)


def tiny_model():
    """A dense layer and a ReLU, as a serialised model."""
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32), "w")
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"], "dense"), helper.make_node("Relu", ["h"], ["y"], "relu")]
    info = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64])] for name in "xy"]
    graph = helper.make_graph(nodes, "tiny", *info, [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.fixture
def measured(monkeypatch):
    """What `explain_model` was called with; it returns `EXPLANATION`."""
    calls = []

    def explain_model(model, **options):
        calls.append((model, options))
        return EXPLANATION

    monkeypatch.setattr(_explain, "explain_model", explain_model)
    monkeypatch.setattr(_explain, "with_changes", lambda model, explanation, **options: explanation)
    monkeypatch.setattr(_explain, "load_onnx", lambda model: model)
    monkeypatch.setattr(_explain, "make_backend", lambda device, threads: None)
    return calls


def test_changes_are_measured_as_the_rows_were(measured, monkeypatch, tmp_path):
    asked, change = [], Change("threads", "2 threads", (), 3.0, 2.0, 1.9, 2.1)

    def with_changes(model, explanation, **options):
        asked.append((model, options))
        return replace(explanation, changes=(change,))

    monkeypatch.setattr(_explain, "with_changes", with_changes)
    page = tmp_path / "page.html"
    assert hwnas.explain("m.onnx", threads=2, shape=["x=1,3"], value=["sr=16"], out=page).changes == (change,)
    assert "2 threads" in page.read_text()
    model, options = asked[0]
    assert (model, options["threads"], options["shapes"], options["numbers"]) == (
        "m.onnx",
        2,
        {"x": (1, 3)},
        {"sr": 16.0},
    )
    assert hwnas.explain("m.onnx", no_changes=True).changes == ()
    assert len(asked) == 1


def test_json_has_the_rows(measured, capsys):
    assert main(["explain", "m.onnx", "--json", "--shape", "x=1,3", "--value", "sr=16"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["total_ms"] == 5.0
    assert told["unexplained_ms"] == 1.0
    assert told["noise_floor"] == 0.01
    assert {"node", "op", "ms", "low_ms", "high_ms", "macs"} <= told["rows"][0].keys()
    options = measured[0][1]
    assert (options["shapes"], options["numbers"], options["threads"]) == ({"x": (1, 3)}, {"sr": 16.0}, 1)


def test_the_table_says_why_and_what_is_left():
    change = Change("aligned", "channels rounded up", ("second",), 4.0, 1.0, 0.9, 1.1)
    lines = list(explained_lines(replace(EXPLANATION, changes=(change,), notes=("a note",))))
    assert lines[0] == "m.onnx: 5 ms +- 0.15 ms; 2 rows; this device reaches 50 GMAC/s at best"
    assert "noise floor 1.00%; 12 rounds; live tensors take at most 2 MiB" in lines
    assert lines[2].split()[0] == "second"
    assert lines[2].endswith("unaligned")
    assert any(line.startswith("total - rows") and line.endswith("20.0%") for line in lines)
    assert any(line.startswith("unaligned: ") for line in lines)
    assert any("channels rounded up" in line for line in lines)
    assert lines[-1] == "a note"


def test_earlier_explanations_are_read(measured, tmp_path):
    file = tmp_path / "earlier.json"
    hwnas.explain("m.onnx", out=file)
    hwnas.explain("m.onnx", reuse=[file])
    assert measured[1][1]["earlier"] == [EXPLANATION]


def test_the_whole_command_measures_a_model_and_writes_its_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(_explain.explain_model.__kwdefaults__, "seconds", 0.5)  # rounds are measured, but few
    monkeypatch.setattr("hwnas._explain._paired.MOST_SECONDS", 0.0)
    file, page = tmp_path / "tiny.onnx", tmp_path / "page.html"
    file.write_bytes(tiny_model())
    assert main(["explain", str(file), "-o", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"tiny\.onnx: [\d.e-]+ ms \+- [\d.e-]+ ms; \d+ rows; this device reaches [\d.]+ GMAC/s", lines[0])
    assert any("Gemm+Relu" in line for line in lines)
    assert any(line.startswith("int8 weights and activations") for line in lines)
    assert lines[-1] == str(page)
    text = re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))
    assert "tiny.onnx: where the time goes" in text
    assert "What would change the total" in text
    assert re.search("are in no row|the rows exceed it by", text)


def test_a_file_that_is_no_explanation_is_named(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    with pytest.raises(hwnas.Errors) as caught:
        hwnas.explain("m.onnx", reuse=file)
    assert str(caught.value) == f"{file} is not an explanation; make one with hwnas explain MODEL -o FILE.json"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"device": "cuda"}, "measures on --device cpu"),
        ({"threads": 0}, "--threads must be"),
        ({"out": "page.txt"}, "ends in .html or .json"),
        ({"out": "nowhere/page.html"}, "nowhere"),
        ({"shape": {"x": (0, 3)}}, "--shape x must be"),
        ({"value": {"x": "much"}}, "--value x must be"),
        ({"reuse": "/nowhere/a.json"}, "cannot read /nowhere/a.json"),
    ],
)
def test_what_cannot_be_done_is_one_line(measured, options, text):
    with pytest.raises(hwnas.Errors, match=text):
        hwnas.explain("m.onnx", **options)


def test_threads_without_cores_are_refused_before_anything_is_measured():
    with pytest.raises(hwnas.Errors, match="usable cores, got 4000"):
        hwnas.explain("m.onnx", threads=4000)


def test_a_file_that_is_no_model_is_one_line(tmp_path, capsys):
    file = tmp_path / "m.onnx"
    file.write_bytes(b"not a model")
    assert main(["explain", str(file)]) == 2
    assert "is not an ONNX file" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "none.onnx")]) == 2
