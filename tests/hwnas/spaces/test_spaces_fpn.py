"""`fpn`: the contract, FCOS's pyramid and head as members, and parts that are cut where several tensors pass."""

import numpy as np
import pytest
import torch

from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import SpaceError
from hwnas.spaces import Architecture, ChoiceGraph, ChoiceGraphSpace, Space, make_space
from hwnas.testing import check_space
from hwnas.training import Supernet
from profilers import graph_macs, graph_parameters, ops

SMALL = {"classes": 3, "resolution": [64, 96], "width": [0.5], "channels": [8, 16]}


def test_contract():
    check_space(make_space("fpn", **SMALL))
    check_space(make_space("fpn", **SMALL, pyramid="fcos"))


def test_networks_end_in_boxes_of_three_maps():
    space = make_space("fpn", **SMALL)
    arch = space.sample(1, np.random.default_rng(0))[0]
    graph = space.graph(arch)
    op = graph.nodes[-1].op
    side = space.input_shape(arch)[1]
    assert op.kind == "detections"
    assert op.integers("levels", 6) == tuple(side // stride for stride in (8, 8, 16, 16, 32, 32))
    assert op.inputs[0] == (3 + 5, 21 * (side // 32) ** 2)


def test_the_hand_made_detector_is_a_member_and_the_only_one_of_pyramid_fcos():
    space, fixed = make_space("fpn", **SMALL), make_space("fpn", **SMALL, pyramid="fcos")
    made = space.hand_made(space.sample(1, np.random.default_rng(0))[0])
    graph = space.graph(made)
    assert space.parse(space.format(made)) == made
    assert sum(node.op.kind == "separable" for node in graph.nodes) == 0
    assert sum(node.op.kind == "add" for node in graph.nodes) == 2
    shared = {name for name, _ in graph_parameters(graph) if name.startswith(("class", "box")) and "@" not in name}
    assert len([name for name in shared if name.endswith(".weight")]) == 2 * 3 + 2
    values = dict(zip((choice.name for choice in space.choices), made.values, strict=True))
    twin = fixed.canonical(type(made)(tuple(values[choice.name] for choice in fixed.choices)))
    same = fixed.graph(twin)
    assert same.op_counts == graph.op_counts
    assert sorted(node.name for node in same.nodes) == sorted(node.name for node in graph.nodes)
    assert fixed.hand_made(twin) == twin


@pytest.mark.parametrize("pyramid", ["searched", "fcos"])
def test_networks_have_short_texts_and_the_texts_of_earlier_versions_are_read(pyramid):
    space = make_space("fpn", classes=3, resolution=[64, 96], width=[0.5, 1.0], pyramid=pyramid)
    archs = space.sample(40, np.random.default_rng(0))
    for arch in archs:
        assert space.parse(space.format(arch)) == space.parse(Space.format(space, arch)) == space.canonical(arch)
        assert len(space.format(arch)) < 200
    assert len(set(map(space.format, archs))) == len(set(map(space.canonical, archs)))
    for text in ("w1", "width=1", "w0.5r64c24_k3e2_k3e2_k3e2_k3e2"):
        with pytest.raises(SpaceError, match=f"cannot read '{text}'; it must look like w0.5r64c24_k3e2_"):
            space.parse(text)


def test_a_supernet_trains_what_stands_before_the_boxes():
    space = make_space("fpn", classes=3, resolution=64, width=0.5, channels=8)
    supernet = Supernet(space)
    import torch

    x = torch.zeros(2, 3, 64, 64)
    arch = space.sample(1, np.random.default_rng(1))[0]
    assert supernet(x, arch).shape == (2, 8, 84)
    assert supernet.subnet(arch, [x])(x).shape[2] == 6


def test_convolutions_behind_a_concatenation_use_leading_channels_of_both_maps():
    space = make_space("fpn", classes=2, resolution=[64], width=[0.5], channels=[8, 16])
    names = [choice.name for choice in space.choices]
    supernet = Supernet(space)
    shared = supernet.shared()["fpn0.mixed.weight"]
    for channels, columns in ((8, [*range(8), *range(16, 24)]), (16, range(32))):
        values = dict(zip(names, space.sample(1, np.random.default_rng(0))[0].values, strict=True))
        values |= {"channels": channels, "fpn0.aggregation": "concat", "fpn0.own": "skip", "fpn0.other": "skip"}
        arch = space.canonical(Architecture(tuple(values[name] for name in names)))
        used = supernet.weights(arch)["fpn0.mixed.weight"]
        assert torch.equal(used, shared[:channels, list(columns)])


def test_impossible_settings_are_refused():
    for settings, why in (
        ({"resolution": 65}, "multiples of 32 from 64 to 512, got 65"),
        ({"pyramid": "none"}, "pyramid must be searched or fcos"),
        ({"channels": 4}, "whole numbers from 8 to 512, got 4"),
        ({"width": 9}, "width multipliers must be 0.1-4, got 9"),
        ({"width": []}, "space fpn: width must be 1 to 32 different values"),
    ):
        with pytest.raises(SpaceError, match=why):
            make_space("fpn", **settings)


class TwoPaths(ChoiceGraphSpace):
    """Two convolutions side by side, several times; cut after each pair."""

    name = "two-paths"
    activation = "relu"

    def state(self):
        graph = ChoiceGraph()
        x = graph.read(3, 8, 8)
        paths = [graph.add(f"start{i}", ops.conv, x, channels=8 + i, act="relu") for i in range(2)]
        graph.cut()
        for layer in range(4):
            for i in range(2):
                kernel = graph.choice(f"kernel{layer}{i}", (1, 3, 5))
                name = f"conv{layer}{i}"
                paths[i] = graph.add(name, ops.conv, paths[i], channels=8 + i, kernel=kernel, act=self.activation)
            graph.cut()
        both = graph.add("both", ops.concat, *paths)
        return graph.finish(graph.add("classes", ops.linear, both, features=5))


def test_a_cut_makes_parts_of_few_choices_that_cost_what_the_network_costs():
    space = TwoPaths()
    check_space(space)
    assert [len(term.choices) for term in space.terms] == [2, 2, 2, 2]
    assert max(term.tensors for term in space.terms) == 2
    codes = np.random.default_rng(0).integers(0, 3, (20, 8))
    macs = SpaceCosts(space, None).cost("macs")(codes)
    assert macs.tolist() == [graph_macs(space.graph(space.decode(row))) for row in codes]


class Open(TwoPaths):
    """The same with convolutions that a runtime may merge with what follows."""

    name = "open"

    def state(self):
        graph = ChoiceGraph()
        x = graph.read(3, 8, 8)
        paths = [graph.add(f"start{i}", ops.conv, x, channels=8) for i in range(2)]
        graph.cut()
        return graph.finish(graph.sum("sum", *paths))


def test_a_cut_through_a_merge_is_refused():
    with pytest.raises(SpaceError, match="cannot be cut off at 'start0', since a runtime merges"):
        Open().ops()
