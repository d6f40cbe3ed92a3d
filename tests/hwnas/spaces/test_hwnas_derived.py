"""The space of a trained model: its largest network is the model, and what is searched is said."""

import json
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from derived_models import MOBILE, Net, dense_block, mobile, random_graph, resnet
from simulated_device import AdditiveBackend

from hwnas import HwnasError
from hwnas._errors import SpaceError
from hwnas._runs._offline import _difference
from hwnas._tables._build import build_table, require_coverage
from hwnas.spaces import (
    DerivedSpace,
    by_scales,
    derive,
    describe_lines,
    make_space,
    reaches,
    reordered,
    with_weights,
)
from hwnas.testing import check_space
from hwnas.testing._operators import draw_inputs, run_onnx, varied_weights
from latency_tables import INPUT, GraphBuilder, Node, Op, OpGraph
from profilers import Parameter, Primitive, SamplingSettings, build_onnx, graph_macs, ops, register_operator
from profilers._operators import _registry

FEW = SamplingSettings(min_rounds=5, max_rounds=6)

BASES = {
    "resnet": lambda: resnet(),
    "resnet, norms folded": lambda: resnet(norm="bias"),
    "mobile": lambda: mobile(),
    "mobile, norms folded": lambda: mobile(norm="bias", act="relu"),
    "dense block": dense_block,
    **{f"random {seed}": lambda seed=seed: random_graph(seed) for seed in range(12)},
}
bases = pytest.mark.parametrize("name", BASES)


def small():
    return resnet(blocks=2, widths=(8, 16), size=8)


def run(graph, weights):
    return run_onnx(build_onnx(graph, weights, batch=2), draw_inputs(graph, 2))[0]


def require_equal(got, expected):
    assert np.abs(got - expected).max() < 1e-4 * max(1.0, expected.std())


@bases
def test_the_largest_network_computes_what_the_model_computes(name):
    model = BASES[name]()
    weights = varied_weights(model)
    derived = derive(model, weights)
    expected = run(model, weights)
    require_equal(run(derived.graph, derived.weights), expected)
    require_equal(run(derived.graph, by_scales(derived).weights), expected)


@bases
def test_contract(name):
    space = DerivedSpace(BASES[name]())
    check_space(space)
    assert len(space.ops()) < 2000


@pytest.mark.parametrize("name", ["resnet", "mobile"])
def test_a_table_of_the_space_can_be_measured(name, tmp_path):
    model = resnet(blocks=2, size=8) if name == "resnet" else mobile(MOBILE[:2], size=8)
    space = DerivedSpace(model, widths=[0.5, 1])
    table = build_table(space, AdditiveBackend(), tmp_path / "table.json", networks=6, settings=FEW)
    require_coverage(table, space)
    assert table.validation.predicted.mape < 0.05


def test_a_table_of_another_model_is_told_from_one_of_other_options():
    settings = DerivedSpace(small(), sha256="aa").settings
    table = SimpleNamespace(space={"name": "derived", "settings": settings})
    assert "derived from another model" in _difference(table, DerivedSpace(small(), sha256="bb"))
    assert "step 8, this search has 4" in _difference(table, DerivedSpace(small(), sha256="aa", step=4))


def test_settings_are_json_and_build_the_space_again():
    space = DerivedSpace(mobile(), sha256="ab", keep=["head"], step=4, resolutions=[16, 32], depth="blocks")
    settings = json.loads(json.dumps(space.settings))
    again = make_space("derived", **settings)
    assert again.settings == space.settings
    assert again.choices == space.choices == pickle.loads(pickle.dumps(space)).choices
    assert again.graph(again.largest) == space.graph(space.largest)


def test_order_puts_important_channels_first_and_changes_nothing_else():
    model = small()
    weights = varied_weights(model)
    derived = derive(model, weights)
    scores = {"layer0.0.conv1": np.arange(8.0)}
    other = reordered(derived, scores)
    before, after = derived.weights["layer0.0.conv1.weight"], other.weights["layer0.0.conv1.weight"]
    assert (after == before[::-1]).all()
    assert (other.weights["layer0.0.conv2.weight"] == derived.weights["layer0.0.conv2.weight"][:, ::-1]).all()
    require_equal(run(derived.graph, other.weights), run(model, weights))


