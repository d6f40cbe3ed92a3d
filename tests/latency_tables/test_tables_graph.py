import pytest

from latency_tables import INPUT, GraphBuilder, GraphError, Node, OpGraph
from profilers import ops

SHAPE = (8, 4, 4)


def names(graph):
    return [node.name for node in graph.nodes]


def test_dead_branches_go():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    builder.add("dead", ops.conv(SHAPE, 8, 3), a)
    graph = builder.build(builder.add("sum", ops.add(SHAPE), a, INPUT))
    live = graph.without_dead_code()
    assert names(live) == ["a", "sum"]
    assert live.without_dead_code() is live


def test_a_graph_that_hands_its_input_through_keeps_nothing_else():
    builder = GraphBuilder(SHAPE)
    builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    graph = builder.build(INPUT).without_dead_code()
    assert (graph.nodes, graph.outputs) == ((), (INPUT,))


def inner_graph():
    """Two convolutions that read the input; the second is the output."""
    builder = GraphBuilder(SHAPE)
    builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    return builder.build(builder.add("b", ops.conv(SHAPE, 8, 1), INPUT))


def test_splice_renames_and_connects():
    part = inner_graph()
    outer = GraphBuilder(SHAPE)
    x = outer.splice(part, prefix="first.")
    x = outer.splice(part, prefix="second.", at=x)
    graph = outer.build(x).without_dead_code()
    assert names(graph) == ["first.b", "second.b"]
    assert graph.nodes[1].inputs == ("first.b",)


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ([("a", "zz")], ("a",), "reads 'zz'"),
        ([("a", INPUT), ("a", INPUT)], ("a",), "used twice"),
        ([("a", INPUT)], ("b",), "is no node"),
        ([("a", INPUT)], (), "no outputs"),
    ],
)
def test_malformed_graphs_are_refused(nodes, outputs, message):
    made = tuple(Node(name, ops.conv(SHAPE, 8), (source,)) for name, source in nodes)
    with pytest.raises(GraphError, match=message):
        OpGraph(SHAPE, made, outputs)


def test_shapes_must_fit():
    with pytest.raises(GraphError, match="gets shapes"):
        OpGraph((4, 4, 4), (Node("a", ops.conv(SHAPE, 8), (INPUT,)),), ("a",))
