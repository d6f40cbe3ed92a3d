"""Weights to start from: reading files, matching names and structure, other extents, norms put back."""

from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from training_toys import digits_task, mobile
from weight_files import resnet, timm_mobilenetv3, torchvision_mobilenetv3, with_header, written

from hwnas._errors import EvaluatorError
from hwnas.spaces import Architecture, ChoiceGraph, ChoiceGraphSpace, derive, make_space
from hwnas.training import StartingNetworks, Subnet, Supernet, match_weights, parse_weights, read_weights
from hwnas.training._batches import sample_batches
from hwnas.training._cover import largest_parameters
from hwnas.training._start._fill import filled, starting_weights
from hwnas.training._start._norms import with_norms
from latency_tables import INPUT, GraphBuilder
from profilers import NORM_EPSILON, Parameter, build_onnx, graph_parameters, ops, random_weights

EPSILON = 1e-3 - NORM_EPSILON
"""What torchvision's MobileNetV3 adds to a variance more than our norms do."""


def like_large():
    """MobileNetV3 with the channels of the narrow files in `weight_files`, and few choices."""
    return make_space("mobilenetv3", preset="imagenet", resolution=128, width=0.125)


def test_reads_three_types_of_floats_and_leaves_the_others_out():
    values = np.array([[1.5, -2.0, 0.25]], dtype=np.float32)
    content = written({"a": values, "b": values, "c": values, "d": np.zeros(2)}, {"b": "F16", "c": "BF16", "d": "I64"})
    tensors = parse_weights(content, "x").tensors
    assert set(tensors) == {"a", "b", "c"}
    for array in tensors.values():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, values)


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "it is neither a safetensors nor an ONNX file"),
        ((2**60).to_bytes(8, "little") + b"{}", "its header should have"),
        (with_header("{nonsense", b""), "its header is not JSON"),
        (with_header('{"a": 1, "a": 2}', b""), "its header is not JSON"),
        (with_header({"a": 3}, b""), "tensor 'a' must state dtype, shape and data_offsets alone"),
        (with_header({"a": {**GOOD, "dtype": "F12"}}, b"0" * 8), "tensor 'a' has unknown dtype 'F12'"),
        (with_header({"a": {**GOOD, "shape": [-2]}}, b"0" * 8), "impossible shape"),
        (with_header({"a": {**GOOD, "shape": [2**47, 2**47]}}, b"0" * 8), "does not fit its data_offsets"),
        (with_header({"a": {**GOOD, "shape": [3]}}, b"0" * 8), "does not fit its data_offsets"),
        (with_header({"a": GOOD, "b": GOOD}, b"0" * 8), "start at byte 0, expected 8"),
        (with_header({"a": GOOD}, b"0" * 9), "its tensors need 8 bytes of data, the file has 9"),
        (with_header({"a": GOOD}, b"0" * 7), "its tensors need 8 bytes of data, the file has 7"),
        (written({"a": [np.nan, 0]}), "tensor 'a' holds values that are not finite"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, why):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(EvaluatorError, match=r"^--weights .*bad: .*") as raised:
        read_weights(tmp_path / "bad")
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


def test_flipped_bytes_never_crash():
    content, rng = written({"a": np.ones((3, 2)), "b": np.ones(4)}), np.random.default_rng(0)
    for _ in range(300):
        bytes_ = bytearray(content)
        for at in rng.integers(0, len(bytes_), size=3):
            bytes_[at] = int(rng.integers(256))
        with suppress(ValueError):  # any other error would fail here
            parse_weights(bytes(bytes_[: rng.integers(1, len(bytes_) + 1)]), "x")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(EvaluatorError, match="cannot be read"):
        read_weights(tmp_path / "none")


def test_larger_tensors_are_cropped_and_smaller_ones_fill():
    weight = Parameter((4, 3, 5, 5), "he", centred_axes=(2, 3))
    start = np.full(weight.shape, 9, dtype=np.float32)
    large = np.arange(6 * 4 * 7 * 7, dtype=np.float32).reshape(6, 4, 7, 7)
    np.testing.assert_array_equal(filled(start, large, weight), large[:4, :3, 1:6, 1:6])
    small = np.ones((2, 2, 3, 3), dtype=np.float32)
    got = filled(start, small, weight)
    np.testing.assert_array_equal(got[:2, :2, 1:4, 1:4], small)
    assert got[:2].sum() == small.sum()  # what lies around it is 0: the network computes what it did
    assert (got[2:] == 9).all()


