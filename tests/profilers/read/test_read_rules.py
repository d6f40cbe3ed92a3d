"""Each rule of the reader: which op it writes, and that it computes what the file computes."""

import numpy as np
import pytest
import torch
from graphs import File, checked, kinds
from onnx import TensorProto, helper

from latency_tables import INPUT
from profilers import GraphModule, ModelFileError, OperatorError, read_onnx

S = (1, 8, 7, 9)


def only_op(file, output):
    read = checked(file.model(output))
    assert len(read.graph.nodes) == 1, kinds(read)
    assert not read.generic
    return read.graph.nodes[0].op


def conv(file, x, channels=8, out=6, kernel=(3, 3), bias=False, **attributes):
    groups = attributes.get("group", 1)
    weight = file.draw(out, channels // groups, *kernel)
    return file.add("Conv", x, weight, *([file.draw(out)] if bias else []), **attributes)


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        ({"pads": [1, 1, 1, 1]}, "8x7x9 -> 6x7x9 act=none groups=1 kernel=3 norm=none stride=1"),
        ({"pads": [1, 1, 1, 1], "strides": [2, 1], "bias": True}, "groups=1 kernel=3 norm=bias stride=2x1"),
        ({"pads": [2, 2, 2, 2], "dilations": [2, 2]}, "6x7x9 act=none dilation=2 groups=1 kernel=3 norm=none stride=1"),
        ({"group": 2, "pads": [1, 1, 1, 1]}, "groups=2"),
        ({}, "6x5x7 act=none groups=1 kernel=3 norm=none pads=0 stride=1"),
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, "6x3x4 act=none groups=1 kernel=3 norm=none pads=0x0x1x1 stride=2"),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, "6x4x5 act=none groups=1 kernel=3 norm=none stride=2"),
        ({"auto_pad": "SAME_LOWER", "kernel": (2, 2)}, "groups=1 kernel=2 norm=none pads=1x1x0x0 stride=1"),
        ({"auto_pad": "VALID", "kernel": (4, 4), "strides": [4, 4]}, "kernel=4 norm=none pads=0 stride=4"),
    ],
)  # fmt: skip
def test_convolutions_keep_their_window(attributes, key):
    file = File(*S)
    assert key in only_op(file, conv(file, "x", **attributes)).key


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3, 1e-8])
@pytest.mark.parametrize("bias", [False, True])
def test_a_batch_norm_behind_a_convolution_becomes_its_norm(epsilon, bias):
    file = File(*S)
    y = conv(file, "x", bias=bias)
    op = only_op(file, file.add("BatchNormalization", y, *file.statistics(6), epsilon=epsilon))
    assert op.word("norm") == "batch"


def test_factors_and_shifts_of_channels_join_the_layer_before_them():
    file = File(*S)
    y = file.add("BatchNormalization", conv(file, "x"), *file.statistics(6))
    y = file.add("Add", file.add("Mul", y, file.draw(6, 1, 1)), file.draw(1, 6, 1, 1))
    assert only_op(file, y).word("norm") == "batch"
    file = File(*S)
    y = file.add("Sub", file.draw(6, 1, 1), file.add("Div", conv(file, "x"), np.float32(3)))
    assert only_op(file, y).word("norm") == "bias"


