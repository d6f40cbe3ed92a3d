"""Spaces for signals: convnet1d, dscnn, and front ends; weights that their networks share; int8."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hwnas._errors import SpaceError
from hwnas.spaces import make_space, space_defaults, with_precision
from hwnas.testing import check_space
from hwnas.training import Supernet
from profilers import GraphModule, expand, fusion_differences, graph_macs, graph_params

RAW = make_space("convnet1d", length=256, input_channels=2, classes=4)
MOTION = make_space("convnet1d", length=128, input_channels=6)
WORDS = make_space("convnet1d", length=16_000)
BANDS = make_space("convnet1d", frontend="logmel", length=4000, sample_rate=8000, bands=16, hop_ms=[20, 40])
MAPS = make_space("dscnn", frontend="none", classes=12)
SPEECH = make_space("dscnn", classes=12)
EITHER = make_space("dscnn", preset="both", length=8000, sample_rate=8000, window_ms=[20, 30])
MOBILE = make_space("mobilenetv3", frontend="logmel", image_channels=1, length=4000, sample_rate=8000, bands=[16, 24])


@dataclass
class Signals:
    """What a space is told of a task."""

    input_shape: tuple[int, ...] = (2, 8000)
    outputs: int = 7
    sample_rate: float | None = 8000.0


def smallest_and_largest(space):
    supernet = Supernet(space)
    return [graph_macs(space.graph(arch)) / 1e6 for arch in (supernet.smallest, supernet.largest)]


def test_ds_cnn_is_a_member():
    """Its parts by hand: 10x4 convolution to 25x5 places, four blocks of 64 channels, twelve classes."""
    graph = MAPS.graph(MAPS.reference())
    blocks = 4 * (64 * 9 + 64 * 64)
    assert graph_macs(graph) == 125 * (64 * 40 + blocks) + 64 * 12
    assert graph_params(graph) == 64 * 40 + blocks + 64 * 12 + 12 + 2 * 64 * 9
    assert graph.input_shape == (1, 10, 49)
    assert MAPS.format(MAPS.reference()) == "k4x10c64_c64:k3+k3_c64t1:k3+k3"
    assert SPEECH.format(SPEECH.reference()) == "m10h20_k4x10c64_c64:k3+k3_c64t1:k3+k3"
    assert SPEECH.graph(SPEECH.reference()).shape_of("frontend") == (1, 10, 49)
    with pytest.raises(SpaceError, match=r"stem\.channels must be one of 16, 32, got 64"):
        make_space("dscnn", filters=[16, 32]).reference()


def test_stages_of_the_preset_both_are_separable_or_dense():
    reference = EITHER.format(EITHER.reference())
    assert reference == "m10h20w30_k4x10c64_separable-c64t1:k3+k3_separable-c64t1:k3+k3"
    graph = EITHER.graph(EITHER.parse("m20h40w20_k4x10c16_dense-c32t2:k3_separable-c64t2:k5+k3"))
    convolutions = {n.name: n.op for n in graph.nodes if n.name.startswith("stage")}
    assert {name: op.output for name, op in convolutions.items()} == {
        "stage0.block0.dense": (32, 5, 7),
        "stage1.block0.depthwise": (32, 3, 4),
        "stage1.block0.pointwise": (64, 3, 4),
        "stage1.block1.depthwise": (64, 3, 4),
        "stage1.block1.pointwise": (64, 3, 4),
    }
    published = SPEECH.graph(SPEECH.reference())
    own = make_space("dscnn", preset="both", classes=12)
    assert own.graph(own.reference()).nodes == published.nodes


def test_windows_are_a_choice():
    """A shorter window has fewer samples and frequencies; the hop decides the number of frames."""
    forms = {form: EITHER._frontend.op((1, 8000), form=form) for form in EITHER._frontend.forms}
    assert list(forms) == [f"m{m}h{h}w{w}" for m in (10, 20) for h in (20, 40) for w in (20, 30)]
    assert {form[-3:]: op.integer("window") for form, op in forms.items() if "h20" in form} == {"w20": 160, "w30": 240}
    assert EITHER.settings["window_ms"] == [20, 30]
    assert SPEECH.settings["window_ms"] == 30.0, "one window is written as by earlier versions"


@pytest.mark.parametrize("space", [MOTION, WORDS, MAPS], ids=["motion", "words", "maps"])
def test_networks_are_of_the_size_of_a_keyword_network(space):
    """A tenth of DS-CNN's 2.7 million multiply-accumulates to a few times as many."""
    small, large = smallest_and_largest(space)
    assert small < 0.37
    assert 3.5 < large < 22


