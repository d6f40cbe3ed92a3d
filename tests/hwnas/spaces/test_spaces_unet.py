"""The space `unet`: what its networks look like, how they share weights, and how their parts are priced."""

import numpy as np
import pytest
import torch
from made_tables import made_table

from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import SpaceError
from hwnas.spaces import MixedPrecisionSpace, make_space
from hwnas.tasks import make_task
from hwnas.training import Supernet
from profilers import graph_macs

SMALL = make_space("unet", size=[16, 8], levels=2, channels=4, width=[0.5, 1.0, 1.5])
SIGNAL = make_space("unet", size=64, channels=8, classes=1, image_channels=2)


def draw(space, count, seed=0):
    return space.sample(count, np.random.default_rng(seed))


@pytest.mark.parametrize("space", [SMALL, SIGNAL])
def test_outputs_have_the_resolution_of_the_inputs(space):
    for arch in draw(space, 10):
        graph = space.graph(arch)
        assert graph.output_shape[1:] == graph.input_shape[1:] == tuple(space.settings["size"])
        assert graph.output_shape[0] == space.settings["classes"]


def test_the_reference_is_the_published_network_in_this_space():
    space = make_space("unet", size=[32, 32], channels=16, width=[1.0])
    graph = space.graph(space.reference())
    kinds = [node.op.kind for node in graph.nodes]
    assert (kinds.count("concat"), kinds.count("upsample"), kinds.count("mbconv"), kinds.count("add")) == (3, 3, 0, 0)
    kernels = [node.op.integers("kernel", 2) for node in graph.nodes if node.op.kind == "conv"]
    # the stem, two for each of four levels, the bottom, a pair for each level of the decoder; 1x1 are the others
    assert (kernels.count((3, 3)), kernels.count((1, 1))) == (1 + 8 + 1 + 6, 3 + 1)
    assert space.format(space.reference()) == "w1.0_c3+c3_c3+c3_c3+c3_c3+c3_d1_concat3+c3_concat3+c3_concat3+c3"
    channels = {node.name: node.op.output[0] for node in graph.nodes}
    assert [channels[f"enc{i}.block0.op.conv"] for i in range(4)] == [16, 24, 40, 64]
    assert channels["dec0.skip.concat"] == 32


def test_texts_are_read_back_and_others_are_one_line():
    for arch in draw(SMALL, 50):
        assert SMALL.parse(SMALL.format(arch)) == arch
    good = SMALL.format(SMALL.reference())
    for bad in (
        "",
        "w1.0",
        good.replace("w1.5", "w7"),
        good.replace("c3", "c4"),
        good.replace("d1", "d3"),
        good.replace("concat3", "sum5"),
        f"{good}+c3",
        good.replace("_d1", "_d"),
        good.replace("c3", "m3"),
    ):
        with pytest.raises(SpaceError, match=r"space unet: .*(cannot read|must be one of)"):
            SMALL.parse(bad)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"levels": 4}, "levels must be 2 or 3, got 4"),
        ({"size": [30, 32]}, "with levels=3 every extent of size must be a multiple of 8, got 30x32"),
        ({"size": [8, 8, 8]}, r"size must be one or two positive integers, got \[8, 8, 8\]"),
        ({"size": "big"}, "size must be one or two positive integers, got 'big'"),
        ({"width": 9}, "width must be 1 to 32 different multipliers from 0.1 to 4, got 9"),
        ({"width": [1.0, 1.0]}, "width must be 1 to 32 different multipliers"),
        ({"channels": 0}, "channels must be a positive integer, got 0"),
    ],
)
def test_bad_settings_are_one_line(settings, line):
    with pytest.raises(SpaceError, match=f"space unet: {line}"):
        make_space("unet", **settings)


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_cost_what_the_network_costs_with_their_skip_connections(threads):
    table = made_table(SMALL, None if threads == 1 else "sides")
    assert max(term.tensors for term in SMALL.terms) == 3
    costs = SpaceCosts(SMALL, table)
    archs = draw(SMALL, 12)
    prices = [table.price(SMALL.graph(arch)).value_ms for arch in archs]
    assert costs.latency_ms(np.array([SMALL.encode(arch) for arch in archs])) == pytest.approx(prices, rel=1e-9)


def test_each_part_reads_what_the_part_before_it_gives():
    for arch in draw(SMALL, 5):
        passed = [SMALL.input_shape(arch)]
        for term in SMALL.terms:
            part = SMALL.term_graph(term, arch)
            if part is not None:
                assert [shape for _, shape in part.inputs] == passed
                passed = [part.shape_of(name) for name in part.outputs]
        assert passed == [SMALL.graph(arch).output_shape]


def test_narrow_networks_use_the_leading_channels_of_both_halves_of_a_concatenation():
    supernet = Supernet(SMALL, seed=0)
    arch = SMALL.parse("w0.5_c3_c3_c3_d1_concat3_concat3")
    shared = supernet.shared()["dec1.conv.concat.weight"]
    own = supernet.weights(arch)["dec1.conv.concat.weight"]
    half, whole = own.shape[1] // 2, shared.shape[1] // 2
    assert half < whole
    assert torch.equal(own[:, :half], shared[: len(own), :half])
    assert torch.equal(own[:, half:], shared[: len(own), whole : whole + half])


@pytest.mark.parametrize("space", [SMALL, SIGNAL])
def test_all_networks_compute_from_shared_weights(space):
    supernet = Supernet(space, seed=0)
    assert graph_macs(space.graph(supernet.smallest)) < graph_macs(space.graph(supernet.largest))
    for arch in (supernet.largest, supernet.smallest, space.reference(), *draw(space, 4)):
        x = torch.randn(2, *space.input_shape(arch))
        assert supernet(x, arch).shape == (2, *space.graph(arch).output_shape)


def test_a_precision_for_each_block_is_refused():
    with pytest.raises(SpaceError, match="several tensors pass between its blocks, so --precision mixed cannot"):
        _ = MixedPrecisionSpace(SMALL).choices


def test_maps_for_data_with_one_label_each_are_refused_with_what_helps():
    task = make_task("image", "digits", limit=60)
    with pytest.raises(SpaceError) as caught:
        task.require_fit(make_space("unet", size=[8, 8], classes=10, image_channels=1, channels=4, levels=2))
    assert str(caught.value) == (
        "space unet: its networks give 10x8x8 numbers, but each sample of these data has one label; choose another "
        "--space (the usual one without --space), or data with masks or boxes"
    )
