"""What is special about the space of clips: its middle operators, the networks it names, texts, settings."""

import numpy as np
import pytest
import torch

from hwnas._errors import SpaceError
from hwnas.spaces import make_space
from profilers import GraphModule, expand, graph_macs

SPACE = make_space("video", frames=4, image_size=8, width=[0.5, 1.0], classes=3)
MIDDLES = ("skip", "3x1x1", "shift", "1x3x3", "sum", "1x5x5", "3x3x3")


def kernels(arch):
    """The kernels of depthwise convolutions, block by block."""
    nodes = expand(SPACE.graph(arch)).nodes
    return [node.op.integers("kernel", 3) for node in nodes if node.op.kind == "conv" and node.op.integer("groups") > 1]


def test_named_networks_are_members():
    assert set(kernels(SPACE.everywhere("3x3x3"))) == {(3, 3, 3)}
    assert set(kernels(SPACE.everywhere("1x3x3"))) == {(1, 3, 3)}
    assert set(kernels(SPACE.everywhere("sum"))) == {(1, 3, 3), (3, 1, 1)}
    assert len(kernels(SPACE.everywhere("skip"))) == 3  # the first block of each stage, which may change the size
    kinds = {node.op.kind for node in expand(SPACE.graph(SPACE.everywhere("shift"))).nodes}
    assert "shift" in kinds
    macs = [graph_macs(SPACE.graph(SPACE.everywhere(middle))) for middle in MIDDLES]
    assert macs == sorted(macs)
    with pytest.raises(SpaceError, match="must be one of skip, 3x1x1, shift, 1x3x3, sum, 1x5x5, 3x3x3, got '7x7x7'"):
        SPACE.everywhere("7x7x7")


def test_a_named_network_keeps_width_depths_and_expansions():
    for arch in SPACE.sample(10, np.random.default_rng(0)):
        solid = SPACE.everywhere("3x3x3", arch)
        rest = [
            [v for choice, v in zip(SPACE.choices, a.values, strict=True) if not choice.name.endswith("middle")]
            for a in (arch, solid)
        ]
        assert rest[0] == rest[1]


@pytest.mark.parametrize("middle", MIDDLES)
def test_who_sees_motion(middle):
    """A network that sees single frames says the same of a clip whose frames are in another order."""
    small = SPACE.parse("w0.5_1x3x3.e2+skip.e2_1x3x3.e2_1x5x5.e2")
    arch = SPACE.everywhere(middle, small)
    module = GraphModule(SPACE.graph(arch), seed=0).eval()
    clips = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same = torch.allclose(module(clips), module(clips[:, :, [2, 0, 3, 1]]), atol=1e-4)
    assert same != SPACE.sees_motion(arch)
    assert SPACE.sees_motion(arch) == (middle in ("3x1x1", "shift", "sum", "3x3x3"))
    assert not SPACE.sees_motion(SPACE.still(arch))


def test_still_keeps_what_looks_at_space():
    arch = SPACE.parse("w0.5_sum.e2+skip.e3_1x5x5.e2_3x3x3.e4+3x1x1.e2+shift.e2")
    assert SPACE.format(SPACE.still(arch)) == "w0.5_1x3x3.e2+skip.e3_1x5x5.e2_1x3x3.e4+1x3x3.e2+1x3x3.e2"


def test_texts_are_checked():
    for text in (
        "w0.5_1x3x3.e2_1x3x3.e2",
        "w0.7_1x3x3.e2_1x3x3.e2_1x3x3.e2",
        "w0.5_skip.e2_1x3x3.e2_1x3x3.e2",
        "w0.5_1x3x3.e9_1x3x3.e2_1x3x3.e2",
        "nonsense",
    ):
        with pytest.raises(SpaceError, match="space video: "):
            SPACE.parse(text)


def test_size_counts_networks():
    per_stage = 18 + 18 * 21 + 18 * 21 * 21
    assert SPACE.size == 2 * per_stage**3


def test_settings_are_checked_and_large_frames_pass_more_stages():
    for settings, line in (
        ({"frames": 1}, "frames must be 2 to 64, got 1"),
        ({"image_size": 300}, "image_size must be 8 to 256, got 300"),
        ({"width": [0.5, 0.5]}, "width must be one to eight different numbers of 0.25-4"),
        ({"width": "wide"}, "width must be"),
        ({"classes": 0}, "classes must be a positive integer, got 0"),
    ):
        with pytest.raises(SpaceError, match=line):
            make_space("video", **settings)
    assert len(make_space("video", image_size=64).stages) == 5
    assert len(SPACE.stages) == 3
