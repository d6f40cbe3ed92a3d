import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import profilers
from profilers import ExplainedNode, Explanation, ModelFileError, ProfilerError, UnsupportedGraphError
from profilers._explain import _reuse
from profilers._explain._branches import inline_branches
from profilers._explain._combined import combined, shared
from profilers._explain._events import Events
from profilers._explain._facts import block_channels, op_text
from profilers._explain._file import fix_shapes
from profilers._explain._graph import ExecutedGraph
from profilers._explain._prices import BETWEEN, FEWEST_ROUNDS, ROUNDS, Times, choose_rounds, times_of
from profilers._explain._sessions import Store
from profilers._explain._trace import Trace
from profilers._explain._values import draw_inputs, run_exposed
from profilers._explain._windows import Windows
from profilers._read._macs import node_macs
from profilers._session import optimised_model

SECONDS = 0.3


def weight(name, *shape):
    values = np.random.default_rng(0).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(np.float32), name)


def model_of(nodes, weights=(), shape=(1, 3, 12, 12), *, kind=TensorProto.FLOAT, ir_version=8, listed=False):
    read = [helper.make_tensor_value_info("x", kind, shape)]
    read += [helper.make_tensor_value_info(w.name, w.data_type, list(w.dims)) for w in weights if listed]
    written = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "model", read, [written], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir_version)


def residual(middle=17, **more):
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "stem relu"),
        helper.make_node("Conv", ["b", "w1"], ["c"], "narrow"),
        helper.make_node("Conv", ["c", "w2"], ["d"], "deep", pads=[1] * 4, group=middle),
        helper.make_node("HardSwish", ["d"], ["e"], "slow"),
        helper.make_node("Conv", ["e", "w3"], ["f"], "wide"),
        helper.make_node("Add", ["b", "f"], ["g"], "sum"),
        helper.make_node("Relu", ["g"], ["h"], "last relu"),
        helper.make_node("Transpose", ["h"], ["y"], "turn", perm=[0, 2, 3, 1]),
    ]
    shapes = ((16, 3, 3, 3), (middle, 16, 1, 1), (middle, 1, 3, 3), (16, middle, 1, 1))
    return model_of(nodes, [weight(f"w{i}", *shape) for i, shape in enumerate(shapes)], **more)


def executed(model):
    return ExecutedGraph(onnx.load_model_from_string(optimised_model(model.SerializeToString())))


def windows_of(model):
    model = fix_shapes(model, {})
    inputs, graph = draw_inputs(model, {}), executed(model)
    names = [name for node in graph.nodes for name in node.writes]
    store = Store(graph, {**run_exposed(graph.model, inputs, names, optimise=False, threads=1), **inputs})
    return graph, store, Windows(graph, store)


def test_inserted_nodes_have_the_same_names_each_time():
    """ONNX Runtime numbers the nodes that it inserts, with other numbers each time."""

    def named(first, second):
        nodes = [
            helper.make_node("Conv", ["x", "w0"], ["a"], "stem"),
            helper.make_node("ReorderOutput", ["a"], ["b"], first, domain="com.microsoft.nchwc"),
            helper.make_node("Cast", ["b"], ["c"], "Cast_token_31", to=1),
            helper.make_node("ReorderInput", ["c"], ["d"], second, domain="com.microsoft.nchwc"),
            helper.make_node("ReorderInput", ["c"], ["e"], f"{second}8", domain="com.microsoft.nchwc"),
            helper.make_node("Reshape", ["x", "w0"], ["y"], "my_token_name"),
        ]
        return [node.name for node in ExecutedGraph(model_of(nodes, [weight("w0", 4, 3, 1, 1)])).nodes]

    wanted = ["stem", "ReorderOutput of stem", "Cast of ReorderOutput of stem"]
    wanted += [f"ReorderInput of {wanted[-1]}", f"ReorderInput of {wanted[-1]} (2)", "my_token_name"]
    assert named("ReorderOutput_token_160", "ReorderInput") == wanted
    assert named("ReorderOutput", "ReorderInput_token_7") == wanted


