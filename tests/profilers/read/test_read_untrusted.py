"""Files that nobody vouches for: one line each, nothing read outside of the model's folder, bounded memory."""

import os
import random
import re
from hashlib import sha256

import numpy as np
import onnx
import pytest
from graphs import File, checked
from onnx import TensorProto, helper

from profilers import ModelFileError, OperatorError, build_onnx, load_onnx, read_onnx, whole_model
from profilers._read import _fold
from profilers._read._file import load_with_digest
from profilers._read._translate import RULES


def network():
    file = File(1, 4, 6, 6)
    y = file.add("BatchNormalization", file.add("Conv", "x", file.draw(4, 4, 3, 3), pads=[1] * 4), *file.statistics(4))
    y = file.add("LRN", file.add("Add", file.add("Relu", y), "x"), size=3)
    y = file.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = file.add("Reshape", file.add("Transpose", y, perm=[0, 2, 3, 1]), np.array([0, -1]))
    return file.model(file.add("Softmax", file.add("Gemm", y, file.draw(36, 5), file.draw(5))))


def refusal(content):
    """Return why a file cannot be read; None where it can."""
    try:
        read_onnx(content)
    except ModelFileError as error:
        return str(error)
    return None


def test_mutated_files_are_read_or_refused_in_one_line():
    content, rng, refused = network().SerializeToString(), random.Random(0), []
    for number in range(100):
        changed = bytearray(content)
        if number % 4 == 3:
            del changed[rng.randrange(len(changed)) :]
        for _ in range(rng.randrange(1, 6) if changed else 0):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        refused.append(refusal(bytes(changed)))
    refused = [line for line in refused if line is not None]
    assert len(refused) > 20
    assert all("\n" not in line and len(line) < 600 for line in refused)


def external(model, **entries):
    (tensor,) = [tensor for tensor in model.graph.initializer if list(tensor.dims) == [36, 5]]
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return content


def test_external_data_are_read_from_beside_the_file(tmp_path):
    model = network()
    expected = read_onnx(model.SerializeToString()).weights
    content = external(model, location="weights.bin", offset=8, length=720)
    (tmp_path / "weights.bin").write_bytes(bytes(8) + content)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    for name, value in read_onnx(tmp_path / "m.onnx").weights.items():
        np.testing.assert_array_equal(value, expected[name])
    with pytest.raises(ModelFileError, match="save the model as one file"):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../secret.bin"}, "outside of the model's folder"),
        ({"location": "sub/../../secret.bin"}, "outside of the model's folder"),
        ({"location": "..\\secret.bin"}, "outside of the model's folder"),
        ({"location": "link.bin"}, "outside of the model's folder"),
        ({"location": "/etc/passwd"}, "outside of the model's folder"),
        ({"location": ""}, "outside of the model's folder"),
        ({"location": "absent.bin"}, "there is no file 'absent.bin'"),
        ({"location": "pipe"}, "there is no file 'pipe'"),
        ({"location": "w.bin", "offset": 1}, "ends before its 720 bytes at 1"),
        ({"location": "w.bin", "offset": -1}, "offset must be a number of bytes, got '-1'"),
        ({"location": "w.bin", "length": 10**12}, "its shape needs 720 bytes, the file states 1000000000000"),
    ],
)
def test_external_data_elsewhere_are_refused(tmp_path, entries, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (tmp_path / "secret.bin", folder / "w.bin"):
        path.write_bytes(bytes(720))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    os.mkfifo(folder / "pipe")
    model = network()
    external(model, **entries)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    for read in (read_onnx, load_onnx):
        with pytest.raises(ModelFileError, match=message):
            read(folder / "m.onnx")


def test_a_loaded_model_holds_its_external_data(tmp_path):
    model = network()
    expected = model.SerializeToString()
    (tmp_path / "w.bin").write_bytes(external(model, location="w.bin"))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert load_onnx(path).SerializeToString() == expected
    size = path.stat().st_size + 720
    load_onnx(path, max_bytes=size)
    with pytest.raises(ModelFileError, match=f"the model is larger than {size - 1} bytes"):
        load_onnx(path, max_bytes=size - 1)


def test_the_digest_is_that_of_the_model_in_one_piece(tmp_path):
    model, path, digests = network(), tmp_path / "m.onnx", set()
    path.write_bytes(model.SerializeToString())
    assert load_with_digest(path)[1] == sha256(path.read_bytes()).hexdigest()
    content = external(model, location="w.bin")
    path.write_bytes(model.SerializeToString())
    for data in (content, bytes(720)):
        (tmp_path / "w.bin").write_bytes(data)
        digests.add(load_with_digest(path)[1])
        assert sha256(whole_model(path)).hexdigest() in digests
    assert len(digests) == 2


def test_external_data_of_attributes_and_subgraphs_is_seen(tmp_path):
    model = network()
    tensor = TensorProto(name="t", dims=[1], data_type=1, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="outside of the model's folder"):
        load_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x0a\xff", bytes(200)])
def test_what_is_no_onnx_file_is_one_line(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"m\.onnx: it is not an ONNX file"):
        load_onnx(tmp_path / "m.onnx")


def refused(model, message, **options):
    content = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ModelFileError, match=message) as caught:
        read_onnx(content, **options)
    assert "\n" not in str(caught.value)