def test_a_norm_of_a_tensor_that_others_read_stays_apart():
    file = File(*S)
    y = conv(file, "x")
    y = file.add("Add", file.add("BatchNormalization", y, *file.statistics(6)), y)
    assert kinds(checked(file.model(y))) == ["conv", "norm", "add"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_linear_layers(transposed):
    file = File(1, 12)
    weight = file.draw(5, 12) if transposed else file.draw(12, 5)
    op = only_op(file, file.add("Gemm", "x", weight, file.draw(5), transB=transposed, alpha=0.5, beta=2.0))
    assert op.key == "linear float32 12 -> 5 act=none"
    file = File(1, 12)
    assert only_op(file, file.add("Add", file.draw(5), file.add("MatMul", "x", file.draw(12, 5)))).kind == "linear"


@pytest.mark.parametrize(
    ("op_type", "attributes", "function"),
    [
        ("Relu", {}, "relu"), ("HardSwish", {}, "hswish"), ("Sigmoid", {}, "sigmoid"), ("Tanh", {}, "tanh"),
        ("HardSigmoid", {"alpha": 1 / 6}, "hsigmoid"),
    ],
)  # fmt: skip
def test_activations(op_type, attributes, function):
    file = File(*S)
    assert only_op(file, file.add(op_type, "x", **attributes)).word("function") == function


def test_activations_that_are_written_as_several_nodes():
    file = File(*S)
    assert only_op(file, file.add("Clip", "x", np.float32(0), np.float32(6))).word("function") == "relu6"
    for gate, function in (("HardSigmoid", "hswish"), ("Sigmoid", "silu")):
        file = File(*S)
        y = file.add(gate, "x", **({"alpha": 1 / 6} if gate == "HardSigmoid" else {}))
        assert only_op(file, file.add("Mul", y, "x")).word("function") == function


@pytest.mark.parametrize(
    ("op_type", "attributes", "key"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}, "8x4x5 kernel=3 mode=max padding=1"),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, "end_padding=1 kernel=2 mode=max"),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1] * 4}, "8x7x9 kernel=3 mode=average padding=1 stride=1"),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}, "count_padding=1"),
        ("GlobalAveragePool", {}, "global_pool float32 8x7x9 -> 8x1x1"),
        ("ReduceMean", {"axes": [-1, 2]}, "global_pool float32 8x7x9 -> 8x1x1"),
    ],
)  # fmt: skip
def test_pooling(op_type, attributes, key):
    file = File(*S)
    assert key in only_op(file, file.add(op_type, "x", **attributes)).key


def test_sums_products_concats_and_slices():
    file = File(*S)
    a, b = file.add("Relu", "x"), file.add("Sigmoid", "x")
    gate = file.add("Sigmoid", file.add("GlobalAveragePool", a))
    y = file.add("Concat", file.add("Sum", a, b), file.add("Mul", a, b), file.add("Mul", gate, b), axis=-3)
    read = checked(file.model(file.add("Identity", file.add("Dropout", y))))
    assert sorted(kinds(read)) == sorted(["activation"] * 3 + ["global_pool", "add", "mul", "scale", "concat"])


def test_a_channel_shuffle_is_reshape_transpose_reshape():
    file = File(*S)
    y = file.add("Transpose", file.add("Reshape", "x", np.array([1, 2, 4, 7, 9])), perm=[0, 2, 1, 3, 4])
    assert kinds(checked(file.model(file.add("Reshape", y, np.array([0, -1, 7, 9]))))) == [
        "reshape",
        "transpose",
        "reshape",
    ]


def test_shapes_that_the_file_computes_are_constant():
    file = File(*S)
    first = file.add("Gather", file.add("Shape", "x"), np.array(0))
    shape = file.add("Concat", file.add("Unsqueeze", first, np.array([0])), np.array([-1]), axis=0)
    assert kinds(checked(file.model(file.add("Reshape", "x", shape)))) == ["reshape"]


def test_what_no_operator_computes_is_generic():
    file = File(*S)
    y = file.add("LRN", file.add("Relu", "x"), size=3)
    read = checked(file.model(file.add("Mul", y, file.draw(1, 8, 7, 9))))
    assert kinds(read) == ["activation", "onnx", "onnx"]
    assert [entry[:2] for entry in read.generic] == [("LRN_1", "LRN"), ("Mul_2", "Mul")]
    assert [value.shape for value in read.weights.values()] == [(1, 8, 7, 9)]
    with pytest.raises(OperatorError, match="node LRN_1: no operator computes LRN"):
        GraphModule(read.graph, read.weights)(torch.zeros(1, 8, 7, 9))