@pytest.fixture(scope="module")
def explained():
    return profilers.explain_model(residual().SerializeToString(), seconds=SECONDS)


def row_with(explanation, name):
    return next(row for row in explanation.rows if name in row.fused)


def test_every_node_of_the_file_stands_in_one_row(explained):
    names = [name for row in explained.rows for name in row.fused]
    assert sorted(names) == sorted(node.name for node in residual().graph.node)


def test_rows_say_what_was_fused(explained):
    assert row_with(explained, "stem").op == "Conv+Relu"
    model = residual(32)
    graph = executed(fix_shapes(model, {}))
    trace = Trace(model, graph)
    texts = {proto.name: op_text(node) for number, node in enumerate(graph.nodes) for proto in trace.nodes_of(number)}
    assert texts["wide"] == texts["sum"] == texts["last relu"] == "Conv+Add+Relu"
    assert texts["slow"] == texts["deep"]
    assert set(texts) == {node.name for node in model.graph.node}


def test_rows_and_the_rest_make_the_total(explained):
    assert sum(row.ms for row in explained.rows) + explained.unexplained_ms == pytest.approx(explained.total_ms)
    assert all(row.low_ms <= row.ms <= row.high_ms for row in explained.rows)
    assert explained.total_low_ms <= explained.total_ms <= explained.total_high_ms
    assert explained.best_gmacs_per_s > 0
    assert explained.rounds >= 10


def test_costs_are_those_of_the_file_whatever_the_runtime_pads(explained):
    assert row_with(explained, "stem").macs == 16 * 12 * 12 * 27
    assert row_with(explained, "narrow").macs == 17 * 12 * 12 * 16
    assert row_with(explained, "deep").macs == 17 * 12 * 12 * 9
    assert len(explained.live_bytes) == len(explained.rows)
    assert max(explained.live_bytes) >= 2 * 16 * 12 * 12 * 4


def test_reasons(explained):
    assert "unaligned" in row_with(explained, "narrow").reasons
    assert "unaligned" not in row_with(explained, "stem").reasons
    assert "depthwise" in row_with(explained, "deep").reasons
    assert "layout" in row_with(explained, "turn").reasons
    assert block_channels() in (8, 16)


def test_an_activation_of_its_own_is_named():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv"),
        helper.make_node("Elu", ["a"], ["b"], "elu"),
        helper.make_node("GlobalAveragePool", ["b"], ["y"], "pool"),
    ]
    explanation = profilers.explain_model(
        model_of(nodes, [weight("w", 16, 3, 1, 1)]).SerializeToString(), seconds=SECONDS
    )
    assert "unfused" in row_with(explanation, "elu").reasons
    assert "unfused" not in row_with(explanation, "pool").reasons


def test_a_convolution_along_one_axis_has_no_blocks_to_fill():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "along", pads=[1, 1]),
        helper.make_node("Relu", ["a"], ["y"], "relu"),
    ]
    model = model_of(nodes, [weight("w", 65, 33, 3)], shape=(1, 33, 40))
    explanation = profilers.explain_model(model.SerializeToString(), seconds=SECONDS)
    assert "unaligned" not in row_with(explanation, "along").reasons


def test_of_a_table_only_the_rows_that_are_looked_up_are_read():
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["a"], "rows"),
        helper.make_node("Relu", ["a"], ["y"], "relu"),
    ]
    model = model_of(nodes, [weight("table", 5000, 8)], shape=(1, 6), kind=TensorProto.INT64)
    row = row_with(profilers.explain_model(model.SerializeToString(), seconds=SECONDS), "rows")
    assert row.read_bytes == 6 * 8 + 6 * 8 * 4  # six indices of eight bytes, and six rows of eight numbers
    assert row.written_bytes == 6 * 8 * 4


def test_the_best_of_a_device_is_not_below_what_nodes_reach(explained):
    least = 0.01 * explained.total_ms
    rates = [row.gmacs_per_s for row in explained.rows if row.macs and row.low_ms > 0 and row.ms >= least]
    assert explained.best_gmacs_per_s >= max(rates, default=0.0)