def test_weakest_channels_come_last():
    model = small()
    weights = varied_weights(model)
    weights["layer0.0.conv1.weight"][3] *= 1e-3
    weights["layer0.0.conv1.gamma"][5] = 1e-3
    for criterion, weakest in (("l2", (3, 5)), ("bn", (5,))):
        ordered = derive(model, weights, importance=criterion).weights["layer0.0.conv1.gamma"]
        last = [float(value) for value in ordered[-len(weakest) :]]
        assert sorted(last) == sorted(float(weights["layer0.0.conv1.gamma"][place]) for place in weakest)


def test_scales_of_norms_put_back_count_once_they_have_statistics():
    model = resnet(blocks=2, widths=(8, 16), size=8, norm="bias")
    weights = varied_weights(model)
    by_weights, by_norms = (derive(model, weights, importance=name) for name in ("l2", "bn"))
    conv = "layer0.0.conv1"
    assert (by_norms.weights[f"{conv}.weight"] == by_weights.weights[f"{conv}.weight"]).all()
    scales = np.linspace(1, 2, 8, dtype=np.float32)
    other = by_scales(with_weights(by_norms, {f"{conv}.gamma": scales, f"{conv}.mean": scales}))
    assert (other.weights[f"{conv}.gamma"] == scales[::-1]).all()


def test_every_part_with_too_many_forms_is_made_smaller(monkeypatch):
    monkeypatch.setattr("hwnas.spaces._derived._state.MOST_NETWORKS", 2)
    space = DerivedSpace(resnet(), resolutions=[16, 24, 32])
    assert [choice.name for choice in space.choices if choice.name.endswith("depth")] == []


def test_widths_are_steps_of_the_block():
    space = DerivedSpace(resnet(), resolutions=32)
    values = {choice.name: choice.values for choice in space.choices}
    assert values["layer2.0.conv1.width"] == (16, 24, 32, 48, 64)
    assert values["stem.width"] == (4, 8, 12, 16)
    assert "resolution" not in values
    coarse = DerivedSpace(resnet(), widths=[0.5, 1], step=16)
    assert {c.name: c.values for c in coarse.choices}["layer2.0.conv1.width"] == (32, 64)


def test_blocks_are_left_out_from_the_end_of_a_stage():
    space = DerivedSpace(resnet(), widths=[1], resolutions=[32])
    assert {c.name: c.values for c in space.choices} == {
        "stage0.depth": (0, 1, 2, 3),
        "stage1.depth": (0, 1, 2),
        "stage2.depth": (0, 1, 2),
    }
    names = {node.name for node in space.graph(space.parse("d1.2.0")).nodes}
    assert "layer0.0.conv1" in names
    assert "layer0.1.conv1" not in names
    assert {"layer1.2.conv2", "layer2.0.conv2"} <= names
    assert "layer2.1.conv2" not in names
    each = DerivedSpace(resnet(), widths=[1], resolutions=[32], depth="blocks")
    assert [choice.values for choice in each.choices] == [(0, 1)] * 7


def test_an_activation_behind_the_sum_stays_where_the_shortcut_may_be_negative():
    net = Net((3, 8, 8))
    x = net.conv("stem", INPUT, 16, 3)
    y = net.conv("block.b", net.conv("block.a", x, 16, 3, "relu"), 16, 3)
    model = net.classify(net.act("out", net.plus("sum", y, x)))
    weights = varied_weights(model)
    derived = derive(model, weights, widths=[1], kernels="none", resolutions=[8])
    graph = derived.space.graph(derived.space.parse("d0"))
    assert [node.op.word("act") for node in graph.nodes if node.name == "stem"] == ["relu"]
    shorter = Net((3, 8, 8))
    expected = shorter.classify(shorter.conv("stem", INPUT, 16, 3, "relu"))
    require_equal(run(graph, derived.weights), run(expected, weights))


def test_kernels_shrink_around_their_centre():
    space = DerivedSpace(mobile(), widths=[1], depth="none", resolutions=[32])
    assert all(choice.name.endswith("depthwise.kernel") and choice.values == (3, 5) for choice in space.choices)
    with pytest.raises(HwnasError, match="nothing of the model"):
        DerivedSpace(mobile(), widths=[1], depth="none", resolutions=[32], kernels="none")


