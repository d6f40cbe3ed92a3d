"""Files of unknown origin: limits, external data, shapes, and types of inputs."""

import os

import numpy as np
import pytest
from onnx import TensorProto, helper
from toy_models import model_of, small_model

from hwnas._explain._files import ModelError, load_untrusted
from hwnas._explain._inputs import made_value, with_one_sample
from hwnas._explain._sessions import REST_S, ModelSession, Turns


def external(folder, location, **more):
    """A file whose weights are elsewhere."""
    model = small_model()
    (tensor,) = model.graph.initializer
    (folder / "data.bin").write_bytes(tensor.raw_data)
    entries = {"location": location, **more}
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_external_data_beside_the_file_is_read(tmp_path):
    model = load_untrusted(external(tmp_path, "data.bin", offset="0", length="864"))
    assert model.SerializeToString() == small_model().SerializeToString()


@pytest.mark.parametrize(
    ("location", "more", "message"),
    [
        ("../data.bin", {}, "not beside the file"),
        ("/etc/passwd", {}, "not beside the file"),
        ("", {}, "not beside the file"),
        ("a\\data.bin", {}, "not beside the file"),
        ("link.bin", {}, "leads out of the file's folder"),
        ("absent.bin", {}, "No such file"),
        ("data.bin", {"offset": "-5"}, "not a number of bytes"),
        ("data.bin", {"length": "9999"}, "too short"),
        ("data.bin", {"offset": "9999"}, "too short"),
        ("pipe", {}, "pipe"),
    ],
)
def test_other_external_data_is_refused(tmp_path, location, more, message):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"x" * 864)
    (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
    os.mkfifo(inner / "pipe")
    with pytest.raises(ModelError, match=message) as caught:
        load_untrusted(external(inner, location, **more))
    assert "\n" not in str(caught.value)


def test_external_data_of_attributes_and_subgraphs_is_seen(tmp_path):
    model = small_model()
    tensor = TensorProto(name="t", dims=[1], data_type=1, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="not beside the file"):
        load_untrusted(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x0a\xff", bytes(200)])
def test_what_is_no_onnx_file_is_one_line(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="is not an ONNX file"):
        load_untrusted(tmp_path / "m.onnx")


def test_sizes_are_limited_with_the_external_data(tmp_path):
    path = external(tmp_path, "data.bin")
    size = path.stat().st_size
    load_untrusted(path, size + 864)
    for most in (size + 863, size - 1):
        with pytest.raises(ModelError, match="is larger than"):
            load_untrusted(path, most)


def test_batch_axes_become_one_and_other_dynamic_axes_are_refused():
    model = with_one_sample(small_model("n"), "m")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 8, 8]
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_value == 1
    dynamic = small_model()
    dynamic.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    with pytest.raises(ModelError, match=r"axes h.*--input_shape 1,3,N,8`"):
        with_one_sample(dynamic, "m")


def test_older_files_list_initialisers_among_the_inputs():
    model = small_model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, ["a", "b", "c", "d"]))
    assert with_one_sample(model, "m").graph.input[1].name == "w"


def test_inputs_of_several_types_are_made_and_run():
    cast = [helper.make_node("Cast", ["i"], ["f"], to=1), helper.make_node("Add", ["f", "x"], ["y"])]
    model = model_of(cast, {"i": [2], "x": [2]}, {"y": [2]}, [])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    assert ModelSession(model.SerializeToString(), threads=1, name="m").run(2) > 0
    rng = np.random.default_rng(0)
    assert made_value("tensor(int32)", [2], rng).tolist() == [1, 1]
    assert made_value("tensor(bool)", [], rng).item() is True
    assert made_value("tensor(float16)", [3], rng).dtype == np.float16
    with pytest.raises(ModelError, match=r"tensor\(string\)"):
        made_value("tensor(string)", [1], rng)


def test_outputs_of_unknown_size_are_bound():
    node = helper.make_node("NonZero", ["x"], ["y"])
    model = model_of([node], {"x": [4]}, {"y": [1, "n"]}, [])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert ModelSession(model.SerializeToString(), threads=1, name="m").run(1) > 0


def test_a_model_that_cannot_run_is_one_line():
    model = small_model()
    model.graph.node[0].op_type = "NoSuchOp"
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime cannot execute it") as caught:
        ModelSession(model.SerializeToString(), threads=1, name="m.onnx")
    assert "\n" not in str(caught.value)


def test_threads_rest_before_others_begin():
    rests = []
    turns = Turns(rests.append)

    class Ready:
        def run(self, repeats):
            return 1.0

    one, two = turns.taking(Ready(), "process", 1), turns.taking(Ready(), "own", 2)
    for runnable, expected in ((one, 0), (two, 0), (two, 0), (one, 1), (one, 1), (two, 1)):
        runnable.run(1)
        assert rests == [REST_S] * expected