def test_the_form_survives_json(explained):
    assert Explanation.from_dict(json.loads(json.dumps(explained.as_dict()))) == explained


def test_known_prices_are_not_measured_again(explained):
    again = profilers.explain_model(residual().SerializeToString(), earlier=[explained], seconds=SECONDS)
    assert [row.window for row in again.rows] == [row.window for row in explained.rows]
    most = len(explained.rows) - 1 - _reuse.CHECKED  # the session is measured, and the largest rows are checked
    assert 0 < int(again.notes[0].split()[0]) <= most


def test_prices_of_another_device_are_refused(explained):
    with pytest.raises(
        ProfilerError, match="measured with threads 1, here it is 2; explain it again here, or leave --reuse out"
    ):
        _reuse.known_prices([explained], {**explained.identity, "threads": 2})


def test_known_prices_get_the_speed_of_the_moment():
    known = {name: _reuse.Known(ms, ms, ms) for name, ms in (("a", 1.0), ("b", 2.0), ("c", 4.0))}
    assert _reuse.speed_of(known, {"a": 1.5, "b": 3.0, "c": 6.0}) == pytest.approx(1.5)
    assert _reuse.speed_of(known, {}) == 1.0
    assert _reuse.to_check(known, ["a", "c", "d"]) == {"a", "c"}


def test_a_window_without_its_node_ends_where_the_node_began():
    graph, _, windows = windows_of(residual())
    for number in range(len(graph.nodes)):
        window = windows.of(number)
        assert set(window.whole.members) - set(window.rest.members) == {number}
        assert len(window.whole.ends) + window.whole.spare == len(window.rest.ends) + window.rest.spare


def test_equal_nodes_share_a_window_and_unequal_ones_do_not():
    names = ["x", *(f"t{i}" for i in range(12)), "y"]
    equal = [helper.make_node("Sigmoid", [a], [b], b) for a, b in pairwise(names)]
    graph, _, windows = windows_of(model_of(equal, shape=(1, 40)))
    keys = [windows.of(number).key for number in range(len(graph.nodes))]
    assert keys[9] == keys[10] == keys[11]
    assert keys[0] != keys[9]


def test_nodes_that_do_the_same_do_the_same_work_wherever_they_stand():
    operators = ["Sigmoid", "Relu", "Sigmoid", "Sigmoid"]
    names = ["x", "a", "b", "c", "y"]
    nodes = [helper.make_node(op, [a], [b], b) for op, (a, b) in zip(operators, pairwise(names), strict=True)]
    _, _, windows = windows_of(model_of(nodes, shape=(1, 40)))
    first, relu, third, last = (windows.of(number) for number in range(4))
    assert first.work == third.work == last.work != relu.work
    assert len({window.key for window in (first, third, last)}) == 3
    _, _, wider = windows_of(model_of(nodes, shape=(1, 41)))
    assert wider.of(0).work != first.work


def test_windows_of_other_operator_sets_and_functions_are_others():
    graph, store, windows = windows_of(residual())
    keys = {windows.of(0).key}
    graph.model.opset_import.add(domain="own", version=1)
    keys.add(Windows(graph, store).of(0).key)
    for operator in ("Relu", "Sigmoid"):
        body = helper.make_function("own", "f", ["a"], ["b"], [helper.make_node(operator, ["a"], ["b"])], [])
        del graph.model.functions[:]
        graph.model.functions.append(body)
        keys.add(Windows(graph, store).of(0).key)
    assert len(keys) == 4


def test_a_window_computes_what_the_network_computes():
    graph, store, windows = windows_of(residual())
    window = windows.of(len(graph.nodes) - 1)
    assert windows.session(window.whole, threads=1).run(1) > 0
    assert windows.session(window.rest, threads=1).run(1) > 0
    assert store.bindable(graph.nodes[-1].writes[0])