@pytest.mark.parametrize(
    ("length", "strides"),
    [(16, [1, 1, 1, 1]), (49, [1, 1, 2, 2]), (128, [1, 2, 2, 2]), (1000, [8, 2, 2, 2]), (16_000, [16, 4, 4, 4])],
)
def test_strides_follow_the_length(length, strides):
    space = make_space("convnet1d", length=length)
    assert space._strides == strides
    arch = space.decode([0] * len(space.choices))
    assert 8 <= space.graph(arch).shape_of("stage2.block0")[2] <= 32


def test_signals_are_maps_of_height_1_inside():
    arch = RAW.sample(1, np.random.default_rng(0))[0]
    graph = RAW.graph(arch)
    assert graph.input_shape == (2, 256) == RAW.input_shape(arch)
    assert all(node.op.output[1] == 1 for node in graph.nodes if len(node.op.output) == 3)
    assert fusion_differences(graph) == []


def test_mel_bands_are_the_channels_of_convnet1d():
    graph = BANDS.graph(BANDS.parse(BANDS.format(BANDS.sample(1, np.random.default_rng(1))[0])))
    assert graph.shape_of("signal")[:2] == (16, 1)
    assert graph.shape_of("signal")[2] == graph.shape_of("frontend")[2]


def test_an_absent_block_is_not_written():
    text = "w1.0_n2k5_k3e1s0_k7d2e3s1+k15e1s0_t2:k31e2s1"
    arch = MOTION.parse(text)
    assert MOTION.format(arch) == text
    names = {node.name for node in MOTION.graph(arch).nodes}
    assert names == {"signal", "stem", "pool", "classes", "stage0.block0", "stage1.block0", "stage1.block1"} | {
        "stage2.block0"
    }
    depthwise = next(n.op for n in expand(MOTION.graph(arch)).nodes if n.name == "stage1.block0.depthwise")
    assert depthwise.integers("kernel", 2) == (1, 7)
    assert depthwise.integers("dilation", 2) == (1, 2)


@pytest.mark.parametrize(
    "space", [RAW, BANDS, SPEECH, EITHER, MOBILE], ids=["raw", "bands", "speech", "either", "mobile"]
)
def test_networks_share_weights(space):
    """A subnet is the stand-alone network with the leading channels and the middle of the kernels."""
    supernet = Supernet(space, seed=1)
    assert not any(name.startswith("frontend") for name in supernet.shared())
    rng = np.random.default_rng(0)
    for arch in [supernet.smallest, *space.sample(2, rng)]:
        x = torch.from_numpy(rng.standard_normal((4, *space.input_shape(arch)), dtype=np.float32))
        subnet = supernet.subnet(arch, [x])
        with torch.no_grad():
            alone = GraphModule(space.graph(arch), subnet.arrays()).eval()(x)
            torch.testing.assert_close(subnet(x), alone, rtol=1e-4, atol=1e-5)
    supernet(x, arch).square().sum().backward()
    assert supernet.shared()["stem.weight"].grad.abs().sum() > 0


def test_small_kernels_are_the_middle_of_large_ones():
    large, small = (MAPS.reference().values, list(MAPS.reference().values))
    small[0] = "2x6"
    supernet = Supernet(MAPS)
    archs = [type(MAPS.reference())(tuple(values)) for values in (large, small)]
    whole, middle = (supernet.weights(arch)["stem.weight"] for arch in archs)
    assert torch.equal(whole[:, :, 1:3, 2:8], middle)


