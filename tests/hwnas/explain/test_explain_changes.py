"""Changes to a network: what they rewrite, and what their samples say."""

import numpy as np
import onnx
import pytest
from onnx import helper
from toy_models import model_of, outputs_of, residual_model, small_model, weights

from hwnas._explain._changes import with_changes
from hwnas._explain._changes._activations import plain_activations
from hwnas._explain._changes._aligned import aligned_channels
from hwnas._explain._changes._graph import simplified
from hwnas._explain._changes._int8 import int8
from hwnas._explain._changes._measure import changes_of
from hwnas._explain._changes._proposal import NotPossibleError, Proposal, Subject
from hwnas._explain._changes._registry import MAKERS
from hwnas._explain._changes._threads import other_threads
from hwnas._explain._paired import Rounds
from hwnas._explain._texts import verdict
from profilers import Explanation, second_pass_name

EXPLANATION = Explanation("m.onnx", "0" * 64, {"isa": ["avx2"]}, 1.0, 0.9, 1.1, (), 0.0, 0.01, 20.0)


def subject_of(model, block=8):
    return Subject(model, simplified(model), EXPLANATION, 1, block)


def channels_of(data):
    """Output channels of the convolutions that are not depthwise."""
    model = onnx.ModelProto.FromString(data)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [shapes[n.input[1]][0] for n in model.graph.node if n.op_type == "Conv"]


def test_channels_rounded_up_give_the_same_results():
    model = residual_model()
    up, down = aligned_channels(subject_of(model))
    np.testing.assert_allclose(outputs_of(up.model)[0], outputs_of(model)[0], rtol=1e-4, atol=1e-5)
    assert channels_of(up.model) == [24, 24, 24, 24, 16]
    assert channels_of(down.model) == [16, 16, 16, 16, 8]
    assert set(up.nodes) == {"stem", "expand", "excite", "branch"}
    assert "4 convolutions rounded up to multiples of 8" in up.text
    assert outputs_of(down.model)[0].shape == (1, 5)


def test_a_convolution_whose_reader_cannot_follow_keeps_its_channels():
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w0"], ["a"], "free"),
        make("Conv", ["a", "w1"], ["b"], "held"),
        make("Softmax", ["b"], ["s"], "softmax", axis=1),
        make("Conv", ["s", "w2"], ["y"], "out"),
    ]
    made = weights(np.random.default_rng(0), w0=(9, 3, 1, 1), w1=(10, 9, 1, 1), w2=(8, 10, 1, 1))
    model = model_of(nodes, {"x": [1, 3, 4, 4]}, {"y": [1, 8, 4, 4]}, made)
    up, _ = aligned_channels(subject_of(model))
    assert up.nodes == ("free",)
    assert channels_of(up.model) == [16, 10, 8]
    np.testing.assert_allclose(outputs_of(up.model)[0], outputs_of(model)[0], rtol=1e-4, atol=1e-5)


def test_aligned_and_graph_output_channels_stay():
    with pytest.raises(NotPossibleError, match="are multiples of 8"):
        aligned_channels(subject_of(small_model()))
    with pytest.raises(NotPossibleError, match="does not follow"):
        aligned_channels(subject_of(small_model(), block=16))


def activated(*nodes, **constants):
    """A convolution with an activation behind it, and another convolution."""
    make = helper.make_node
    values = [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()]
    made = weights(np.random.default_rng(0), w0=(8, 3, 1, 1), w1=(8, 8, 1, 1))
    chain = [make("Conv", ["x", "w0"], ["a"], "first"), *nodes, make("Conv", ["b", "w1"], ["y"], "second")]
    return model_of(chain, {"x": [1, 3, 4, 4]}, {"y": [1, 8, 4, 4]}, [*made, *values])


GELU = [
    helper.make_node("Div", ["a", "root"], ["g0"], "g0"),
    helper.make_node("Erf", ["g0"], ["g1"], "g1"),
    helper.make_node("Add", ["g1", "one"], ["g2"], "g2"),
    helper.make_node("Mul", ["a", "g2"], ["g3"], "g3"),
    helper.make_node("Mul", ["g3", "half"], ["b"], "g4"),
]
SILU = [helper.make_node("Sigmoid", ["a"], ["s"], "s"), helper.make_node("Mul", ["a", "s"], ["b"], "m")]