def test_resolution_is_offered_where_the_head_allows_it():
    assert DerivedSpace(resnet()).plan.resolutions == (24, 32)
    net = Net((3, 8, 8))
    x = net.conv("conv", INPUT, 16, 3, "relu")
    flat = net.build(net.add("classes", ops.linear(net.shape(x), 10), x))
    space = DerivedSpace(flat)
    assert space.plan.resolutions == (8,)
    assert any("reads a flattened feature map" in note.reason for note in space.plan.notes)
    with pytest.raises(HwnasError, match="cannot read images 4 pixels high: classes reads a flattened"):
        DerivedSpace(flat, resolutions=[4, 8])


def test_average_pooling_of_the_whole_map_follows_the_resolution():
    net = Net((3, 16, 16))
    x = net.conv("conv", INPUT, 16, 3, "relu", stride=2)
    x = net.add("pool", ops.pool(net.shape(x), 8, stride=8, padding=0), x)
    model = net.build(net.add("classes", ops.linear(net.shape(x), 10), x))
    assert DerivedSpace(model).plan.resolutions == (12, 16)


def test_kept_layers_stay_as_they_are():
    space = DerivedSpace(mobile(), keep=["stage1.*", "stage3.0.depthwise"])
    names = {choice.name for choice in space.choices}
    assert not any(name.startswith("stage1") for name in names)
    assert "stage3.0.depthwise.kernel" not in names
    assert "stage3.1.depthwise.kernel" in names
    smallest = space.graph(space.decode([0] * len(space.choices)))
    assert "stage1.2.project" in {node.name for node in smallest.nodes}


def test_groups_that_one_layer_reads_together_share_a_choice():
    space = DerivedSpace(dense_block(layers=6))
    shared = [choice for choice in space.plan.widths if len(choice.units) > 1]
    assert shared[0].values == (25, 50, 75, 100)
    assert any(note.together and note.reason == "one layer reads them all" for note in space.plan.notes)
    assert max(math.prod(space.cardinalities[c] for c in term.choices) for term in space.terms) <= 20_000


def test_lines_say_what_is_searched_and_what_not():
    text = "\n".join(describe_lines(derive(mobile(norm="bias"), varied_weights(mobile(norm="bias")))))
    for line in (
        "24 choices",
        "resolution: 24 or 32",
        "stage1.depth: keep the first 0, 1 or 2 of 2 blocks (they end with stage1.1.project, stage1.2.project)",
        "stage1.0.expand.width: 16, 24, 32, 48 or 64 channels, also of stage1.0.depthwise, stage1.0.se.expand",
        "stage1.0.depthwise.kernel: 3 or 5",
        "batch norms put back for training: stem, ",
        "not searched: channels of classes (it is the network's output)",
    ):
        assert line in text


@pytest.mark.parametrize("pattern", ["stem", "stem.*", "/stem", "/stem/Conv", "stem.Conv", "s*m"])
def test_layers_are_kept_by_the_name_of_their_module(pattern):
    net = Net((3, 8, 8))
    x = net.conv("stem.Conv", INPUT, 16, 3, "relu")
    model = net.classify(net.conv("body.Conv", x, 16, 3, "relu"))
    derived = derive(model, varied_weights(model), keep=pattern)
    assert [choice.name for choice in derived.space.choices if choice.name.endswith("width")] == ["body.Conv.width"]
    assert "not searched: channels of stem.Conv (keep)" in describe_lines(derived)


def test_a_block_is_described_by_itself():
    lines = describe_lines(derive(resnet(2), varied_weights(resnet(2)), depth="blocks"))
    assert "stage0.block0: keep the first 0 or 1 of 1 block (it ends with layer0.0.conv2)" in lines