@pytest.mark.parametrize(
    ("name", "task", "chosen", "expected"),
    [
        ("convnet1d", Signals(), {}, {"classes": 7, "input_channels": 2, "length": 8000}),
        (
            "convnet1d",
            Signals(),
            {"frontend": "logmel"},
            {"classes": 7, "input_channels": 2, "length": 8000, "sample_rate": 8000},
        ),
        ("dscnn", Signals(), {}, {"classes": 7, "input_channels": 2, "length": 8000, "sample_rate": 8000}),
        ("dscnn", Signals(sample_rate=None), {}, {"classes": 7, "input_channels": 2, "length": 8000}),
        (
            "dscnn",
            Signals((1, 40, 49)),
            {},
            {"classes": 7, "input_channels": 1, "frontend": "none", "bands": 40, "frames": 49},
        ),
        (
            "mobilenetv3",
            Signals(),
            {},
            {"classes": 7, "image_channels": 2, "frontend": "logmel", "length": 8000, "sample_rate": 8000},
        ),
    ],
)
def test_a_space_takes_its_input_from_a_task(name, task, chosen, expected):
    assert space_defaults(name, task, chosen) == expected
    space = make_space(name, **chosen, **expected)
    assert space.input_shape(space.sample(1, np.random.default_rng(0))[0]) == task.input_shape


def test_the_front_end_is_a_choice():
    forms = {choice.name: choice.values for choice in SPEECH.choices}["frontend"]
    assert forms == ("m10h20", "m10h40", "m20h20", "m20h40")
    shapes = {
        arch.values[0]: SPEECH.graph(arch).shape_of("frontend") for arch in SPEECH.sample(60, np.random.default_rng(0))
    }
    assert shapes == {"m10h20": (1, 10, 49), "m10h40": (1, 10, 25), "m20h20": (1, 20, 49), "m20h40": (1, 20, 25)}
    op = SPEECH.graph(SPEECH.reference()).nodes[0].op
    assert {name: op.integer(name) for name in ("rate", "window", "hop", "fft", "high")} == {
        "rate": 16_000, "window": 480, "hop": 320, "fft": 480, "high": 8000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "window_ms", "hop_ms", "samples"),
    [
        (16_000, 25, 10, (400, 160)),
        (16_000, 40, 20, (640, 320)),
        (8000, 25, 40, (200, 320)),
        (22_050, 25, 10, (560, 224)),
        (50, 640, 160, (32, 8)),
    ],
)
def test_window_and_hop_are_whole_samples(rate, window_ms, hop_ms, samples):
    space = make_space(
        "dscnn", length=4 * rate, sample_rate=rate, window_ms=window_ms, hop_ms=hop_ms, bands=4, filters=16
    )
    op = space.graph(space.sample(1, np.random.default_rng(0))[0]).nodes[0].op
    wanted_window, wanted_hop = rate * window_ms / 1000, rate * hop_ms / 1000
    assert op.integer("window") == pytest.approx(wanted_window, rel=0.05)
    assert op.integer("hop") == pytest.approx(wanted_hop, rel=0.05)
    assert op.integer("window") % 2 == 0
    assert (op.integer("window"), op.integer("hop")) == samples


def test_bands_without_a_frequency_get_a_longer_transform():
    space = make_space("dscnn", length=8000, sample_rate=8000, window_ms=25, hop_ms=20, bands=100, filters=16)
    op = space.graph(space.sample(1, np.random.default_rng(0))[0]).nodes[0].op
    assert (op.integer("window"), op.integer("fft")) == (200, 400)