def test_all_layers_of_torchvision_and_timm_match():
    space = like_large()
    for tensors, whose, variance, more in (
        (torchvision_mobilenetv3(), "torchvision", "features.4.block.1.1.running_var", EPSILON),
        (timm_mobilenetv3(), "timm", "blocks.2.0.bn2.running_var", 0.0),
    ):
        named = {"features.4.block.1.0.weight": 0, "blocks.2.0.conv_dw.weight": 0}.keys() & tensors.keys()
        matched = match_weights(parse_weights(written(tensors), "large.safetensors"), space)
        assert f"start from large.safetensors, by {whose}'s names of MobileNetV3" in matched.lines[0]
        assert len(matched.lines) == 1
        at = "stage1.block0.depthwise"  # the fourth block: the first with 40 channels
        np.testing.assert_array_equal(matched.tensors[f"{at}.weight"], tensors[named.pop()])
        np.testing.assert_allclose(matched.tensors[f"{at}.variance"], tensors[variance] + np.float32(more))
        assert matched.tensors["head.features.weight"].shape == (1280, 120)
        # every layer of the file has a place of its own; each has as many tensors there
        assert len(matched.tensors) == sum(not name.endswith("num_batches_tracked") for name in tensors)


def test_both_libraries_put_a_layer_in_the_same_place():
    space = like_large()
    vision, timm = (
        match_weights(parse_weights(written(tensors), "x"), space).tensors
        for tensors in (torchvision_mobilenetv3(), timm_mobilenetv3())
    )
    assert {name: array.shape for name, array in vision.items()} == {name: array.shape for name, array in timm.items()}


def test_another_number_of_classes_is_left_out_and_said():
    matched = match_weights(parse_weights(written(torchvision_mobilenetv3(classes=1000)), "x"), like_large())
    assert matched.lines[1:] == ("weights: head.classes has 1000 classes in the file and 10 here; left out",)
    assert not any(name.startswith("head.classes") for name in matched.tensors)
    assert "; random: head.classes, " in matched.lines[0]


def test_the_classes_of_a_detector_are_left_out_though_boxes_come_last():
    spaces = [
        make_space("fpn", resolution=64, channels=8, width=0.5, pyramid="fcos", classes=count) for count in (6, 3)
    ]
    tensors = {name: tensor.detach().numpy() for name, tensor in Supernet(spaces[0]).shared().items()}
    matched = match_weights(parse_weights(written(tensors), "x"), spaces[1])
    assert matched.lines[1:] == ("weights: classes has 6 classes in the file and 3 here; left out",)
    assert {"boxes.weight"} < set(matched.tensors)
    assert not any(name.startswith("classes.") for name in matched.tensors)


def test_a_wrapped_state_dict_loses_its_prefix():
    tensors = {f"module.{name}": array for name, array in torchvision_mobilenetv3().items()}
    assert "torchvision" in match_weights(parse_weights(written(tensors), "x"), like_large()).lines[0]


def test_tensors_that_do_not_fit_their_layer_are_left_out():
    tensors = torchvision_mobilenetv3()
    tensors["features.0.1.weight"] = np.ones(99)  # a norm that is not whole is none
    tensors["features.1.block.0.1.running_var"] = -np.ones(2)
    tensors["features.16.1.running_mean"] = np.ones((2, 60))
    tensors["classifier.3.bias"] = np.ones((10, 2))
    tensors["classifier.0.bias"] = np.ones(())
    matched = match_weights(parse_weights(written(tensors), "x"), like_large()).tensors
    assert "stem.weight" in matched
    assert not {"stem.gamma", "head.conv.mean", "head.classes.bias", "head.features.bias"} & set(matched)
    assert (matched["fixed.depthwise.variance"] == 0).all()


def test_odd_tensors_under_our_names_are_left_out():
    odd = {"head.classes.weight": np.ones(()), "stem.gamma": np.ones((2, 2)), "stem.bias": np.ones((2, 2))}
    matched = match_weights(parse_weights(written({**odd, "stem.weight": np.ones((2, 3, 3, 3))}), "x"), like_large())
    assert set(matched.tensors) == {"stem.weight"}


def test_nothing_that_matches_is_refused():
    content = written({"encoder.weight": np.ones((5, 7)), "encoder.bias": np.ones(5)})
    with pytest.raises(EvaluatorError, match=r"none of its 2 tensors \(encoder.weight, encoder.bias\) matches"):
        match_weights(parse_weights(content, "x"), mobile())