def test_tensors_that_a_graph_cannot_hold_join_the_nodes_around_them():
    file = File(*S)
    moved = file.add("Transpose", "x", perm=[1, 0, 2, 3])
    index = file.add("ArgMax", file.add("Relu", "x"), axis=1)
    y = file.add("Transpose", file.add("Exp", moved), perm=[1, 0, 2, 3])
    y = file.add("Add", y, file.add("Cast", index, to=TensorProto.FLOAT))
    read = checked(file.model(y))
    assert sorted(entry[1] for entry in read.generic) == ["Add", "ArgMax.Cast", "Transpose.Exp.Transpose"]


def test_results_that_nothing_reads_may_have_names():
    file = File(2, 6, 4)
    sequence = file.add("Transpose", "x", perm=[1, 0, 2])
    weights = [file.draw(1, 4 * 5, size) for size in (4, 5)]
    _, last, _ = file.add("LSTM", sequence, *weights, outputs=3, hidden_size=5)
    read = checked(file.model(file.add("Squeeze", last, np.array([0]))))
    assert [entry[1] for entry in read.generic] == ["Transpose.LSTM.Squeeze"]
    (node,) = read.graph.nodes
    assert "macs" not in dict(node.op.attributes)  # part of its key


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("written", [[1], [0, 1]])
def test_results_that_are_left_out_have_no_name(opset, written):
    file = File(2, 6, 4, opset=opset)
    sequence = file.add("Transpose", "x", perm=[1, 0, 2])
    weights = [file.draw(1, 4 * 5, size) for size in (4, 5)]
    results = file.add("LSTM", sequence, *weights, outputs=3, hidden_size=5)
    file.nodes[-1].output[:] = [name if place in written else "" for place, name in enumerate(results)]
    axes = ([np.array([0])], {}) if opset > 12 else ([], {"axes": [0]})
    checked(file.model(file.add("Squeeze", results[1], *axes[0], **axes[1])))


def test_a_group_norm_keeps_its_shape():
    file = File(*S, opset=21)
    y = file.add("GroupNormalization", "x", file.draw(8), file.draw(8), num_groups=2)
    assert checked(file.model(y)).graph.shape_of


def test_several_results_of_one_node_are_taken_apart():
    file = File(*S)
    values, _ = file.add("TopK", "x", np.array([3]), outputs=2, axis=1)
    first, second = file.add("Split", values, np.array([1, 2]), outputs=2, axis=1)
    assert checked(file.model(first, second)).graph.shape_of  # both outputs agree


def test_old_opsets_and_listed_initialisers():
    file = File(*S, opset=9)
    y = file.add("LRN", conv(file, "x", out=8, pads=[1] * 4), size=3)
    checked(file.model(file.add("Softmax", file.add("Flatten", y)), ir_version=3))
    file = File(*S, opset=11)
    read = checked(file.model(file.add("Softmax", "x", axis=1)))  # over all axes behind the batch
    assert read.graph.nodes[0].op.kind == "onnx"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ints", r"node 'ArgMax_1' \(ArgMax\): its output .* \(int64, .*32-bit floats"),
        ("odd", "NonZero.* is not known before it runs"),
    ],
)
def test_what_cannot_be_read_is_named(output, message):
    file = File(*S)
    relu = file.add("Relu", "x")
    y = file.add("ArgMax", relu, axis=1) if output == "ints" else file.add("NonZero", relu)
    with pytest.raises(ModelFileError, match=message):
        read_onnx(file.model(y, elements=TensorProto.INT64).SerializeToString())