def test_the_front_end_has_no_precision():
    mixed = with_precision(make_space("dscnn", filters=16, length=2000, sample_rate=8000, bands=8, hop_ms=20), "mixed")
    check_space(mixed, lambda **settings: make_space("mixed", **settings))
    for arch in mixed.sample(10, np.random.default_rng(0)):
        graph = mixed.graph(arch)
        assert next(node.op.dtype for node in graph.nodes if node.name == "frontend") == "float32"
        assert not any("input" in node.inputs for node in graph.nodes if node.op.kind == "convert")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("convnet1d", {"preset": "tiny"}, "unknown preset 'tiny'; known presets: small, large"),
        ("convnet1d", {"length": 0}, "length must be a positive integer, got 0"),
        ("convnet1d", {"length": 10**7}, "length must be at most 1,000,000, got 10000000"),
        ("convnet1d", {"width": 5.0}, "width multipliers must be 0.1-4, got 5.0"),
        ("convnet1d", {"bands": 40}, "bands is a setting of the front end; set frontend=logmel too"),
        ("convnet1d", {"frontend": "logmel", "bands": [10, 20]}, "bands must be one, got [10, 20]"),
        ("convnet1d", {"frontend": "mfcc"}, "frontend must be one of none, logmel, got 'mfcc'"),
        ("dscnn", {"filters": [16, 16]}, "filters must be 1 to 32 different values, got [16, 16]"),
        ("dscnn", {"frontend": "none", "bands": [10, 20]}, "maps that are read have one number of bands, got [10, 20]"),
        ("dscnn", {"frontend": "none", "hop_ms": 20}, "hop_ms is a setting of the front end"),
        ("dscnn", {"frames": 49}, "frames follow from the front end; leave frames out, or set frontend=none"),
        ("dscnn", {"length": 300}, "a window of 30 ms has 480 samples at 16000 Hz, but can have 300 at most"),
        ("dscnn", {"bands": 500}, "500 mel bands are too many for a window of 30 ms at 16000 Hz"),
        ("dscnn", {"window_ms": 0}, "window_ms must be 0.01 to 60000, got 0"),
        ("dscnn", {"window_ms": [20, 0]}, "window_ms must be 0.01 to 60000, got 0"),
        ("dscnn", {"window_ms": [20, 20]}, "window_ms must be 1 to 32 different values, got [20, 20]"),
        ("dscnn", {"preset": "tiny"}, "unknown preset 'tiny'; known presets: separable, both"),
        ("dscnn", {"hop_ms": "x"}, "hop_ms must be 0.01 to 60000, got x"),
        ("dscnn", {"hop_ms": 1e-7}, "hop_ms must be 0.01 to 60000, got 1e-07"),
        ("dscnn", {"hop_ms": 0.1}, "a hop of 0.1 ms is too short for a window of 30 ms at 16000 Hz"),
        ("dscnn", {"length": 900_000, "window_ms": 9000}, "make window_ms shorter"),
        ("dscnn", {"high_hz": 9000}, "high_hz must be above 0 and at most half the sample rate, got 9000"),
        ("dscnn", {"sample_rate": 1.5}, "sample_rate must be a positive integer, got 1.5"),
        ("mobilenetv3", {"frontend": "logmel", "resolution": 32}, "leave resolution out, set bands"),
    ],
)
def test_wrong_settings_are_one_line(name, settings, message):
    with pytest.raises(SpaceError) as caught:
        make_space(name, **settings)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"space {name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (MOTION, "w1.0_n2k5_k3e1s0_k3e1s0"),
        (MOTION, "w1.0_n2k5_k3e1s0_k3e1s0_k31e2s1"),
        (MOTION, "w1.0_n2k5_k4e1s0_k3e1s0_t2:k31e2s1"),
        (MOTION, "w1.0_n2k5_k3e1s0+k3e1s0+k3e1s0+k3e1s0_k3e1s0_t2:k31e2s1"),
        (MAPS, "m10h20_k4x10c64_c64:k3+k3_c64t1:k3+k3"),
        (SPEECH, "m11h20_k4x10c64_c64:k3+k3_c64t1:k3+k3"),
        (SPEECH, "k4x10c64_c64:k3+k3_c64t1:k3+k3"),
        (MOBILE, "w1.0_r16_k3e2_k3e2_k3e2_k3e2_k3e2"),
        (MOBILE, "w1.0_m17h20_k3e2_k3e2_k3e2_k3e2_k3e2"),
    ],
)
def test_unreadable_texts_are_one_line(space, text):
    with pytest.raises(SpaceError) as caught:
        space.parse(text)
    assert "\n" not in str(caught.value)