def test_names_of_a_file_become_plain_ones():
    builder = GraphBuilder({"pixels": (3, 8, 8)})
    x = builder.add("/layer 1/Conv", ops.conv((3, 8, 8), 16, 3, norm="bias"), "pixels")
    x = builder.add("layer.1.Conv", ops.conv((16, 8, 8), 16, 3, norm="bias"), x)
    x = builder.add("input", ops.global_pool((16, 8, 8)), x)
    model = builder.build(builder.add("out", ops.linear((16, 1, 1), 4), x))
    weights = varied_weights(model)
    derived = derive(model, weights, keep="/layer 1/*")
    assert [node.name for node in derived.graph.nodes] == ["layer.1.Conv", "layer.1.Conv-2", "input-2", "out"]
    x = draw_inputs(model, 1)["pixels"]
    got = run_onnx(build_onnx(derived.graph, derived.weights), {INPUT: x})[0]
    require_equal(got, run_onnx(build_onnx(model, weights), {"pixels": x})[0])


def test_many_ops_make_fewer_shares(monkeypatch):
    model = resnet(widths=(64, 128, 256), size=16)
    weights = varied_weights(model)
    many = derive(model, weights).space
    monkeypatch.setattr("hwnas.spaces._derived._reach.MOST_OPS", len(many.ops()) - 1)
    fewer = derive(model, weights).space
    assert len(fewer.ops()) < len(many.ops())
    assert fewer.settings["widths"] == [0.25, 0.5, 0.75, 1.0]
    assert len(derive(model, weights, widths=[0.25, 0.375, 0.5, 0.75, 1]).space.ops()) == len(many.ops())


def test_spaces_reach_further_and_further_below_the_model():
    model = resnet(widths=(32, 64, 128))
    spaces = reaches(model, {"keep": ["classes"]})
    assert [(space.settings["widths"], space.plan.resolutions) for space in spaces] == [
        ([0.5, 0.75, 1.0], (32,)),
        ([0.25, 0.375, 0.5, 0.75, 1.0], (32,)),
        ([0.25, 0.375, 0.5, 0.75, 1.0], (24, 32)),
    ]
    assert all(space.settings["keep"] == ["classes"] for space in spaces)
    macs = [graph_macs(smallest_of(space)) for space in spaces]
    assert macs == sorted(macs, reverse=True)
    assert spaces[-1].settings == derive(model, varied_weights(model), keep=["classes"]).space.settings


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"widths": [0.75, 1]}, [([0.75, 1.0], (32,)), ([0.75, 1.0], (24, 32))]),
        ({"resolutions": [16, 32]}, [([0.5, 0.75, 1.0], (16, 32)), ([0.25, 0.375, 0.5, 0.75, 1.0], (16, 32))]),
        ({"widths": [0.75, 1], "resolutions": 32}, [([0.75, 1.0], (32,))]),
    ],
)
def test_what_is_chosen_stays_however_far_a_space_reaches(chosen, expected):
    spaces = reaches(resnet(widths=(32, 64, 128)), chosen)
    assert [(space.settings["widths"], space.plan.resolutions) for space in spaces] == expected


def test_models_without_images_reach_by_their_widths_alone():
    builder = GraphBuilder((1, 400))
    x = builder.add("first", ops.conv((1, 400), 32, 9, norm="batch"), INPUT)
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    spaces = reaches(builder.build(builder.add("classes", ops.linear(builder.shape(x), 4), x)), {})
    assert [space.settings["widths"][0] for space in spaces] == [0.5, 0.25]


def test_a_space_that_nothing_is_left_out_of_is_no_step():
    builder = GraphBuilder((3, 32, 32))
    x = builder.add("first", ops.conv((3, 32, 32), 7, 3, norm="batch"), INPUT)  # too narrow to be pruned
    x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
    model = builder.build(builder.add("classes", ops.linear(builder.shape(x), 4), x))
    assert [space.plan.resolutions for space in reaches(model, {})] == [(24, 32)]
    with pytest.raises(SpaceError, match="nothing of the model can be left out"):
        reaches(model, {"resolutions": [32]})


