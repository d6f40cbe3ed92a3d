"""int8 networks: what is quantised, how close they compute, and that they are measured as such."""

import numpy as np
import pytest

from hwnas.spaces import make_space
from latency_tables import GraphBuilder
from profilers import (
    DeviceUnavailableError,
    OnnxRuntimeBackend,
    ProfilerError,
    build_onnx,
    installed_providers,
    make_session,
    ops,
    quantize_model,
    random_weights,
    tensor_ranges,
)

SPACES = {
    "nasbench201": make_space("nasbench201", image_size=16, cells=1),
    "mobilenetv3": make_space("mobilenetv3", preset="tiny", resolution=16, width=0.5),
}


def network(name, seed=0):
    space = SPACES[name]
    graph = space.graph(space.sample(1, np.random.default_rng(seed))[0])
    return graph, build_onnx(graph, random_weights(graph, seed), batch=4, metadata={"key": "value"})


def run(model, x):
    session = make_session(model.SerializeToString(), threads=1)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("name", SPACES)
def test_a_calibrated_network_computes_nearly_the_same(name):
    graph, model = network(name)
    images = np.random.default_rng(1).standard_normal((64, *graph.input_shape), dtype=np.float32)
    ranges = tensor_ranges(model, images)
    small = quantize_model(model, ranges)
    exact, rounded = (np.concatenate([run(m, images[i : i + 4]) for i in range(0, 64, 4)]) for m in (model, small))
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.98
    assert not np.array_equal(exact, rounded)
    assert small.ByteSize() < 0.6 * model.ByteSize()
    assert {item.key: item.value for item in small.metadata_props} == {"key": "value"}
    kinds = {node.op_type for node in small.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds


def test_ranges_are_those_of_the_tensors():
    graph, model = network("mobilenetv3")
    images = np.random.default_rng(2).standard_normal((10, *graph.input_shape), dtype=np.float32)
    images[9, 0, 0, 0] = 9.0  # the last image counts, although the ten are no whole batches of four
    ranges = tensor_ranges(model, images)
    assert ranges["input"] == (float(images.min()), 9.0)
    output = model.graph.output[0].name
    found = np.concatenate([run(model, images[i : i + 4]) for i in (0, 4, 6)])
    assert ranges[output] == pytest.approx((min(0.0, found.min()), max(0.0, found.max())))


def test_ranges_depend_on_the_images_alone_and_never_on_the_batch():
    graph, model = network("mobilenetv3")
    images = np.random.default_rng(2).standard_normal((10, *graph.input_shape), dtype=np.float32)
    for batch in (1, 10, 11, 300):
        assert tensor_ranges(build_onnx(graph, random_weights(graph), batch=batch), images) == tensor_ranges(
            model, images
        )


def test_a_trained_network_never_gets_assumed_ranges():
    graph, model = network("nasbench201")
    images = np.ones((2, *graph.input_shape), dtype=np.float32)
    with pytest.raises(ProfilerError, match="at least one sample"):
        tensor_ranges(model, images[:0])
    with pytest.raises(ProfilerError, match=r"the tensor input has a value that is not finite for sample 1"):
        tensor_ranges(model, images * np.array([1, np.inf], dtype=np.float32)[:, None, None, None])
    ranges = tensor_ranges(model, images)
    del ranges["logits"]
    with pytest.raises(ProfilerError, match="the tensor logits has no range"):
        quantize_model(model, ranges)


def test_the_int8_backend_measures_quantised_networks_and_says_so():
    graph, _ = network("nasbench201")
    backend = OnnxRuntimeBackend(precision="int8")
    assert backend.load(graph).run(2) > 0
    assert backend.identity()["dtype"] == "int8"
    assert backend.element_bytes == 1
    assert OnnxRuntimeBackend().identity()["dtype"] == "float32"


def test_providers_are_found_by_short_names_and_refused_by_name():
    assert OnnxRuntimeBackend(provider="CPU").identity()["provider"] == "CPUExecutionProvider"
    assert "CPUExecutionProvider" in installed_providers()
    with pytest.raises(
        DeviceUnavailableError,
        match=r"has no execution provider 'nonesuch'; choose one of .*cpu.* or install",
    ):
        OnnxRuntimeBackend(provider="nonesuch")


def test_samples_in_which_nothing_is_found_have_ranges_too():
    builder = GraphBuilder((3, 4, 8))
    raw = builder.add("join", ops.join((7, 4, 8)), builder.add("c", ops.conv((3, 4, 8), 7, 3, norm="bias"), "input"))
    graph = builder.build(builder.add("d", ops.detections((7, 32), [(4, 8)], most=5, candidates=20, score=30), raw))
    weights = {**random_weights(graph), "c.bias": np.full(7, -20, dtype=np.float32)}
    model = build_onnx(graph, weights)
    ranges = tensor_ranges(model, np.random.default_rng(0).standard_normal((2, 3, 4, 8)).astype(np.float32))
    assert quantize_model(model, ranges).graph.node