@pytest.mark.parametrize(
    ("model", "last"),
    [
        (activated(*SILU), "m"),
        (activated(helper.make_node("HardSwish", ["a"], ["b"], "h")), "b"),
        (activated(*GELU, root=1.41, one=1.0, half=0.5), "g4"),
    ],
)
def test_an_unfused_activation_becomes_a_relu(model, last):
    (proposal,) = plain_activations(subject_of(model))
    assert proposal.nodes == (last,)
    changed = onnx.ModelProto.FromString(proposal.model)
    assert [node.op_type for node in changed.graph.node] == ["Conv", "Relu", "Conv"]
    relu = activated(helper.make_node("Relu", ["a"], ["b"], "r"))
    np.testing.assert_allclose(outputs_of(proposal.model)[0], outputs_of(relu)[0], rtol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        activated(helper.make_node("Relu", ["a"], ["b"], "r")),
        activated(helper.make_node("Add", ["a", "one"], ["b"], "r"), one=1.0),
        activated(helper.make_node("Sigmoid", ["a"], ["b"], "r")),
    ],
)
def test_what_is_fused_or_no_activation_stays(model):
    with pytest.raises(NotPossibleError):
        plain_activations(subject_of(model))


def test_squeeze_excite_is_no_activation():
    (proposal,) = plain_activations(subject_of(residual_model()))
    assert proposal.nodes == ("silu",)


def test_int8_is_quantised_once():
    (proposal,) = int8(subject_of(residual_model()))
    quantised = onnx.ModelProto.FromString(proposal.model)
    assert "QuantizeLinear" in {node.op_type for node in quantised.graph.node}
    expected = outputs_of(residual_model())[0]
    assert np.abs(outputs_of(quantised)[0] - expected).max() < 0.1 * np.abs(expected).max()
    with pytest.raises(NotPossibleError, match="quantised already"):
        int8(subject_of(quantised))


def test_other_threads_go_up_to_the_usable_cores(monkeypatch):
    monkeypatch.setattr("hwnas._explain._changes._threads.usable_cores", lambda: 6)
    proposals = other_threads(subject_of(small_model()))
    assert [proposal.threads for proposal in proposals] == [2, 4, 6]
    assert proposals[0].text == "2 threads instead of 1"
    monkeypatch.setattr("hwnas._explain._changes._threads.usable_cores", lambda: 1)
    with pytest.raises(NotPossibleError, match="one usable core"):
        other_threads(subject_of(small_model()))


def test_gains_are_beside_the_unchanged_network():
    rng = np.random.default_rng(0)
    common = np.exp(0.05 * rng.standard_normal(40))
    times = {"unchanged": 2e-3, second_pass_name("unchanged"): 2e-3, "0": 1e-3, "1": 2e-3, "2": 3e-3}
    noise = {name: np.exp(0.003 * rng.standard_normal(40)) for name in times}
    rounds = Rounds({name: t * common * noise[name] for name, t in times.items()})
    proposals = [Proposal(str(i), "", (), b"") for i in range(3)]
    changes = changes_of(rounds, proposals)
    assert [change.name for change in changes] == ["0", "1", "2"]
    assert [verdict(change) for change in changes] == ["faster", "no difference that can be told", "slower"]
    base = changes[0].total_ms + changes[0].gain_ms
    assert changes[0].gain_ms / base == pytest.approx(0.5, abs=0.01)
    assert all(change.low_ms < change.gain_ms < change.high_ms for change in changes)


def test_changes_are_measured_and_what_cannot_be_made_is_noted():
    makers = {name: make for name, make in MAKERS.items() if name != "threads"}
    model = small_model("n")
    changed = with_changes(model, EXPLANATION, threads=1, rounds=8, makers=makers)
    assert [change.name for change in changed.changes] == ["int8"]
    assert changed.changes[0].total_ms > 0
    assert [note.split(":")[1].strip() for note in changed.notes] == ["aligned", "activation"]
    assert with_changes(model, EXPLANATION, threads=1, makers={}).changes == ()