def smallest_of(space):
    """Return the network with the smallest value of every choice."""
    return space.graph(space.smallest)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"keep": ["nothing*"]},
            "--space-option keep=nothing\\*: no layer has this name; layers are called like stem, classes ",
        ),
        ({"widths": [0.5]}, "^--space-option widths: .* with 1 among them and 0.01 or more apart, got 0.5$"),
        ({"widths": [True, 1]}, "widths: give up to 16"),
        ({"widths": [0.501, 0.502, 1]}, "0.01 or more apart, got 0.501, 0.502, 1"),
        ({"step": 0}, "step: give a whole number"),
        ({"depth": "all"}, "depth: give one of stages, blocks, none, got 'all'"),
        ({"kernels": 3}, "kernels: give one of"),
        ({"importance": "l1"}, "importance: give one of taylor, bn, l2"),
        ({"resolutions": [16]}, "the largest must be 32, the height that the model reads"),
        ({"resolutions": [1.5, 32]}, "resolutions: give image heights"),
        ({"norms": "yes"}, "norms: give true or false"),
        ({"graph": {"nodes": []}}, "not one that hwnas wrote"),
        ({"graph": None}, "its model is missing"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(HwnasError, match=message) as caught:
        DerivedSpace(**{"graph": mobile(MOBILE), **settings})
    assert "\n" not in str(caught.value)


def test_models_that_no_space_can_be_derived_from_are_refused():
    builder = GraphBuilder({"a": (3, 8, 8), "b": (3, 8, 8)})
    model = builder.build(builder.add("sum", ops.add((3, 8, 8)), "a", "b"))
    with pytest.raises(HwnasError, match="one input and one output, it has 2 and 1"):
        DerivedSpace(model)
    weights = varied_weights(small())
    with pytest.raises(HwnasError, match=r"the model's weight stem.weight is of shape \(1,\)"):
        derive(small(), {**weights, "stem.weight": np.zeros(1, np.float32)})
    del weights["classes.bias"]
    with pytest.raises(HwnasError, match=r"the model's weight classes.bias is missing"):
        derive(small(), weights)


def unet(depth=4, channels=16):
    """A U-Net, whose skip connections pass several tensors side by side."""
    net = Net((3, 64, 64))
    x, skips = INPUT, []
    for level in range(depth):
        wide = channels * 2**level
        x = net.conv(f"d{level}.b", net.conv(f"d{level}.a", x, wide, 3, "relu"), wide, 3, "relu")
        skips.append(x)
        x = net.add(f"d{level}.p", ops.pool(net.shape(x), 2, stride=2, mode="max", padding=0), x)
    x = net.conv("middle", x, channels * 2**depth, 3, "relu")
    for level in reversed(range(depth)):
        wide = channels * 2**level
        x = net.concat(f"u{level}.j", net.add(f"u{level}.up", ops.upsample(net.shape(x), 2), x), skips[level])
        x = net.conv(f"u{level}.b", net.conv(f"u{level}.a", x, wide, 3, "relu"), wide, 3, "relu")
    return net.build(net.conv("classes", x, 5))


def test_skip_connections_leave_each_layer_a_width_of_its_own():
    space = DerivedSpace(unet())
    assert len([choice for choice in space.choices if choice.name != "resolution"]) == 17
    assert not [note for note in space.plan.notes if note.together]
    assert max(math.prod(space.cardinalities[c] for c in term.choices) for term in space.terms) <= 20_000
    assert len(space.ops()) < 2000


def test_no_batch_norm_is_put_back_behind_what_gives_the_classes():
    def put_back(end):
        net = Net((3, 16, 16), norm="bias")
        x = net.conv("classes", net.conv("a", INPUT, 16, 3, "relu", stride=2), 5)
        if end == "upsample":
            x = net.add("up", ops.upsample(net.shape(x), 2), x)
        if end == "sum":
            x = net.plus("sum", x, net.conv("classes2", net.conv("b", INPUT, 16, 3, "relu", stride=2), 5))
        model = net.build(x)
        return set(derive(model, varied_weights(model)).space.prepared.put_back)

    assert put_back("nothing") == put_back("upsample") == {"a"}
    assert put_back("sum") == {"a", "b"}


def test_weights_that_follow_the_size_of_the_image_leave_it_one_size():
    net = Net((3, 32, 32), norm="bias")
    x = net.conv("b", net.conv("a", INPUT, 16, 3, "relu", stride=2), 16, 3, "relu", stride=2)
    flat = net.add("flat", ops.reshape(net.shape(x), (math.prod(net.shape(x)), 1, 1)), x)
    x = net.conv("fc2", net.conv("fc1", flat, 64, 1, "relu"), 10, 1)
    model = net.build(net.add("out", ops.reshape(net.shape(x), (10,)), x))
    derived = derive(model, varied_weights(model))
    assert derived.space.plan.resolutions == (32,)
    (note,) = (note for note in derived.notes if note.what == "resolution")
    assert "fc1" in note.reason


def test_options_may_be_numbers_and_arrays_of_numpy():
    model = small()
    plain = DerivedSpace(model, widths=[0.25, 0.5, 1], step=4, resolutions=[6, 8], norms=False)
    arrays = {"widths": np.array([0.25, 0.5, 1]), "step": np.int64(4), "resolutions": np.array([6, 8])}
    assert DerivedSpace(model, **arrays, norms=np.bool_(False)).settings == plain.settings
    json.dumps(DerivedSpace(model, **arrays).settings)


def test_resolutions_of_a_model_without_images_are_refused():
    net = Net((4, 64))
    model = net.classify(net.conv("b", net.conv("a", INPUT, 16, 3, "relu"), 16, 3, "relu"))
    assert len(DerivedSpace(model).choices) == 2
    with pytest.raises(HwnasError, match="resolutions: the model reads no images"):
        DerivedSpace(model, resolutions=[32, 64])


def test_too_many_forms_name_the_options_that_reduce_them():
    net = Net((3, 64, 64))
    first = net.conv("a", INPUT, 160, 3, "relu")
    x = net.conv("c", net.concat("j", first, net.conv("b", first, 160, 3, "relu")), 160, 7, "relu")
    with pytest.raises(HwnasError, match="take fewer --space-option widths or resolutions, or kernels=none"):
        DerivedSpace(net.classify(x), widths=[i / 16 for i in range(1, 17)])


class Slope(Primitive):
    """A learned slope for negative values, one for all channels."""

    kind = "test_slope"

    def infer(self, op):
        return op.inputs[0]

    def parameters(self, op):
        return {"weight": Parameter((1,), "one")}

    def lower(self, op, emit, inputs, weights):
        return emit.node("PRelu", [inputs[0], emit.constant("weight", weights["weight"].reshape(1, 1, 1))])

    def forward(self, op, inputs, parameters, norm):
        import torch

        return torch.nn.functional.prelu(inputs[0], parameters["weight"])


def test_weights_of_other_operators_are_not_taken_for_those_of_channels(monkeypatch):
    import torch

    from hwnas.training import taylor_scores

    monkeypatch.setattr(_registry, "_OPERATORS", dict(_registry._OPERATORS))
    register_operator(Slope)
    net = Net((3, 16, 16))
    x = net.conv("a", INPUT, 16, 3)
    x = net.add("slope", Op("test_slope", (net.shape(x),), net.shape(x), ()), x)
    model = net.classify(net.conv("c", net.conv("b", x, 32, 3, "relu"), 32, 3, "relu"))
    weights = varied_weights(model)
    derived = derive(model, weights)
    require_equal(run(derived.graph, derived.weights), run(model, weights))
    batch = (torch.rand(2, 3, 16, 16), torch.tensor([0, 1]))
    assert "slope" not in taylor_scores(derived, [batch], torch.nn.functional.cross_entropy)


@pytest.mark.parametrize("depth", ["stages", "blocks"])
def test_a_network_whose_output_adds_its_input_keeps_a_block(depth):
    def block(number, x):
        first = Node(f"a{number}", ops.conv((16, 8, 8), 24, kernel=3, stride=1, act="relu"), (x,))
        second = Node(f"b{number}", ops.conv((24, 8, 8), 16, kernel=3, stride=1), (first.name,))
        return first, second, Node(f"sum{number}", ops.add((16, 8, 8)), (second.name, x))

    nodes = (*block(0, INPUT), *block(1, "sum0"))
    model = OpGraph((16, 8, 8), nodes, ("sum1",))
    derived = derive(model, varied_weights(model), depth=depth)
    space = derived.space
    assert [len(space.graph(arch).nodes) > 0 for arch in (space.smallest, space.largest)] == [True, True]
    (choice,) = [choice for choice in space.choices if "block" in choice.name or "depth" in choice.name]
    assert choice.values == ((1, 2) if depth == "stages" else (0, 1))
    assert any("the output would be the input" in line for line in describe_lines(derived))