@pytest.mark.parametrize("ir_version", [3, 8])
def test_constants_that_the_file_lists_as_inputs_are_said_to_cost_time(ir_version):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1] * 4),
        helper.make_node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["y"], "norm"),
    ]
    ones = [numpy_helper.from_array(np.ones(8, np.float32), name) for name in ("scale", "shift", "mean", "var")]
    model = model_of(nodes, [weight("w", 8, 3, 3, 3), *ones], listed=True, ir_version=ir_version)
    explained = profilers.explain_model(model.SerializeToString(), seconds=SECONDS)
    assert any("BatchNormalization" in row.op for row in explained.rows) is False  # folded into the convolution
    said = [note for note in explained.notes if "lists constants, such as weights, as inputs" in note]
    assert len(said) == (0 if ir_version == 3 else 1)  # files of IR version 3 must list them


def test_files_that_list_initialisers_among_inputs():
    old = fix_shapes(residual(ir_version=3, listed=True, shape=("N", 3, 12, 12)), {})
    assert [value.name for value in old.graph.input] == ["x"]
    assert [axis.dim_value for axis in old.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 12, 12]
    assert len(executed(old).nodes) > 0


def test_open_sizes_are_named_and_can_be_given():
    model = residual(shape=("N", 3, "H", 12))
    with pytest.raises(UnsupportedGraphError, match="--shape x=1,3,"):
        fix_shapes(model, {})
    fixed = fix_shapes(model, {"x": (1, 3, 9, 12)})
    assert [axis.dim_value for axis in fixed.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 9, 12]
    with pytest.raises(UnsupportedGraphError, match="has shape"):
        fix_shapes(model, {"x": (1, 4, 9, 12)})
    with pytest.raises(UnsupportedGraphError, match="no input 'z'"):
        fix_shapes(model, {"z": (1,)})


def test_odd_files_are_refused(tmp_path):
    for content in (b"", b"nonsense", b"\x08\x08"):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match="is not an ONNX file"):
            profilers.explain_model(tmp_path / "model.onnx")


def test_a_reason_without_text_is_named_by_its_type(monkeypatch):
    def fail(*args, **options):
        raise RuntimeError

    monkeypatch.setattr("profilers._explain._values.make_session", fail)
    with pytest.raises(UnsupportedGraphError, match="cannot run the model: RuntimeError"):
        run_exposed(residual(), {}, ["y"], optimise=True, threads=1)


def test_small_networks_get_several_sessions_and_large_ones_one():
    class Ready:
        def __init__(self, seconds):
            self.seconds = seconds

        def run(self, repeats):
            return self.seconds * repeats

    copies, settings = choose_rounds({str(i): Ready(1e-5) for i in range(10)}, 20.0)
    assert copies > 1
    assert settings.max_rounds >= ROUNDS
    copies, settings = choose_rounds({str(i): Ready(1e-5) for i in range(10)}, 1e-9)
    assert (copies, settings.max_rounds) == (1, FEWEST_ROUNDS)


def test_sessions_of_a_part_widen_its_interval():
    samples = np.ones((2, 30))
    apart = np.stack([np.full(30, 0.9), np.full(30, 1.1)])
    times = times_of({"a": samples, "b": apart})
    assert times.ms == pytest.approx({"a": 1.0, "b": 1.0})
    assert times.of("a") == pytest.approx((1.0, 1.0 - BETWEEN, 1.0 + BETWEEN))
    half = np.hypot(0.1, BETWEEN)  # never narrower than what differs between two explanations
    assert times.of("b") == pytest.approx((1.0, 1.0 - half, 1.0 + half))


def branching():
    def branch(operator):
        out = helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["x"], ["inside"], operator)], operator, [], [out])

    zero = numpy_helper.from_array(np.zeros((), dtype=np.float32), "zero")
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], "sum", keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["positive"], "greater"),
        helper.make_node("If", ["positive"], ["y"], "if", then_branch=branch("Exp"), else_branch=branch("Sin")),
    ]
    return model_of(nodes, [zero], shape=(1, 30))


