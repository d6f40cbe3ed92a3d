"""Nodes whose meaning depends on the opset, on a constant, or on whether anybody reads them."""

import numpy as np
import onnx
import pytest
from graphs import File, checked, kinds
from onnx import TensorProto, helper

from profilers import ModelFileError, read_onnx

S = (1, 8, 6, 10)
f = np.float32


@pytest.mark.parametrize("steep", [2, 3.9, 4, 5, 10, 100, 1000])
@pytest.mark.parametrize("bound", [None, 6])
def test_a_gate_that_is_steep_near_zero_is_no_relu(steep, bound):
    file = File(*S)
    y = file.add("Mul", "x", file.add("HardSigmoid", "x", alpha=float(steep), beta=0.0))
    checked(file.model(y if bound is None else file.add("Min", y, f(bound))))


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [0, 1, -2, None])
def test_a_softmax_of_constants_means_what_its_opset_says(op_type, opset, axis):
    file = File(*S, opset=opset)
    given = {} if axis is None else {"axis": axis}
    weight = file.add(op_type, file.draw(4, 8, 3, 3), **given)
    checked(file.model(file.add("Conv", "x", weight)))


NOTHING = {
    "cast": lambda file, x: file.add("Cast", x, to=TensorProto.FLOAT),
    "pad": lambda file, x: file.add("Pad", x, np.zeros(8, np.int64)),
    "pad, attribute": lambda file, x: file.add("Pad", x, pads=[0] * 8),
    "clip": lambda file, x: file.add("Clip", x),
    "clip without ends": lambda file, x: file.add("Clip", x, "", ""),
    "expand": lambda file, x: file.add("Expand", x, np.array([1, 4, 6, 10])),
    "tile": lambda file, x: file.add("Tile", x, np.ones(4, np.int64)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nodes_that_do_nothing_are_left_out(name):
    file = File(*S, opset=10 if "attribute" in name else 17)
    x = file.add("Conv", "x", file.draw(4, 8, 1, 1))
    read = checked(file.model(file.add("Relu", NOTHING[name](file, x))))
    assert kinds(read) == ["conv", "activation"]
    assert not read.generic


@pytest.mark.parametrize("beside", [False, True])
def test_a_factor_behind_a_node_that_does_nothing_belongs_to_the_layer_that_it_alone_reads(beside):
    file = File(*S)
    layer = file.add("Conv", "x", file.draw(4, 8, 1, 1), file.draw(4))
    y = file.add("Mul", file.add("Identity", layer), file.draw(1, 4, 1, 1))
    read = checked(file.model(file.add("Add", y, layer) if beside else file.add("Relu", y)))
    assert kinds(read) == (["conv", "norm", "add"] if beside else ["conv", "activation"])


def repeated(file, x="x"):
    """One number a channel, repeated over the places of a map: ``y.expand_as(x)``."""
    return file.add("Expand", file.add("GlobalAveragePool", x), np.array(S))


@pytest.mark.parametrize("first", [True, False])
def test_factors_that_are_repeated_over_a_map_scale_its_channels(first):
    file = File(*S)
    factors = repeated(file)
    read = checked(file.model(file.add("Mul", *((factors, "x") if first else ("x", factors)))))
    assert kinds(read) == ["global_pool", "scale"]
    assert not read.generic


REPEATED = {
    "squared": lambda file: file.add("Mul", (e := repeated(file)), e),
    "two of them": lambda file: file.add("Mul", repeated(file), repeated(file, file.add("Relu", "x"))),
    "with a constant": lambda file: file.add("Mul", repeated(file), file.draw(*S)),
    "in a sum": lambda file: file.add("Add", "x", repeated(file)),
    "and read beside": lambda file: file.add("Add", file.add("Mul", "x", (e := repeated(file))), e),
    "at the end": lambda file: repeated(file),
}


@pytest.mark.parametrize("name", REPEATED)
def test_numbers_that_are_repeated_for_anything_else_keep_their_meaning(name):
    file = File(*S)
    checked(file.model(REPEATED[name](file)))


def test_a_padding_that_moves_the_values_is_not_left_out():
    file = File(*S)
    read = checked(file.model(file.add("Pad", "x", np.array([0, 0, 1, 0, 0, 0, -1, 0]))))
    assert len(read.graph.nodes) == 1


def unread_nodes():
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    flag = helper.make_node("Constant", [], ["flag"], value=onnx.numpy_helper.from_array(np.array(True)))
    return {
        "If": [flag, helper.make_node("If", ["flag"], ["d"], then_branch=branch, else_branch=branch)],
        "of unknown size": [helper.make_node("NonZero", ["x"], ["d"]), helper.make_node("Transpose", ["d"], ["e"])],
        "of another domain": [helper.make_node("Gelu", ["x"], ["d"], domain="com.microsoft")],
        "text": [helper.make_node("Constant", [], ["d"], value_string="text")],
    }


@pytest.mark.parametrize("name", ["If", "of unknown size", "of another domain", "text"])
def test_what_reaches_no_output_may_be_anything(name):
    file = File(*S)
    y = file.add("Relu", "x")
    file.nodes += unread_nodes()[name]
    model = file.model(y)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert kinds(checked(model)) == ["activation"]


def test_indices_of_a_pooling_that_nobody_reads_do_not_matter():
    file = File(*S)
    y, _ = file.add("MaxPool", "x", outputs=2, kernel_shape=[2, 2], strides=[2, 2])
    assert kinds(checked(file.model(y))) == ["pool"]


@pytest.mark.parametrize("scale", [0.4, 0.5, 0.6, 0.75, 1 / 3, 1.5, 2.3])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_the_first_resize_rounds_as_onnx_runtime_does(scale, mode):
    file = File(*S, opset=10)
    checked(file.model(file.add("Resize", "x", f([1, 1, scale, scale]), mode=mode)))


def test_a_first_resize_that_no_later_one_computes_is_refused():
    file = File(*S, opset=10)
    model = file.model(file.add("Resize", "x", f([1, 1, 0.6, 1.5]), mode="nearest"))
    with pytest.raises(ModelFileError, match="not both below and above 1"):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize("opset", [8, 11, 13])
@pytest.mark.parametrize("axis", [None, 1, 2, 3, -1])
def test_a_hardmax_is_read_rightly_or_refused(opset, axis):
    file = File(*S, opset=opset)
    if axis == -1 and opset < 11:
        pytest.skip("axes counted from the end came with opset 11")
    model = file.model(file.add("Hardmax", "x", **({} if axis is None else {"axis": axis})))
    if opset == 13 or axis in (-1, 3):
        checked(model)
    else:
        with pytest.raises(ModelFileError, match="along the last axis alone before opset 13"):
            read_onnx(model.SerializeToString())


@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize("axes", [None, [2, 3]])
def test_a_normalisation_without_a_rule_of_shapes_is_read(opset, axes):
    file = File(2, 4, 6, 5, opset=opset)
    given = {} if axes is None else {"axes": axes}
    read = checked(file.model(file.add("MeanVarianceNormalization", file.add("Relu", "x"), **given)))
    fixed = [dict(node.op.attributes).get("batch") for node in read.graph.nodes if node.op.kind == "onnx"]
    assert fixed == [2 if axes is None else None]  # without axes it goes over the batch, too


def test_group_norms_of_the_first_form_are_read():
    file = File(2, 4, 6, 5, opset=18)
    groups = file.draw(2), file.draw(2)
    model = file.model(file.add("GroupNormalization", "x", *groups, num_groups=2))
    assert kinds(read_onnx(model.SerializeToString())) == ["onnx"]
