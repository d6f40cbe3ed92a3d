"""ONNX Runtime's telemetry is off wherever hwnas uses it."""

import ast
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from profilers import _session, installed_providers

ROOT = Path(__file__).resolve().parents[2]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module


def test_one_place_alone_loads_onnx_runtime():
    found = {}
    for path in [
        path for package in ("hwnas", "profilers", "latency_tables") for path in (ROOT / package).rglob("*.py")
    ]:
        lines = [(number, name) for number, name in imported(ast.parse(path.read_text())) if "onnxruntime" in name]
        lines = [(number, name) for number, name in lines if name.split(".")[0] == "onnxruntime"]
        if lines:
            found[str(path.relative_to(ROOT))] = {name for _, name in lines}
    assert found.pop("profilers/_session.py") == {"onnxruntime"}
    for alone in ("hwnas/_tables/_draw_runner.py", "hwnas/_deploy/predict.py"):  # run where nothing of ours is
        assert found.pop(alone) == {"onnxruntime"}
        assert "disable_telemetry_events" in (ROOT / alone).read_text()
        assert "ORT_DISABLE_TELEMETRY" in (ROOT / alone).read_text()
    assert set(found) == {"profilers/_quantize.py"}  # parts of it, after `runtime()`
    assert all(name.startswith("onnxruntime.quantization") for name in found["profilers/_quantize.py"])


@pytest.mark.parametrize("known", [True, False])
def test_telemetry_is_switched_off_at_each_use(monkeypatch, known):
    calls = []
    fake = SimpleNamespace(get_available_providers=lambda: ["CPUExecutionProvider"])
    if known:
        fake.disable_telemetry_events = lambda: calls.append("off")
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert installed_providers() == ["CPUExecutionProvider"]
    assert _session.runtime() is fake
    assert calls == (["off"] * 2 if known else [])
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_quantising_switches_it_off_too(monkeypatch):
    from latency_tables import INPUT, GraphBuilder
    from profilers import build_onnx, ops, quantize_model, random_weights

    onnxruntime = pytest.importorskip("onnxruntime")
    calls = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: calls.append("off"), raising=False)
    builder = GraphBuilder((3, 4, 4))
    graph = builder.build(builder.add("a", ops.conv((3, 4, 4), 2, 1), INPUT))
    quantize_model(build_onnx(graph, random_weights(graph, 0)))
    assert calls