@pytest.mark.parametrize(("sign", "kept"), [(1, "Exp"), (-1, "Sin")])
def test_the_branch_that_is_taken_becomes_nodes(sign, kept):
    inputs = {"x": np.full((1, 30), sign, dtype=np.float32)}
    kinds = [node.op_type for node in inline_branches(branching(), inputs, threads=1).graph.node]
    assert kept in kinds
    assert "If" not in kinds


@pytest.mark.parametrize("part", ["condition", "then_branch", "else_branch"])
def test_a_choice_without_a_part_is_refused(part):
    model = branching()
    node = model.graph.node[2]
    if part == "condition":
        del node.input[:]
    else:
        node.attribute.remove(next(each for each in node.attribute if each.name == part))
    with pytest.raises(UnsupportedGraphError, match=r"node 'if' \(If\) lacks its condition or a branch"):
        inline_branches(model, {"x": np.ones((1, 30), dtype=np.float32)}, threads=1)


@pytest.mark.parametrize(
    ("element", "message"), [(99, "no type that ONNX knows"), (TensorProto.BFLOAT16, "holds bfloat16; hwnas can feed")]
)
def test_inputs_that_cannot_be_fed_are_refused(element, message):
    model = residual()
    model.graph.input[0].type.tensor_type.elem_type = element
    with pytest.raises(UnsupportedGraphError, match=message):
        draw_inputs(model, {})


def test_an_input_without_a_shape_is_refused():
    model = residual()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UnsupportedGraphError, match="input 'x' has no shape; give it: --shape x=SIZES"):
        fix_shapes(model, {})
    assert fix_shapes(model, {"x": (1, 3, 12, 12)}).graph.input[0].type.tensor_type.shape.dim[3].dim_value == 12


@pytest.mark.parametrize(("value", "kept"), [(True, "Exp"), (False, "Sin")])
def test_a_condition_may_be_an_initialiser(value, kept):
    model = branching()
    model.graph.initializer.append(numpy_helper.from_array(np.array(value), "stored"))
    model.graph.node[2].input[0] = "stored"
    inputs = {"x": np.ones((1, 30), dtype=np.float32)}
    assert kept in [node.op_type for node in inline_branches(model, inputs, threads=1).graph.node]


def test_branches_and_their_choice_are_rows():
    explanation = profilers.explain_model(branching().SerializeToString(), numbers={"x": 1.0}, seconds=SECONDS)
    assert {"branches", "session"} <= {row.node for row in explanation.rows}
    assert any(row.op == "Exp" for row in explanation.rows)


def test_tensors_of_strings_end_windows_like_others():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("Cast", ["a"], ["s"], "names", to=TensorProto.STRING),
        helper.make_node("Cast", ["s"], ["y"], "numbers", to=TensorProto.FLOAT),
    ]
    explained = profilers.explain_model(model_of(nodes, shape=(1, 4)).SerializeToString(), seconds=SECONDS)
    assert [row.op for row in explained.rows if row.op != "session"] == ["Relu", "Cast", "Cast"]


def test_sequences_several_outputs_and_indices():
    table = weight("table", 7, 5)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["g"], "gather"),
        helper.make_node("SplitToSequence", ["g"], ["q"], "split", axis=0),
        helper.make_node("ConcatFromSequence", ["q"], ["c"], "concat", axis=1),
        helper.make_node("Split", ["c"], ["l", "r"], "halves", axis=2),
        helper.make_node("Concat", ["l", "r"], ["y"], "join", axis=2),
    ]
    model = model_of(nodes, [table], shape=(1, 3), kind=TensorProto.INT64)
    nodes[3].attribute.extend([])
    model.graph.node[3].input.append("sizes")
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "sizes"))
    explanation = profilers.explain_model(model.SerializeToString(), seconds=SECONDS)
    assert {"gather", "split", "concat", "halves", "join"} <= {row.node for row in explanation.rows}


def test_intervals_come_from_the_same_rounds():
    draws = np.linspace(1.0, 2.0, 300)
    times = Times({"a": 3.0, "b": 1.0}, {}, {"a": draws + 2.0, "b": draws}, 10)
    assert times.difference("a", "b") == pytest.approx((2.0, 2.0 * (1 - BETWEEN), 2.0 * (1 + BETWEEN)))


