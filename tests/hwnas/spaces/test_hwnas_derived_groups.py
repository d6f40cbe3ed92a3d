"""Dependency groups: which channels must go together, found by hand."""

import pytest
from derived_models import Net, dense_block, mobile, resnet

from hwnas.spaces._derived._groups import GATE, layout_of
from hwnas.spaces._derived._prepare import prepare
from hwnas.spaces._derived._segments import cut, fresh, protect, resolved, tie
from latency_tables import INPUT
from profilers import ops


def layout(graph, kept=()):
    return layout_of(prepare(graph).graph, kept)


def parts(found, tensor):
    return [(part.group, part.count, part.width) for part in found.written[tensor]]


def sizes(axis):
    return [(run.segment.count, run.width) for run in resolved(axis)]


def test_ties_split_where_the_other_axis_has_a_border():
    long, a, b = fresh(12), fresh(4), fresh(8)
    tie(long, (*a, *b), "")
    assert sizes(long) == [(4, 1), (8, 1)]
    assert [run.segment for run in resolved(long)] == [run.segment for run in resolved((*a, *b))]


def test_units_become_as_large_as_both_sides_need():
    channels = fresh(12)
    tie(tuple(run for run in channels), (type(channels[0])(fresh(6)[0].segment, 2),), "")
    assert sizes(channels) == [(6, 2)]
    tie(channels, (type(channels[0])(fresh(4)[0].segment, 3),), "")
    assert sizes(channels) == [(2, 6)]


def test_a_border_within_a_unit_keeps_everything():
    units = (type(fresh(1)[0])(fresh(4)[0].segment, 3),)
    other = (*fresh(4), *fresh(8))
    tie(units, other, "misaligned")
    assert {run.segment.reason for run in resolved((*units, *other))} == {"misaligned"}
    assert cut(units, 0, 4) is None
    assert sizes(cut(units, 3, 6)) == [(2, 3)]


def test_protection_survives_ties_and_splits():
    a, b = fresh(8), fresh(8)
    protect(a, "first")
    protect(a, "second")
    tie(a, b, "")
    tie(b, (*fresh(2), *fresh(6)), "")
    assert [run.segment.reason for run in resolved(a)] == ["first", "first"]


def test_residual_sums_tie_a_stage_and_leave_the_inside_free():
    found = layout(resnet(blocks=2))
    assert found.groups["stem"].nodes == ("stem", "layer0.0.conv2", "layer0.1.conv2")
    assert found.groups["layer0.0.conv1"].nodes == ("layer0.0.conv1",)
    assert found.groups[INPUT].reason == "it is the network's input"
    assert found.groups["classes"].reason == "it is the network's output"


def test_depthwise_convolutions_and_gates_follow_the_expansion():
    found = layout(mobile())
    hidden = found.groups["stage1.0.expand"]
    assert set(hidden.nodes) >= {"stage1.0.depthwise", "stage1.0.se.scale", "stage1.0.se.expand", "stage1.0.se.pool"}
    assert found.groups["stage1.0.se.reduce"].reason == GATE
    assert hidden.reason == ""


def test_members_of_a_concatenation_keep_groups_of_their_own():
    net = Net((3, 8, 8))
    a, b = net.conv("a", INPUT, 8, 1, "relu"), net.conv("b", INPUT, 24, 1, "relu")
    found = layout(net.classify(net.conv("after", net.concat("both", a, b), 16)))
    assert parts(found, "both") == [("a", 8, 1), ("b", 24, 1)]
    assert [part.group for part in found.read["after"]] == ["a", "b"]


def test_a_sum_with_a_concatenation_splits_the_other_side():
    net = Net((3, 8, 8))
    a, b = net.conv("a", INPUT, 8), net.conv("b", INPUT, 24)
    both = net.concat("both", a, b)
    found = layout(net.classify(net.plus("sum", net.conv("c", INPUT, 32), both)))
    assert parts(found, "c") == parts(found, "both") == [("a", 8, 1), ("b", 24, 1)]


def test_groups_of_a_convolution_are_units():
    net = Net((3, 8, 8))
    x = net.conv("wide", INPUT, 32, 3, "relu")
    x = net.conv("grouped", x, 64, 3, "relu", groups=8)
    found = layout(net.classify(x))
    assert parts(found, "wide") == [("wide", 8, 4)]
    assert parts(found, "grouped") == [("wide", 8, 8)]


def test_flattening_makes_a_channel_several_features():
    net = Net((3, 4, 4))
    x = net.conv("conv", INPUT, 16, 3, "relu")
    found = layout(net.build(net.add("classes", ops.linear(net.shape(x), 10), x)))
    assert [(part.group, part.count, part.width) for part in found.read["classes"]] == [("conv", 16, 16)]


def test_a_slice_divides_what_it_reads():
    net = Net((3, 8, 8))
    x = net.conv("conv", INPUT, 32, 1, "relu")
    half = net.add("half", ops.slice_channels(net.shape(x), 16, 16), x)
    found = layout(net.classify(net.concat("both", half, x)))
    assert parts(found, "conv") == [("conv/0", 16, 1), ("conv/1", 16, 1)]
    assert parts(found, "half") == [("conv/1", 16, 1)]


def test_kept_layers_protect_all_that_is_tied_to_them():
    found = layout(resnet(blocks=1), kept={"layer0.0.conv2"})
    assert found.groups["stem"].reason == "keep=layer0.0.conv2"
    assert found.groups["layer0.0.conv1"].reason == ""


@pytest.mark.parametrize("norm", ["none", "bias"])
def test_norms_behind_convolutions_become_theirs(norm):
    net = Net((3, 8, 8), norm=norm)
    x = net.conv("conv", INPUT, 16, 3)
    x = net.act("relu", net.add("norm", ops.norm(net.shape(x)), x))
    prepared = prepare(net.classify(net.conv("last", x, 16)))
    assert prepared.norms == {"conv": "norm"}
    assert prepared.put_back == {"last": norm}
    assert [node.op.word("norm") for node in prepared.graph.nodes if node.op.kind == "conv"] == ["batch", "batch"]


@pytest.mark.parametrize("end", ["reshape", "softmax"])
def test_no_norm_is_put_behind_the_convolution_that_gives_the_classes(end):
    net = Net((3, 8, 8), norm="bias")
    x = net.act("relu", net.conv("classes", net.conv("conv", INPUT, 16, 3), 10))
    x = net.add("pool", ops.global_pool(net.shape(x)), x)
    x = net.add("end", ops.reshape(net.shape(x), (10,)) if end == "reshape" else ops.softmax(net.shape(x)), x)
    assert prepare(net.build(x)).put_back == {"conv": "bias"}


def test_dense_blocks_read_every_group_that_was_written():
    found = layout(dense_block(layers=3))
    assert [part.group for part in found.read["layer2.a"]] == ["stem", "layer0.b", "layer1.b"]
