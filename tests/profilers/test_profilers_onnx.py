"""Every ONNX file is one by the standard, whatever runtime reads it, and its tensors have the same names."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from derived_models import resnet
from onnx import shape_inference
from test_profilers_operators import CASES, graph_of

from hwnas.spaces import make_space, read_declaration, space_names
from latency_tables import INPUT, GraphBuilder
from profilers import build_onnx, make_session, ops, quantize_model, random_weights
from profilers._onnxruntime import random_model
from profilers._session import _SWEEP_MODEL

EXAMPLE = Path(__file__).resolve().parents[2] / "scripts" / "example_space.json"
SETTINGS = {
    "convnet1d": {"length": 128, "input_channels": 3, "width": 0.5},
    "dash1d": {"length": 64, "channels": 4},
    "dash2d": {"image_size": 12, "channels": 4, "blocks": 1},
    "dscnn": {"length": 2000, "sample_rate": 8000, "filters": 16, "bands": 8},
    "fpn": {"classes": 4, "resolution": [64], "width": [0.5], "channels": [8]},
    "mobilenetv3": {"preset": "tiny", "resolution": 16, "width": 0.5},
    "nasbench201": {"image_size": 16, "cells": 1},
    "resnet": {"image_size": 8},
    "unet": {"size": [16, 8], "levels": 2, "channels": 4},
    "video": {"frames": 3, "image_size": 8, "width": [0.5], "classes": 3},
    "derived": {"graph": resnet(blocks=1, widths=(8, 16), size=8)},
    "declared": {"declaration": read_declaration(EXAMPLE), "image_size": 16},
}


def require_valid(model):
    onnx.checker.check_model(model, full_check=True)
    shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    known = {tensor.name for tensor in (*model.graph.input, *model.graph.initializer)}
    for node in model.graph.node:
        assert {name for name in node.input if name} <= known
        known |= set(node.output)


def names(model):
    return [entry.name for entry in model.graph.input], [entry.name for entry in model.graph.output]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_operator_is_written_by_the_standard(name, precision, batch):
    model = onnx.load_from_string(random_model(graph_of(CASES[name]), 0, (), batch=batch, precision=precision))
    require_valid(model)
    assert names(model) == (["input"], ["logits"])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_network_has_the_same_names(name, precision):
    assert set(SETTINGS) == set(space_names())
    space = make_space(name, **SETTINGS[name])
    for arch in space.sample(4, np.random.default_rng(0)):
        model = onnx.load_from_string(random_model(space.graph(arch), 0, (), batch=2, precision=precision))
        require_valid(model)
        assert names(model) == (["input"], ["logits"])


@pytest.mark.parametrize("quantised", [False, True])
def test_several_outputs_repeated_ones_and_the_input_itself(quantised):
    builder = GraphBuilder((4, 5, 5))
    a = builder.add("a", ops.conv((4, 5, 5), 4, act="relu"), INPUT)
    graph = builder.build(a, builder.add("b", ops.conv((4, 5, 5), 6), a), a, INPUT)
    model = build_onnx(graph, random_weights(graph))
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 5), dtype=np.float32)
    first, _, third, last = make_session(model.SerializeToString(), threads=1).run(None, {"input": x})
    assert (first >= 0).all()
    assert np.array_equal(first, third)
    assert np.array_equal(last, x)
    model = quantize_model(model) if quantised else model
    require_valid(model)
    assert names(model)[1] == ["logits", "logits_1", "logits_2", "logits_3"]


def test_the_model_that_empties_the_caches_is_valid():
    require_valid(onnx.load_from_string(_SWEEP_MODEL))