def test_a_product_of_three_axes_keeps_its_multiplications():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "product"),
        helper.make_node("Add", ["p", "b"], ["s"], "sum"),
        helper.make_node("Relu", ["s"], ["y"], "relu"),
    ]
    model = model_of(nodes, [weight("w", 6, 5), weight("b", 5)], shape=(1, 4, 6))
    rows = {row.op: row for row in profilers.explain_model(model.SerializeToString(), seconds=SECONDS).rows}
    assert rows["Gemm"].macs == 4 * 6 * 5
    assert rows["Gemm"].fused == ("product", "sum")
    assert rows["Reshape"].macs == 0


def test_text_of_fused_operators():
    node = helper.make_node("FusedConv", ["x", "w", "b", "z"], ["y"], "n", activation="Relu")
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, [1])], [])
    assert op_text(ExecutedGraph(helper.make_model(graph)).nodes[0]) == "Conv+Add+Relu"


def test_multiplications_of_a_matrix_product():
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], [weight("w", 6, 5)], shape=(2, 6))
    assert Trace(model, executed(model)).macs(0) == 2 * 5 * 6
    assert node_macs(helper.make_node("MatMul", ["a", "b"], ["c"]), {"a": (6,), "b": (6,), "c": ()}) == 6


def test_a_convolution_in_a_chain_belongs_to_its_own_row():
    nodes = [helper.make_node("Conv", ["x", "w0"], ["a"], "first"), helper.make_node("Relu", ["a"], ["b"], "relu")]
    nodes.append(helper.make_node("Conv", ["b", "w1"], ["c"], "second"))
    nodes.append(helper.make_node("Relu", ["c"], ["y"], "last"))
    model = fix_shapes(model_of(nodes, [weight("w0", 17, 3, 1, 1), weight("w1", 16, 17, 1, 1)]), {})
    graph = executed(model)
    trace = Trace(model, graph)
    rows = [[proto.name for proto in trace.nodes_of(number)] for number in range(len(graph.nodes))]
    assert [names for names in rows if names] == [["first", "relu"], ["second", "last"]]


def test_events_lose_the_cost_of_writing_them():
    events = Events({"a": np.array([3.0, 6.0]), "b": np.array([2.0, 4.0])}, np.array([4.0, 8.0]))
    prices = events.in_network(4.0, 0.0, 0.4)  # an event costs 0.5, and the second session runs at half the speed
    assert prices["a"] == pytest.approx((2.5, 0.25), abs=1e-9)  # as unsure as the whole network is
    assert prices["b"] == pytest.approx((1.5, 0.15), abs=1e-9)


def test_one_node_is_as_unsure_as_the_network():
    assert Events({"a": np.array([3.0, 5.0])}, np.array([2.0, 2.2])).in_network(2.0, 0.1, 0.05) == {
        "a": (pytest.approx(2.0), pytest.approx(0.05))
    }


@pytest.mark.parametrize(
    ("events", "start"), [(Events({"a": np.array([3.0, 5.0])}, np.array([2.0, 0.1])), 0.1), (Events({}, np.ones(2)), 0)]
)
def test_events_say_nothing_of_networks_that_take_no_time(events, start):
    assert events.in_network(2.0, start, 0.05) == {}


def test_names_of_nodes_may_hold_anything():
    names = ('say "hello\\', "tanh")
    nodes = [
        helper.make_node(op, [x], [y], name) for op, x, y, name in zip(("Relu", "Tanh"), "xa", "ay", names, strict=True)
    ]
    model = model_of(nodes, shape=(1, 64)).SerializeToString()
    assert {row.node for row in profilers.explain_model(model, seconds=SECONDS).rows} >= set(names)


def test_the_surer_of_two_measurements_counts_more():
    windows, events = {"a": (1.0, 0.3), "b": (1.0, 0.01)}, {"a": (1.1, 0.1)}
    prices = combined(windows, events)
    assert prices["a"][0] == pytest.approx(1.09)
    assert prices["a"][1] == pytest.approx(np.sqrt(1 / (1 / 0.3**2 + 1 / 0.1**2)))
    assert prices["b"] == windows["b"]