class SmallResNet(ChoiceGraphSpace):
    """A ResNet under names of its own, whose shortcuts come last in their blocks."""

    name = "small-resnet"
    settings: ClassVar[dict] = {}

    def state(self):
        graph = ChoiceGraph()
        size = graph.choice("size", (16, 32))
        x = graph.add("first", ops.conv, graph.read(3, size, size), channels=8, kernel=7, stride=2, act="relu")
        before = 8
        for s, width in enumerate((8, 16, 32, 64)):
            for b in range(2):
                stride = 2 if b == 0 and s else 1
                y = graph.add(f"s{s}b{b}x", ops.conv, x, channels=width, kernel=3, stride=stride, act="relu")
                y = graph.add(f"s{s}b{b}y", ops.conv, y, channels=width, kernel=3, act="none")
                if before != width:
                    x = graph.add(f"s{s}b{b}short", ops.conv, x, channels=width, kernel=1, stride=stride, act="none")
                x = graph.sum(f"s{s}b{b}", y, x)
                before = width
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("out", ops.linear, x, features=10))


def test_a_resnet_matches_by_structure():
    tensors = resnet()
    matched = match_weights(parse_weights(written(tensors), "r"), SmallResNet())
    assert matched.lines == ("weights: 21 of 21 layers start from r, by the order and shapes of its layers",)
    np.testing.assert_array_equal(matched.tensors["s2b0short.weight"], tensors["layer3.0.downsample.0.weight"])
    np.testing.assert_array_equal(matched.tensors["s2b1y.weight"], tensors["layer3.1.conv2.weight"])
    np.testing.assert_array_equal(matched.tensors["s2b1y.gamma"], tensors["layer3.1.bn2.weight"])
    np.testing.assert_array_equal(matched.tensors["out.bias"], tensors["fc.bias"])


def test_one_name_that_is_the_same_by_accident_does_not_hide_the_others():
    tensors = resnet()
    tensors["out.weight"] = tensors.pop("layer4.1.conv2.weight")  # the space's classifier
    matched = match_weights(parse_weights(written(tensors), "r"), SmallResNet())
    assert "20 of 21 layers start from r, by the order and shapes of its layers" in matched.lines[0]
    np.testing.assert_array_equal(matched.tensors["out.weight"], tensors["fc.weight"])


@pytest.mark.parametrize("epsilon", [None, 1e-3])
def test_the_epsilon_of_a_norm_is_read(epsilon):
    rng = np.random.default_rng(0)
    held = {"w": rng.random((2, 3, 1, 1)), **{kind: rng.random(2) * 1e-3 for kind in "gbmv"}}
    more = {} if epsilon is None else {"epsilon": epsilon}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], "c"),
        helper.make_node("BatchNormalization", ["y", *"gbmv"], ["z"], "n", **more),
    ]
    stored = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in held.items()]
    graph = helper.make_graph(nodes, "g", [], [], stored)
    (layer,) = parse_weights(helper.make_model(graph).SerializeToString(), "x").layers
    scale = layer.tensors["gamma"] / np.sqrt(layer.tensors["variance"] + NORM_EPSILON)
    np.testing.assert_allclose(scale, held["g"] / np.sqrt(held["v"] + (epsilon or 1e-5)), rtol=1e-5)
    nodes[1].ClearField("attribute")
    nodes[1].attribute.append(helper.make_attribute("epsilon", -1.0))
    graph = helper.make_graph(nodes, "g", [], [], stored)
    with pytest.raises(ValueError, match=r"node 'n': epsilon must be above 0 and finite, got -1\.0"):
        parse_weights(helper.make_model(graph).SerializeToString(), "x")


@pytest.fixture(scope="module")
def trained():
    """A network of a space with weights and statistics that are no starting values."""
    space = mobile()
    graph = space.graph(Supernet(space).largest)
    rng = np.random.default_rng(1)
    weights = {
        name: np.abs(value) + 0.1 if name.endswith(("variance", "gamma")) else value
        for name, value in (
            (name, (0.3 * rng.standard_normal(p.shape)).astype(np.float32)) for name, p in graph_parameters(graph)
        )
    }
    return space, graph, weights


def outputs(graph, weights, count=64):
    network = Subnet(graph, {name: torch.from_numpy(array) for name, array in weights.items()})
    with torch.no_grad():
        return network(next(sample_batches(digits_task(), count, graph.input_shape)))


