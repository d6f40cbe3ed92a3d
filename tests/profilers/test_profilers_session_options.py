"""The stated options of a measured session are those that it has."""

import json

import pytest

from latency_tables import INPUT, GraphBuilder
from profilers import BoundSession, build_onnx, full_provider_name, make_session, ops, random_weights, session_options


@pytest.fixture(scope="module")
def model():
    builder = GraphBuilder((1, 4, 4))
    graph = builder.build(builder.add("out", ops.linear((1, 4, 4), 2), INPUT))
    return build_onnx(graph, random_weights(graph, 0)).SerializeToString()


def options_of(session):
    options = session.get_session_options()
    spins = options.get_session_config_entry("session.intra_op.allow_spinning")
    return {
        "intra_op_num_threads": options.intra_op_num_threads,
        "inter_op_num_threads": options.inter_op_num_threads,
        "execution_mode": options.execution_mode.name,
        "graph_optimization_level": options.graph_optimization_level.name,
        "allow_spinning": spins == "1",
        "provider": session.get_providers()[0],
    }


@pytest.mark.parametrize(("threads", "spinning"), [(1, True), (2, True), (2, False)])
def test_a_session_has_the_options_that_are_stated(model, threads, spinning):
    stated = session_options(threads=threads, spinning=spinning)
    assert options_of(make_session(model, threads=threads, spinning=spinning)) == stated
    assert json.loads(json.dumps(stated)) == stated


def test_the_session_that_is_measured_has_the_stated_options(model):
    assert options_of(BoundSession(model, threads=1)._session) == session_options(threads=1)


def test_what_is_stated_is_what_is_applied(model, monkeypatch):
    other = session_options(threads=1) | {"execution_mode": "ORT_PARALLEL", "inter_op_num_threads": 2}
    other |= {"graph_optimization_level": "ORT_ENABLE_BASIC", "allow_spinning": False}
    monkeypatch.setattr("profilers._session.session_options", lambda **how: other)
    assert options_of(make_session(model, threads=1)) == other


def test_names_of_providers_are_completed():
    names = [None, "cpu", "CPUExecutionProvider", "cuda", "XNNPACK", "of-a-plug-in"]
    cpu = "CPUExecutionProvider"
    wanted = [cpu, cpu, cpu, "CUDAExecutionProvider", "XnnpackExecutionProvider", "of-a-plug-in"]
    assert [full_provider_name(name) for name in names] == wanted