def test_events_that_contradict_exact_windows_hardly_count():
    windows = {str(n): (1.0, 0.001) for n in range(9)}
    events = {str(n): (1.0 + (0.5 if n % 2 else -0.5), 0.001) for n in range(9)}
    assert all(abs(price - 1.0) < 0.01 for price, _ in combined(windows, events).values())


def test_events_count_where_windows_find_in_the_caches_what_the_network_does_not():
    signs = [1 if n % 2 else -1 for n in range(12)]
    windows = {f"small {n}": (0.005, 0.0001) for n in range(12)} | {f"large {n}": (0.1, 0.0005) for n in range(12)}
    events = {f"small {n}": (0.005 + 0.001 * sign, 0.0001) for n, sign in enumerate(signs)}
    events |= {f"large {n}": (0.112 + 0.0005 * sign, 0.001) for n, sign in enumerate(signs)}
    prices = combined(windows, events)
    for n in range(12):
        assert prices[f"small {n}"][0] == pytest.approx(0.005, abs=0.0001)
        assert prices[f"large {n}"][0] == pytest.approx(0.112, abs=0.0015)


def test_small_nodes_cost_what_windows_say_also_where_all_events_are_longer():
    windows = {f"small {n}": (0.005, 1e-5) for n in range(12)} | {f"large {n}": (0.1, 1e-5) for n in range(12)}
    prices = combined(windows, {key: (1.2 * price, 1e-5) for key, (price, _) in windows.items()})
    assert all(prices[f"small {n}"][0] == pytest.approx(0.005, abs=0.0001) for n in range(12))
    assert all(prices[f"large {n}"][0] == pytest.approx(0.12, abs=0.001) for n in range(12))


def test_windows_that_are_longer_than_events_have_no_error_of_caches():
    windows = {f"small {n}": (0.005, 1e-5) for n in range(12)} | {f"large {n}": (0.1, 1e-4) for n in range(12)}
    events = {key: (price if key.startswith("small") else 0.08, 0.01) for key, (price, _) in windows.items()}
    prices = combined(windows, events)
    assert all(prices[f"large {n}"][0] == pytest.approx(0.1, abs=0.001) for n in range(12))


def test_windows_are_off_also_where_their_noise_hides_the_error_of_events():
    windows = {f"small {n}": (0.005, 0.01) for n in range(12)} | {f"large {n}": (0.1, 0.0005) for n in range(12)}
    events = {f"small {n}": (0.005, 0.0001) for n in range(12)} | {f"large {n}": (0.12, 0.001) for n in range(12)}
    prices = combined(windows, events)
    assert all(prices[f"large {n}"][0] == pytest.approx(0.12, abs=0.001) for n in range(12))


def test_an_interval_grows_where_the_two_contradict_each_other():
    windows = {str(n): (0.1, 0.001) for n in range(11)}
    events = {str(n): (0.1 if n else 0.2, 0.001) for n in range(11)}
    prices = combined(windows, events)
    assert prices["1"] == pytest.approx((0.1, 0.001 / np.sqrt(2)))
    price, deviation = prices["0"]
    assert price - 1.645 * deviation <= 0.1001
    assert price + 1.645 * deviation >= 0.1999


def test_prices_of_the_same_work_that_hardly_differ_are_one_price():
    prices = {
        "a": (1.000, 0.001),
        "b": (1.006, 0.002),
        "c": (1.004, 0.001),
        "unsure": (1.05, 0.06),
        "far": (1.05, 0.01),
    }
    prices |= {"other": (1.001, 0.001), "once": (1.0, 0.001), "twice": (1.1, 0.001)}
    works = {"other": "alone", "once": "apart", "twice": "apart"}
    result = shared(prices, {key: works.get(key, "w") for key in prices})
    weights = np.array([1, 1 / 4, 1, 1 / 3600])
    mean = float(np.average([1.000, 1.006, 1.004, 1.05], weights=weights))
    for key in ("a", "b", "c", "unsure"):
        assert result[key] == pytest.approx((mean, prices[key][1]))
        assert result[key][0] == result["a"][0]  # one price exactly: no order
    assert {key: result[key] for key in ("far", *works)} == {key: prices[key] for key in ("far", *works)}