def test_open_axes():
    file = File("n", 3, "h", 8)
    content = file.model(file.add("Relu", "x")).SerializeToString()
    with pytest.raises(
        ModelFileError, match=r"^ONNX model: input 'x' has open sizes \(axis 2\); fix them with python -m "
    ):
        read_onnx(content)
    assert read_onnx(content, batch=2, shapes={"x": (3, 4, 8)}).graph.input_shape == (3, 4, 8)


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("op_type", ["Sigmoid", "Relu", "Tanh", "Softplus", "HardSigmoid", "LeakyRelu"])
def test_functions_of_parameters_are_constant(op_type, opset):
    file = File(1, 8, 5, 5, opset=opset)  # the parameter's first extent is that of the batch
    y = file.add("Mul", "x", file.add(op_type, file.draw(1, 8, 1, 1)))
    assert kinds(checked(file.model(y))) == ["norm"]


def test_products_of_constants_join_their_reader():
    file = File(1, 3)
    weights = file.add("MatMul", file.draw(1, 3), file.draw(3, 3))
    read = checked(file.model(file.add("Mul", "x", file.add("Softmax", weights, axis=1))))
    assert len(read.graph.nodes) == 1


def test_nodes_along_the_batch_keep_its_size():
    for axis in (0, -2):
        file = File(1, 5)
        assert checked(file.model(file.add("Softmax", "x", axis=axis))).graph.nodes[0].op.integer("batch") == 1
    file = File(1, 5)
    read = checked(file.model(file.add("CumSum", file.add("Softmax", "x", axis=-1), np.array(1))))
    assert all("batch" not in node.op.key for node in read.graph.nodes)


def test_a_recurrent_node_with_a_state_of_its_own_keeps_the_batch_size():
    file = File(1, 7, 4)
    state = np.zeros((1, 1, 6), np.float32)
    weights = file.draw(1, 18, 4), file.draw(1, 18, 6), file.draw(1, 36)
    y = file.add("Transpose", "x", perm=[1, 0, 2])
    y, _ = file.add("GRU", y, *weights, "", state, outputs=2, hidden_size=6)
    y = file.add("Squeeze", file.add("Transpose", y, perm=[2, 0, 1, 3]), np.array([2]))
    (op,) = [node.op for node in checked(file.model(y)).graph.nodes if node.op.kind == "onnx"]
    assert op.integer("batch") == 1


@pytest.mark.parametrize(("kernel", "pad", "size"), [(1, 0, 6), (2, 1, 5), (3, 1, 6)])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_no_window_begins_behind_the_input(op_type, kernel, pad, size):
    file = File(1, 2, size, size)
    window = {"kernel_shape": [kernel] * 2, "strides": [2, 2], "pads": [pad] * 4, "ceil_mode": 1}
    read = checked(file.model(file.add(op_type, "x", **window)))
    assert read.graph.output_shape == (2, *((size + 2 * pad - kernel + 1) // 2 + (kernel == 3),) * 2)


def test_an_output_may_be_called_like_the_input_of_graphs():
    file = File(1, 4)
    file.nodes.append(helper.make_node("Relu", ["x"], [INPUT]))
    built = read_onnx(file.model(INPUT).SerializeToString()).build()
    assert [value.name for value in (*built.graph.input, *built.graph.output)] == [INPUT, f"{INPUT}_output"]


def test_inputs_of_other_types_and_own_functions_are_named():
    file = File(1, 4)
    file.inputs.append(("z", TensorProto.INT64, (1,)))
    relu = file.add("Relu", "x")
    with pytest.raises(ModelFileError, match="nothing reads the input 'z'"):
        read_onnx(file.model(relu).SerializeToString())
    file = File(1, 4)
    file.inputs = [("x", TensorProto.FLOAT16, (1, 4))]
    with pytest.raises(ModelFileError, match=r"the input 'x' must hold 32-bit floats .*, got float16 \(1, 4\)"):
        read_onnx(file.model(file.add("Relu", "x"), elements=TensorProto.FLOAT16).SerializeToString())
    file = File(1, 4)
    file.nodes.append(helper.make_node("Act", ["x"], ["y"], domain="my"))
    with pytest.raises(ModelFileError, match=r"not those of 'my'; if it is a function in the file.*inline_local_funct"):
        read_onnx(file.model("y").SerializeToString())
