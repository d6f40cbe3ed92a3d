"""What ONNX Runtime executes is what the table prices."""

import numpy as np
import pytest

from hwnas.spaces import make_space
from latency_tables import GraphBuilder
from profilers import OnnxRuntimeBackend, executed_graph, fusion_differences, ops
from profilers._fusion import executed_nodes

SPACES = {
    "nasbench201": make_space("nasbench201", image_size=16, cells=2),
    "tiny": make_space("mobilenetv3", preset="tiny", resolution=[8, 32]),
    "imagenet": make_space("mobilenetv3", preset="imagenet", resolution=128),
}


@pytest.mark.parametrize("name", SPACES)
def test_networks_are_executed_as_they_are_priced(name):
    space = SPACES[name]
    for arch in space.sample(6, np.random.default_rng(2)):
        assert fusion_differences(space.graph(arch)) == [], space.format(arch)


def test_two_poolings_of_one_tensor_are_one():
    space = SPACES["nasbench201"]
    cell = "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_1x1~2|"
    graph = space.graph(space.parse(cell))
    assert fusion_differences(graph) == []
    pools = sum(count for op, count in graph.op_counts.items() if op.kind == "pool")
    assert pools == 3 * 2 + 2  # one a cell, one in each reduction


@pytest.mark.parametrize("sizes", [(16,), (8, 8), (4, 8, 8)])
@pytest.mark.parametrize("act", ["relu", "hswish"])
def test_networks_of_every_rank_are_executed_as_they_are_priced(sizes, act):
    builder = GraphBuilder((3, *sizes))
    x = builder.add("stem", ops.conv((3, *sizes), 16, 3, act=act), "input")
    shape = builder.shape(x)
    block = ops.inverted_residual(shape, 16, kernel=3, stride=1, hidden=32, squeeze=8, act=act)
    x = builder.add("block", block, x)
    x = builder.add("sum", ops.add(shape), builder.add("conv", ops.conv(shape, 16, 3), x), x)
    x = builder.add("act", ops.activation(shape, act), x)
    x = builder.add("pool", ops.pool(shape, 3, mode="max"), x)
    graph = executed_graph(builder.build(builder.add("head", ops.head(shape, 5, hidden=32, features=16), x)))
    assert fusion_differences(graph) == []
    assert executed_nodes(graph)["MaxPool"] == 1


def test_a_graph_that_is_not_fused_as_claimed_is_told():
    builder = GraphBuilder((8, 8, 8))
    x = builder.add("conv", ops.conv((8, 8, 8), 8, 3), "input")
    x = builder.add("relu", ops.activation((8, 8, 8), "relu"), x)
    apart = builder.build(builder.add("pool", ops.global_pool((8, 8, 8)), x))
    assert fusion_differences(apart) == []  # one ReLU is allowed, none is executed
    assert executed_nodes(apart)["Relu"] == 0
    builder = GraphBuilder((8, 8, 8))
    x = builder.add("a", ops.pool((8, 8, 8), 3), "input")
    y = builder.add("b", ops.pool((8, 8, 8), 3), "input")
    twice = builder.build(builder.add("sum", ops.add((8, 8, 8)), x, y))
    assert fusion_differences(twice) == ["it executes 1 AveragePool nodes, the table prices 2"]


def test_notes_name_the_network_and_what_follows():
    builder = GraphBuilder((8, 8, 8))
    x = builder.add("a", ops.pool((8, 8, 8), 3), "input")
    y = builder.add("b", ops.pool((8, 8, 8), 3), "input")
    twice = builder.build(builder.add("sum", ops.add((8, 8, 8)), x, y))
    space = SPACES["tiny"]
    fine = space.graph(space.sample(1, np.random.default_rng(0))[0])
    backend = OnnxRuntimeBackend()
    assert backend.execution_notes({"fine": fine, "twice": twice}) == [
        "ONNX Runtime does not execute network twice as the table prices it (it executes 1 AveragePool nodes, the "
        "table prices 2); predictions of such networks may be off, so rely on measured latencies"
    ]
    assert OnnxRuntimeBackend(precision="int8").execution_notes({"twice": twice}) == []


def test_a_check_that_cannot_be_made_loses_no_profile(monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    space = SPACES["tiny"]
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    assert OnnxRuntimeBackend().execution_notes({"n": graph}) == [
        "could not check whether ONNX Runtime executes network n as the table prices it: "
        "[Errno 28] No space left on device"
    ]
