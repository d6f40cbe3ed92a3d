import pytest

from latency_tables import INPUT, GraphBuilder, GraphError, Node, OpGraph
from profilers import ops

SHAPE = (8, 4, 4)


def names(graph):
    return [node.name for node in graph.nodes]


def test_dead_branches_and_identities_go():
    builder = GraphBuilder(SHAPE)
    a = builder.add("a", ops.conv(SHAPE, 8, 3), INPUT)
    builder.add("dead", ops.conv(SHAPE, 8, 3), a)
    i = builder.add("i", ops.identity(SHAPE), a)
    j = builder.add("j", ops.identity(SHAPE), i)
    graph = builder.build(builder.add("sum", ops.add(SHAPE), j, INPUT)).without_dead_code()
    assert names(graph) == ["a", "sum"]
    assert graph.nodes[1].inputs == ("a", INPUT)


def test_an_identity_network_keeps_only_its_input():
    builder = GraphBuilder(SHAPE)
    graph = builder.build(builder.add("i", ops.identity(SHAPE), INPUT)).without_dead_code()
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
    graph = builder.build(builder.add("relu", ops.activation(SHAPE, "relu"), total)).fused()
    assert names(graph) == ["b", "a"]
    fused = graph.nodes[1]
    assert fused.inputs == (INPUT, "b")
    assert (fused.op.integer("add"), fused.op.word("act")) == (1, "relu")
    assert graph.outputs == ("a",)


def test_a_result_that_is_read_twice_is_not_fused():
    builder, a, b = chain()
    total = builder.add("sum", ops.add(SHAPE), b, a)
    relu = builder.add("relu", ops.activation(SHAPE, "relu"), a)
    graph = builder.build(builder.add("last", ops.add(SHAPE), total, relu)).fused()
    kinds = {node.name: node.op for node in graph.nodes}
    assert set(kinds) == {"a", "b", "relu", "last"}  # b took the first sum, a stayed as it was
    assert kinds["a"].integer("add", 0) == 0
    assert kinds["b"].integer("add") == 1


def test_an_output_is_not_fused_away():
    builder, a, _ = chain()
    graph = builder.build(builder.add("relu", ops.activation(SHAPE, "relu"), a), a).fused()
    assert names(graph) == ["a", "b", "relu"]


def test_the_sum_of_a_conv_with_itself_is_not_fused():
    builder, a, _ = chain()
    graph = builder.build(builder.add("twice", ops.add(SHAPE), a, a)).without_dead_code().fused()
    assert names(graph) == ["a", "twice"]


def test_one_conv_takes_in_one_addition_only():
    builder, a, b = chain()
    first = builder.add("first", ops.add(SHAPE), a, b)
    graph = builder.build(builder.add("second", ops.add(SHAPE), first, INPUT)).fused()
    assert names(graph) == ["b", "a", "second"]


def test_splice_renames_and_connects():
    inner, _, b = chain()
    part = inner.build(b)
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
    assert (names(live), live.outputs, live.inputs) == (["a", "sum", "relu"], ("relu", "right"), graph.inputs)
    fused = live.fused()
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
    assert [node.inputs for node in graph.nodes][2:] == [("stem",), ("part.a", "side"), ("part.sum",)]
