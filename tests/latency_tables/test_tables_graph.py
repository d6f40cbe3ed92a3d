import pytest

from latency_tables import INPUT, GraphBuilder, GraphError, Node, OpGraph
from profilers import executed_graph, ops

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
        ([("a", INPUT)], ("b",), "is not a node or an input"),
        ([("a", INPUT)], (), "at least one output is needed"),
    ],
)
def test_malformed_graphs_are_refused(nodes, outputs, message):
    made = tuple(Node(name, ops.conv(SHAPE, 8), (source,)) for name, source in nodes)
    with pytest.raises(GraphError, match=message):
        OpGraph(SHAPE, made, outputs)


def test_shapes_must_fit():
    with pytest.raises(GraphError, match="must have shapes"):
        OpGraph((4, 4, 4), (Node("a", ops.conv(SHAPE, 8), (INPUT,)),), ("a",))


def two_inputs():
    builder = GraphBuilder({"left": SHAPE, "right": (4, 4, 4)})
    a = builder.add("a", ops.conv(SHAPE, 4, 3), "left")
    total = builder.add("sum", ops.add((4, 4, 4)), a, "right")
    builder.add("dead", ops.conv(SHAPE, 8, 3), "left")
    same = builder.add("same", ops.identity((4, 4, 4)), "right")
    return builder.build(builder.add("relu", ops.activation((4, 4, 4), "relu"), total), same)


def test_graphs_may_have_several_inputs_and_outputs():
    graph = two_inputs()
    assert graph.inputs == (("left", SHAPE), ("right", (4, 4, 4)))
    assert graph.input_names == ("left", "right")
    assert (graph.input_shape, graph.output_shape, graph.shape_of("right")) == (SHAPE, (4, 4, 4), (4, 4, 4))
    assert [node.name for node in graph.consumers()["right"]] == ["sum", "same"]
    live = graph.without_dead_code()
    assert (names(live), live.outputs, live.inputs) == (["a", "sum", "same", "relu"], ("relu", "same"), graph.inputs)
    fused = executed_graph(graph)
    assert (names(fused), fused.outputs, fused.inputs) == (["a"], ("a", "right"), graph.inputs)
    assert fused.nodes[0].inputs == ("left", "right")


def test_a_graph_with_the_usual_input_reads_as_ever():
    graph = OpGraph.single(ops.activation(SHAPE, "relu"))
    assert graph.inputs == ((INPUT, SHAPE),)
    assert graph == OpGraph(SHAPE, graph.nodes, graph.outputs, ((INPUT, SHAPE),))
    assert repr(graph) == f"OpGraph(input_shape={SHAPE!r}, nodes={graph.nodes!r}, outputs=('op',))"
    assert repr(two_inputs()).endswith(", inputs=(('left', (8, 4, 4)), ('right', (4, 4, 4))))")
    assert hash(graph) == hash(OpGraph(SHAPE, graph.nodes, graph.outputs))


def test_an_op_alone_has_an_input_for_each_shape():
    assert OpGraph.single(ops.add(SHAPE)).nodes[0].inputs == (INPUT, INPUT)
    graph = OpGraph.single(ops.scale(SHAPE))
    assert graph.inputs == ((INPUT, SHAPE), ("input_1", (8, 1, 1)))
    assert graph.nodes[0].inputs == graph.input_names
    assert OpGraph.single(ops.concat(SHAPE, (2, 4, 4), SHAPE)).nodes[0].inputs == (INPUT, "input_1", INPUT)


def test_a_part_with_several_inputs_is_spliced():
    builder = GraphBuilder(SHAPE)
    left = builder.add("stem", ops.conv(SHAPE, 8), INPUT)
    right = builder.add("side", ops.conv(SHAPE, 4), INPUT)
    end = builder.splice(two_inputs().without_dead_code(), prefix="part.", at=(left, right))
    graph = builder.build(end)
    assert end == "part.relu"
    assert [node.inputs for node in graph.nodes][2:] == [("stem",), ("part.a", "side"), ("side",), ("part.sum",)]