def test_what_a_file_declares_is_not_allocated():
    model = network()
    model.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    refused(model, "a tensor says that it has")
    file = File(1, 4)
    refused(file.model(file.add("Expand", "x", np.array([1 << 20, 1 << 18, 4]))), "empty or too large")
    file = File(1, 4)
    y = file.add("Expand", np.zeros(1, np.float32), np.array([1 << 20, 1 << 20]))
    refused(file.model(file.add("Add", "x", y)), "it computes a constant of")
    refused(network(), "the file has .* bytes; hwnas reads at most 100", max_bytes=100)


@pytest.mark.parametrize(
    ("op_type", "constants", "attributes", "message"),
    [
        ("Gather", [np.zeros((8, 4096), np.float32), np.zeros(4096, np.int64)], {}, "a constant of 16777216"),
        ("Gather", [np.zeros((4096, 8), np.float32), np.zeros(4096, np.int64)], {"axis": -1}, "a constant of 16777216"),
        ("GatherND", [np.zeros((8, 4096), np.float32), np.zeros((4096, 1), np.int64)], {}, "a constant of 16777216"),
        ("Tile", [np.zeros(4096, np.float32), np.array([4096])], {}, "a constant of 16777216"),
        ("Expand", [np.zeros((1, 4096), np.float32), np.array([4096, 1])], {}, "a constant of 16777216"),
        ("Range", [np.array(0), np.array(1 << 24), np.array(1)], {}, "a constant of 16777216"),
        ("ConstantOfShape", [np.array([1 << 20, 1 << 12])], {}, "malformed or too large"),
        ("Split", [np.zeros(4, np.float32)], {"num_outputs": 1 << 40}, "num_outputs is more than its 1 outputs"),
    ],
)  # fmt: skip
def test_what_a_constant_node_would_make_is_counted_first(monkeypatch, op_type, constants, attributes, message):
    def never(*_):
        raise AssertionError("computed")

    monkeypatch.setattr(_fold, "MAX_FOLDED_ELEMENTS", (1 << 24) - 1)
    monkeypatch.setattr(_fold, "_reference", never)
    file = File(1, 4)
    refused(file.model(file.add("Add", "x", file.add(op_type, *constants, **attributes))), message)


@pytest.mark.parametrize(
    ("op_type", "indices", "attributes"),
    [
        ("Gather", np.array([[2, 0, 1]]), {}),
        ("Gather", np.array(3), {"axis": 1}),
        ("GatherND", np.array([[[0, 3], [2, 1], [1, 1]]]), {}),
        ("GatherND", np.array([[3], [1], [0]]), {"batch_dims": 1}),
    ],
)
def test_gathered_constants_have_the_counted_size(op_type, indices, attributes):
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    node = helper.make_node(op_type, ["a", "b"], ["c"], **attributes)
    (value,) = _fold.folded_values(node, {"a": data, "b": indices}, 17)
    assert _fold._gathered_size(node, data, indices) == value.size