def test_no_events_and_no_windows_are_no_error():
    assert combined({"a": (1.0, 0.1)}, {}) == {"a": (1.0, 0.1)}
    assert combined({}, {}) == {}


def test_steps_of_an_activation_and_of_a_shuffle_are_named():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv"),
        helper.make_node("Softplus", ["a"], ["b"], "softplus"),
        helper.make_node("Tanh", ["b"], ["c"], "tanh"),
        helper.make_node("Mul", ["a", "c"], ["d"], "mul"),
        helper.make_node("Reshape", ["d", "s"], ["e"], "split"),
        helper.make_node("Transpose", ["e"], ["y"], "shuffle", perm=[0, 2, 1, 3, 4]),
    ]
    shape = numpy_helper.from_array(np.array([1, 4, 4, 12, 12]), "s")
    explanation = profilers.explain_model(
        model_of(nodes, [weight("w", 16, 3, 1, 1), shape]).SerializeToString(), seconds=SECONDS
    )
    for name in ("softplus", "tanh", "mul"):
        assert "unfused" in row_with(explanation, name).reasons
    for name in ("split", "shuffle"):
        assert "layout" in row_with(explanation, name).reasons


def test_a_promise_is_wider_than_its_rows(explained):
    row = max(explained.rows, key=lambda row: row.ms)
    gain, low, high = profilers.promised_gain(explained, [row.node])
    assert gain == pytest.approx(row.ms)
    assert low < row.low_ms
    assert high > row.high_ms
    assert profilers.promised_gain(explained, [row.node], [row.node])[0] == pytest.approx(0.0)
    others = [other for other in explained.rows if other.node != row.node][:2]
    names = [other.node for other in others]
    replaced = profilers.promised_gain(explained, names, [row.node])[0]
    assert replaced == pytest.approx(sum(other.ms for other in others) - 2 * row.ms)


def test_promises_know_their_rows(explained):
    for names in (["no such"], "conv"):
        with pytest.raises(ProfilerError, match=r"no such|into a list"):
            profilers.promised_gain(explained, names)
        with pytest.raises(ProfilerError, match=r"no such|into a list"):
            profilers.promised_gain(explained, [explained.rows[-1].node], names)


def test_nodes_are_profiled_on_the_threads_of_the_process(tmp_path):
    (tmp_path / "model.onnx").write_bytes(residual().SerializeToString())
    code = (
        "import numpy as np, profilers; x = {'x': np.ones((1, 3, 12, 12), np.float32)}; "
        "profilers.make_session('model.onnx', threads=2, measuring=True); "
        "print(len(profilers.profile_nodes(open('model.onnx', 'rb').read(), x, threads=2, runs=2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 3


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda told: told["rows"][0].update(ms="x"), "this is a damaged explanation: TypeError: ms is 'x'"),
        (lambda told: told.update(total_ms=True), "this is a damaged explanation: TypeError: total_ms is 'True'"),
        (lambda told: told.update(noise_floor=float("nan")), "TypeError: noise_floor is 'nan'"),
        (lambda told: told["rows"][0].update(node=3), "TypeError: node is '3'"),
    ],
)
def test_damaged_explanations_are_one_line(change, line):
    row = ExplainedNode("a", "Conv", "", (), ((1, 2),), (1, 2), 1.0, 0.9, 1.1, 5, 1, 1, 2)
    told = Explanation("m", "0", {}, 1.0, 0.9, 1.1, (row,), 0.0, 0.01, 5.0).as_dict()
    assert Explanation.from_dict(json.loads(json.dumps(told))).rows == (row,)
    change(told := json.loads(json.dumps(told)))
    with pytest.raises(ProfilerError) as caught:
        Explanation.from_dict(told)
    assert line in str(caught.value)
