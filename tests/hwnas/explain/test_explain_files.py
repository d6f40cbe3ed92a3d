"""Shapes and inputs of models, and their sessions."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from toy_models import model_of, small_model

from hwnas._explain._inputs import ModelError, with_one_sample
from hwnas._explain._sessions import REST_S, Turns, open_session
from profilers import UnsupportedGraphError, draw_inputs


def test_batch_axes_become_one_and_other_dynamic_axes_are_refused():
    model = with_one_sample(small_model("n"), "m")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 8, 8]
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_value == 1
    dynamic = small_model()
    dynamic.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"
    with pytest.raises(ModelError, match="input x has open sizes") as caught:
        with_one_sample(dynamic, "d/m.onnx")
    assert str(caught.value) == (
        "d/m.onnx: input x has open sizes (axes h); choose them: python -m onnxruntime.tools.make_dynamic_shape_fixed "
        "--input_name x --input_shape 1,3,H,8 d/m.onnx d/m_fixed.onnx (put numbers for H)"
    )
    dynamic.graph.input[0].type.tensor_type.shape.dim[3].ClearField("dim_value")
    with pytest.raises(ModelError, match=r"\(axes h, 3\).* 1,3,H,S2 m m_fixed.onnx \(put numbers for H and S2\)"):
        with_one_sample(dynamic, "m")


def test_older_files_list_initialisers_among_the_inputs():
    model = small_model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, ["a", "b", "c", "d"]))
    assert with_one_sample(model, "m").graph.input[1].name == "w"


def test_inputs_of_several_types_are_made_and_run():
    cast = [helper.make_node("Cast", ["i"], ["f"], to=1), helper.make_node("Add", ["f", "x"], ["y"])]
    model = model_of(cast, {"i": [2], "x": [2]}, {"y": [2]}, [])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    inputs = draw_inputs(model, {"x": 3.0})
    assert inputs["i"].tolist() == [1, 1]
    assert inputs["x"].tolist() == [3.0, 3.0]
    assert open_session(model.SerializeToString(), inputs, threads=1, name="m").run(2) > 0
    kinds = {TensorProto.BOOL: np.bool_, TensorProto.FLOAT16: np.float16, TensorProto.INT32: np.int32}
    for kind, expected in kinds.items():
        model.graph.input[0].type.tensor_type.elem_type = kind
        assert draw_inputs(model, {})["i"].dtype == expected
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(UnsupportedGraphError, match="holds no numbers"):
        draw_inputs(model, {})


def test_outputs_of_unknown_size_are_bound():
    node = helper.make_node("NonZero", ["x"], ["y"])
    model = model_of([node], {"x": [4]}, {"y": [1, "n"]}, [])
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert open_session(model.SerializeToString(), draw_inputs(model, {}), threads=1, name="m").run(1) > 0


def test_a_model_that_cannot_run_is_one_line():
    model = small_model()
    model.graph.node[0].op_type = "NoSuchOp"
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime cannot execute the graph") as caught:
        open_session(model.SerializeToString(), draw_inputs(model, {}), threads=1, name="m.onnx")
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