def test_own_names_match_exactly(trained):
    space, graph, weights = trained
    matched = match_weights(parse_weights(written(weights), "x"), space)
    assert matched.lines == ("weights: 66 of 66 layers start from x, by its names",)
    start = starting_weights(graph, matched.tensors, 0)
    assert all(np.array_equal(start[name], weights[name]) for name in weights)


def test_an_exported_file_computes_the_same_with_its_norms_put_back(trained):
    space, graph, weights = trained
    content = build_onnx(graph, weights).SerializeToString()
    matched = match_weights(parse_weights(content, "x"), space)
    assert matched.lines == ("weights: 66 of 66 layers start from x, by its names",)
    complete = with_norms(matched.tensors, graph, lambda: sample_batches(digits_task(), 64, graph.input_shape))
    start = starting_weights(graph, complete, 0)
    expected = outputs(graph, weights)
    torch.testing.assert_close(outputs(graph, start), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    # the statistics are those of the data: normalised by the batch it computes the same
    supernet = Supernet(space)
    supernet.load(complete)
    with torch.no_grad():
        batch = supernet(next(sample_batches(digits_task(), 64, graph.input_shape)), supernet.largest)
    torch.testing.assert_close(batch, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


def test_networks_start_as_parts_of_the_initial_supernet(trained):
    space, _, weights = trained
    start = StartingNetworks(space, digits_task(), weights, 0)
    arch = space.sample(1, np.random.default_rng(3))[0]
    own = start(arch)
    assert set(own) == {name for name, _ in graph_parameters(space.graph(arch))}
    described = dict(graph_parameters(space.graph(arch)))
    for name, array in own.items():
        np.testing.assert_array_equal(array, filled(np.zeros_like(array), weights[name], described[name]))


def test_statistics_behind_a_concatenation_are_those_of_its_channels():
    builder, x = GraphBuilder((1, 8, 8)), INPUT
    parts = []
    for name in "ab":
        x = builder.add(name, ops.conv(builder.shape(x), 16, 3, act="relu"), x)
        parts.append(x)
    x = builder.add("joined", ops.concat((16, 8, 8), (16, 8, 8)), *parts)
    x = builder.add("norm", ops.norm((32, 8, 8), act="relu"), x)
    x = builder.add("mixed", ops.conv((32, 8, 8), 16), x)
    x = builder.add("pool", ops.global_pool((16, 8, 8)), x)
    graph = builder.build(builder.add("classes", ops.linear((16, 1, 1), 10), x))
    weights = random_weights(graph, 0)
    weights |= dict.fromkeys(("norm.gamma", "norm.beta", "norm.mean"), np.arange(1, 33, dtype=np.float32))
    derived = derive(graph, weights, importance="l2")
    space = derived.space
    narrow = Architecture(
        tuple(choice.values[0] if choice.name == "a.width" else choice.values[-1] for choice in space.choices)
    )
    for arch in (narrow, space.largest):
        start = StartingNetworks(space, digits_task(), derived.weights, 0)(arch)
        np.testing.assert_array_equal(start["norm.mean"], start["norm.gamma"])


def test_a_supernet_keeps_what_the_file_lacks(trained):
    space, _, weights = trained
    supernet, fresh = Supernet(space), Supernet(space).shared()
    supernet.load({"stem.weight": weights["stem.weight"], "stem.mean": weights["stem.mean"]})
    shared = supernet.shared()
    np.testing.assert_array_equal(shared["stem.weight"].detach(), weights["stem.weight"])
    assert all(torch.equal(shared[name], fresh[name]) for name in shared if name != "stem.weight")
    assert set(largest_parameters(space)) >= set(shared)


def test_a_convolution_with_a_norm_starts_one_with_a_bias():
    from hwnas.training._start._layers import Layer
    from hwnas.training._start._match import _node_tensors

    rng = np.random.default_rng(0)
    norm = {kind: rng.random(2).astype(np.float32) for kind in ("gamma", "beta", "mean", "variance", "bias")}
    layer = Layer("c", {"weight": np.ones((2, 3, 1, 1), dtype=np.float32), **norm})
    want = {"n.weight": Parameter((2, 3, 1, 1), "he"), "n.bias": Parameter((2,), "zero")}
    got = _node_tensors("n", layer, want)
    scale = norm["gamma"] / np.sqrt(norm["variance"] + NORM_EPSILON)
    np.testing.assert_allclose(got["n.weight"][:, 0, 0, 0], scale, rtol=1e-6)
    np.testing.assert_allclose(got["n.bias"], (norm["bias"] - norm["mean"]) * scale + norm["beta"], rtol=1e-5)
