"""What of a graph a runtime executes: no identities, no dead code, merged convolutions."""

import numpy as np

from latency_tables import INPUT, GraphBuilder
from profilers import CONVOLUTION_FUSION, OnnxRuntimeBackend, executed_graph, fusion_of, ops

SHAPE = (8, 4, 4)


def names(graph):
    return [node.name for node in graph.nodes]


def test_dead_branches_and_identities_go():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    builder.add("dead", ops.conv(SHAPE, 8, 3), a)
    i = builder.add("i", ops.identity(SHAPE), a)
    j = builder.add("j", ops.identity(SHAPE), i)
    graph = executed_graph(builder.build(builder.add("sum", ops.add(SHAPE), j, INPUT)))
    assert names(graph) == ["a"]  # with the sum merged
    assert graph.nodes[0].inputs == (INPUT, INPUT)


def test_an_identity_network_keeps_only_its_input():
    builder = GraphBuilder(SHAPE)
    graph = executed_graph(builder.build(builder.add("i", ops.identity(SHAPE), INPUT)))
    assert graph.nodes == ()
    assert graph.outputs == (INPUT,)


def chain(*steps):
    """conv a, conv b reading the input, then the given steps."""
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    b = builder.add("b", ops.conv(SHAPE, 8, 1), INPUT)
    return builder, a, b


def test_conv_takes_in_an_addition_and_then_an_activation():
    builder, a, b = chain()
    total = builder.add("sum", ops.add(SHAPE), a, b)
    graph = executed_graph(builder.build(builder.add("relu", ops.activation(SHAPE, "relu"), total)))
    assert names(graph) == ["b", "a"]
    fused = graph.nodes[1]
    assert fused.inputs == (INPUT, "b")
    assert (fused.op.integer("add"), fused.op.word("act")) == (1, "relu")
    assert graph.outputs == ("a",)


def test_a_result_that_is_read_twice_is_not_fused():
    builder, a, b = chain()
    total = builder.add("sum", ops.add(SHAPE), b, a)
    relu = builder.add("relu", ops.activation(SHAPE, "relu"), a)
    graph = executed_graph(builder.build(builder.add("last", ops.add(SHAPE), total, relu)))
    kinds = {node.name: node.op for node in graph.nodes}
    assert set(kinds) == {"a", "b", "relu", "last"}  # b took the first sum, a stayed as it was
    assert kinds["a"].integer("add", 0) == 0
    assert kinds["b"].integer("add") == 1


def test_an_output_is_not_fused_away():
    builder, a, _ = chain()
    graph = executed_graph(builder.build(builder.add("relu", ops.activation(SHAPE, "relu"), a), a))
    assert names(graph) == ["a", "relu"]


def test_the_sum_of_a_conv_with_itself_is_not_fused():
    builder, a, _ = chain()
    graph = executed_graph(builder.build(builder.add("twice", ops.add(SHAPE), a, a)))
    assert names(graph) == ["a", "twice"]


def test_one_conv_takes_in_one_addition_only():
    builder, a, b = chain()
    first = builder.add("first", ops.add(SHAPE), a, b)
    graph = executed_graph(builder.build(builder.add("second", ops.add(SHAPE), first, INPUT)))
    assert names(graph) == ["b", "a", "second"]


def random_graph(rng):
    """Convolutions, sums, activations and identities at random; some branches are dead."""
    builder, tensors = GraphBuilder(SHAPE), [INPUT]
    for i in range(rng.integers(1, 14)):
        x, y = (tensors[int(k)] for k in rng.integers(0, len(tensors), 2))
        kind = rng.choice(["conv", "conv", "add", "relu", "identity"])
        op = {
            "conv": ops.conv(SHAPE, 8, 3),
            "add": ops.add(SHAPE),
            "relu": ops.activation(SHAPE, "relu"),
            "identity": ops.identity(SHAPE),
        }[str(kind)]
        tensors.append(builder.add(f"n{i}", op, *(x, y)[: len(op.inputs)]))
    return builder.build(tensors[-1])


def test_an_executed_graph_is_its_own_executed_graph():
    rng = np.random.default_rng(0)
    graphs = [random_graph(rng) for _ in range(300)]
    executed = [executed_graph(graph) for graph in graphs]
    assert sum(len(a.nodes) < len(b.nodes) for a, b in zip(executed, graphs, strict=True)) > 150
    assert [executed_graph(graph) for graph in executed] == executed


def test_code_that_still_fuses_by_itself_gets_the_same_graph():
    graph = random_graph(np.random.default_rng(3))
    assert executed_graph(graph.without_dead_code().fused()) == executed_graph(graph)


class Nothing:
    """A runtime that fuses nothing."""

    def fuse(self, graph):
        return graph


def test_a_back_end_says_what_its_runtime_fuses():
    builder = GraphBuilder(SHAPE)
    x = builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    graph = builder.build(builder.add("relu", ops.activation(SHAPE, "relu"), x))
    backend = OnnxRuntimeBackend()
    assert fusion_of(backend) is CONVOLUTION_FUSION
    assert names(executed_graph(graph, fusion_of(backend))) == ["a"]
    backend.fusion = Nothing()
    assert names(executed_graph(graph, fusion_of(backend))) == ["a", "relu"]
    assert fusion_of(object()) is CONVOLUTION_FUSION