def test_files_of_many_small_messages_are_not_parsed():
    graph = b"\x0a\x00" * 500_000  # empty nodes: two bytes each in the file, hundreds in memory
    refused(_field(7, graph), "more than 400000 nodes")
    graph = b""
    for _ in range(60):
        node = (
            b"\x2a"
            + bytes(_varint(len(graph) + 1 + len(_varint(len(graph)))))
            + b"\x32"
            + bytes(_varint(len(graph)))
            + graph
        )
        graph = b"\x0a" + bytes(_varint(len(node))) + node
    refused(_field(7, graph), "nested more than")


def _field(number, content):
    """Content as a field of a message."""
    return bytes([number << 3 | 2, *_varint(len(content))]) + content


def _varint(value):
    digits = []
    while value >= 128:
        digits.append(value & 127 | 128)
        value >>= 7
    return [*digits, value]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_other_files(content):
    refused(content, "it is not an ONNX file")


def test_odd_graphs():
    file = File(1, 4)
    refused(file.model(file.add("Frobnicate", "x")), r"node 'Frobnicate_0' \(Frobnicate\): ONNX has no such operator")
    file = File(1, 4)
    file.add("Relu", "nowhere")
    refused(file.model("t0"), "reads 'nowhere', which no earlier node writes")
    model = network()
    model.opset_import[0].version = 99
    refused(model, "it has opset 99; hwnas reads 7 to 26: export it again with opset_version=26")
    file = File(4)
    refused(file.model(file.add("Relu", "x")), "the input 'x' must hold 32-bit floats with the batch axis in front")


def test_generic_ops_belong_to_one_batch_size_where_their_nodes_do():
    file = File(1, 4, 3)
    y = file.add("Reshape", file.add("Transpose", "x", perm=[1, 0, 2]), np.array([1, 12]))
    read = checked(file.model(y))
    with pytest.raises(OperatorError, match="computes only batches of 1, not of 2"):
        build_onnx(read.graph, read.weights, batch=2)
    assert onnx.checker.check_model(read.build()) is None


def with_weight(op_type, shape, **attributes):
    file = File(1, 4, 6, 6)
    return file.model(file.add(op_type, "x", file.draw(*shape), **attributes)).SerializeToString()


def test_weights_that_do_not_fit_their_input_are_refused():
    assert "does not fit its input" in refusal(with_weight("ConvTranspose", (3, 5, 2, 2), strides=[2, 2]))
    assert "does not fit its input" in refusal(with_weight("ConvTranspose", (8, 5, 2, 2), strides=[2, 2]))
    assert "its weight has the shape (5, 3, 1, 1), expected (5, 4, 1, 1)" in refusal(with_weight("Conv", (5, 3, 1, 1)))


def test_whatever_a_rule_raises_for_a_malformed_node_is_one_line(monkeypatch):
    def rule(_, node):
        raise IndexError("list index\nout of range")

    monkeypatch.setitem(RULES, "LRN", [rule])
    assert re.search(r"node 'LRN_\d' \(LRN\): it is malformed: list index out of range$", refusal_of_network())


def refusal_of_network():
    return refusal(network().SerializeToString())


def test_memory_that_runs_out_is_one_line(monkeypatch):
    def rule(_, node):
        raise MemoryError

    monkeypatch.setitem(RULES, "LRN", [rule])
    assert refusal_of_network() == "ONNX model: there is not enough memory to read it"


def test_control_flow_in_control_flow_is_named():
    assert "node 'n3' (If): hwnas cannot read If, Loop or Scan here; export the model without it" in refusal(
        nested_branches(12)
    )
    assert "nested more than 64 deep" in refusal(nested_branches(30))


def nested_branches(depth):
    """A file whose branch holds a branch, and so on."""
    file, body = File(1, 4), None
    for level in range(depth):
        node = ("Relu", ["x"], ["b"]) if body is None else ("If", ["c"], ["b"])
        more = {} if body is None else {"then_branch": body, "else_branch": helper.make_graph([], "empty", [], [])}
        body = helper.make_graph([helper.make_node(*node, f"n{level}", **more)], "body", [], [])
    total = file.add("ReduceSum", "x", np.array([0, 1]), keepdims=0)
    chosen = file.add("Cast", total, to=TensorProto.BOOL)
    file.nodes.append(helper.make_node("If", [chosen], ["y"], "n3", then_branch=body, else_branch=body))
    return file.model("y").SerializeToString()
