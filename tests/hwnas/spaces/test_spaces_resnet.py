"""`resnet`: what its networks are, and which images it reads."""

from types import SimpleNamespace

import numpy as np
import pytest

from hwnas import HwnasError
from hwnas.spaces import make_space, space_defaults
from profilers import graph_macs, graph_params


def test_the_reference_is_resnet_8():
    space = make_space("resnet")
    reference = space.graph(space.reference())
    assert [node.op.output for node in reference.nodes if node.op.kind == "conv"][-1] == (64, 8, 8)
    weights = 16 * 27 + 2 * 2304 + (4608 + 9216 + 512) + (18432 + 36864 + 2048) + 64 * 10
    scales_and_shifts = 2 * (3 * 16 + 3 * 32 + 3 * 64)
    assert graph_macs(reference) == 1024 * 16 * 27 + 1024 * 4608 + 256 * 14336 + 64 * 57344 + 640
    assert graph_params(reference) == weights + scales_and_shifts + 10


def test_every_listed_op_is_of_a_network():
    space = make_space("resnet", image_size=8)
    used = {node.op for arch in space.sample(3000, np.random.default_rng(0)) for node in space.graph(arch).nodes}
    assert used == set(space.ops())


def test_kinds_differ_in_their_convolutions():
    space = make_space("resnet")
    text = space.format(space.reference())
    inverted = space.graph(space.parse(text.replace("kind3=dense", "kind3=inverted")))
    for graph, count in ((inverted, 1), (space.graph(space.reference()), 0)):
        groups = [dict(node.op.attributes).get("groups", 1) for node in graph.nodes]
        assert sum(number > 1 for number in groups) == count


@pytest.mark.parametrize(("side", "read"), [(4, 8), (28, 28), (224, 64)])
def test_images_are_read_at_a_size_that_the_space_has(side, read):
    task = SimpleNamespace(input_shape=(1, side, side + 2), outputs=7)
    assert space_defaults("resnet", task, {}) == {"classes": 7, "image_channels": 1, "image_size": read}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 96}, "image_size must be 8 to 64, got 96; for larger images take --space mobilenetv3"),
        ({"classes": 0}, "space resnet: classes must be a positive integer, got 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(HwnasError, match=message):
        make_space("resnet", **settings)
