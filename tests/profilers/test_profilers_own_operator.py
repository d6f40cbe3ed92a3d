"""An operator that a user brings: one class, registered or found as a plug-in; everything else follows from it."""

import sys

import numpy as np
import pytest
import torch
from simulated_device import AdditiveBackend, true_price

from latency_tables import INPUT, GraphBuilder, Op, OpGraph
from profilers import (
    OPERATOR_GROUP,
    Composite,
    GraphModule,
    Network,
    OperatorError,
    Parameter,
    Primitive,
    SamplingSettings,
    build_onnx,
    graph_macs,
    graph_params,
    make_session,
    operator_kinds,
    operator_of,
    ops,
    profile_ops,
    register_operator,
)
from profilers._operators import _registry
from profilers._working_set import op_weights


class Gated(Primitive):
    """A learned factor for each channel, then the channels in ``groups`` shuffled (Zhang et al. 2018, ShuffleNet)."""

    kind = "test_shuffle"

    def infer(self, op):
        if len(op.inputs) != 1 or op.inputs[0][0] % op.integer("groups"):
            raise OperatorError(f"op {op.key}: the groups must divide the channels")
        return op.inputs[0]

    def parameters(self, op):
        return {"factor": Parameter((op.output[0], *(1,) * (len(op.output) - 1)), "one")}

    def macs(self, op):
        return int(np.prod(op.output))

    def lower(self, op, emit, inputs, weights):
        groups, channels = op.integer("groups"), op.output[0]
        x = emit.node("Mul", [inputs[0], emit.constant("factor", weights["factor"])])
        x = emit.node("Reshape", [x, emit.integers("split", [0, groups, channels // groups, -1])])
        x = emit.node("Transpose", [x], perm=[0, 2, 1, 3])
        return emit.node("Reshape", [x, emit.integers("joined", [0, *op.output])])

    def forward(self, op, inputs, parameters, norm):
        x, groups = inputs[0] * parameters["factor"], op.integer("groups")
        return x.reshape(len(x), groups, op.output[0] // groups, -1).transpose(1, 2).reshape(x.shape)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The operator is known in each test of this file, and in no other."""
    monkeypatch.setattr(_registry, "_OPERATORS", dict(_registry._OPERATORS))
    register_operator(Gated)


def shuffle(shape, groups):
    return Op("test_shuffle", (shape,), shape, (("groups", groups),))


def network(shape, count):
    builder = GraphBuilder((3, *shape[1:]))
    x = builder.add("stem", ops.conv(builder.input_shape, shape[0], 3, act="relu"), INPUT)
    for i in range(count):
        x = builder.add(f"shuffle{i}", shuffle(shape, 2 ** (i % 2 + 1)), x)
    x = builder.add("pool", ops.global_pool(shape), x)
    return builder.build(builder.add("classes", ops.linear(builder.shape(x), 5), x))


@pytest.mark.parametrize("shape", [(8, 10), (8, 5, 6), (8, 2, 3, 4)])
def test_it_runs_in_torch_and_onnx_runtime_and_has_costs(shape):
    graph = network(shape, 2)
    module = GraphModule(graph, seed=1).eval()
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if name.endswith("factor"):
                tensor.uniform_(0.5, 1.5)
    x = np.random.default_rng(0).standard_normal((3, 3, *shape[1:]), dtype=np.float32)
    model = build_onnx(graph, module.arrays(), batch=3)
    (got,) = make_session(model.SerializeToString(), threads=1).run(None, {INPUT: x})
    np.testing.assert_allclose(got, module(torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-4)
    size = int(np.prod(shape[1:]))
    assert graph_macs(graph) == 3 * 8 * 3 ** len(shape[1:]) * size + 2 * 8 * size + 8 * 5
    assert graph_params(graph) == 3 * 8 * 3 ** len(shape[1:]) + 16 + 2 * 8 + 45
    with pytest.raises(OperatorError, match="the groups must divide the channels"):
        operator_of(shuffle(shape, 3)).check(shuffle(shape, 3))


def test_it_is_measured_and_prices_networks(tmp_path):
    graphs = [network((8, 4, 4), count) for count in (1, 2, 3)]
    table = profile_ops(
        AdditiveBackend(),
        sorted({op for graph in graphs for op in graph.op_counts}, key=lambda op: op.key),
        [Network(str(i), graph, "held-out") for i, graph in enumerate(graphs)],
        tmp_path / "t.samples.jsonl",
        space={"name": "shuffled", "settings": {}},
        settings=SamplingSettings(min_rounds=5, max_rounds=10),
    )
    op = shuffle((8, 4, 4), 2)
    assert table.entries[op].q10_ms == pytest.approx(1e3 * true_price(op), rel=1e-6)


def test_a_class_that_is_defined_again_takes_the_place_of_the_former_one():
    graph = network((8, 4), 1)
    before = graph_params(graph)
    assert op_weights(shuffle((8, 4), 2)) == 8

    class Free(Gated):
        def parameters(self, op):
            return {}

    Free.__module__, Free.__qualname__ = Gated.__module__, Gated.__qualname__
    register_operator(Free)
    assert graph_params(graph) == before - 8
    assert op_weights(shuffle((8, 4), 2)) == 0
    register_operator(Gated)
    assert op_weights(shuffle((8, 4), 2)) == 8


def test_what_cannot_be_registered_is_told():
    with pytest.raises(OperatorError, match="must be a subclass of Primitive or Composite, got 3"):
        register_operator(3)
    for kind, message in [
        ("conv", "the kind 'conv' is already that of profilers._operators._dense.Convolution"),
        ("test_shuffle", "the kind 'test_shuffle' is already that of test_profilers_own_operator.Gated"),
        ("session", "kind must be a lower-case word that is not reserved, got 'session'"),
        ("Two Words", "kind must be a lower-case word that is not reserved"),
        (None, "kind must be a lower-case word that is not reserved, got None"),
    ]:
        with pytest.raises(OperatorError, match=message) as caught:
            register_operator(type("Other", (Gated,), {"kind": kind}))
        assert "\n" not in str(caught.value)
    with pytest.raises(OperatorError, match=r"operator Half cannot be constructed: .*abstract"):
        register_operator(type("Half", (Composite,), {"kind": "test_half"}))
    assert "test_half" not in operator_kinds()


MODULE = """
from latency_tables import GraphBuilder, INPUT
from profilers import Composite, ops


class Twice(Composite):
    kind = "test_twice"

    def expand(self, op):
        builder = GraphBuilder(op.inputs[0])
        first = builder.add("first", ops.conv(op.inputs[0], op.output[0], 3, act="relu"), INPUT)
        return builder.build(builder.add("second", ops.conv(op.output, op.output[0], 3, act="relu"), first))
"""
POINTS = f"""[{OPERATOR_GROUP}]
test_twice = own_operators:Twice
test_renamed = own_operators:Twice
test_absent = own_operators:Absent
test_both = own_operators:Twice
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Distributions with operators on the path of this process."""
    for name, points in [("one", POINTS), ("two", f"[{OPERATOR_GROUP}]\ntest_both = own_operators:Absent\n")]:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
    (tmp_path / "own_operators.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_operators", None)


def test_an_installed_distribution_brings_one(site):
    shape = (4, 6)
    graph = OpGraph.single(Op("test_twice", (shape,), (8, 6)))
    assert graph_macs(graph) == 6 * 3 * (4 * 8 + 8 * 8)
    assert "test_twice" in operator_kinds()
    assert next(name for name, _ in GraphModule(graph).named_parameters()) == "op/first/weight"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("test_absent", r"operator 'test_absent' of one cannot be loaded: .* no attribute 'Absent'"),
        ("test_renamed", r"operator 'test_renamed' of one must have kind = 'test_renamed', got"),
        (
            "test_both",
            r"operator 'test_both' is provided by (one and two|two and one); uninstall all but one",
        ),
        ("test_none", r"unknown operator 'test_none'; known: activation, add, "),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_one_line(site, kind, message):
    with pytest.raises(OperatorError, match=message) as caught:
        operator_of(Op(kind, ((4,),), (4,)))
    assert "\n" not in str(caught.value)
