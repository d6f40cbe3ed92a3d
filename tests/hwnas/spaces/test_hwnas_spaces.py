"""The contract of every space, and what is special about each."""

import csv
import gzip
import itertools
import json
import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from derived_models import resnet
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas import HwnasError
from hwnas._costs._space_costs import SpaceCosts, cheapest_network
from hwnas.oneshot import solve, uniform
from hwnas.spaces import Architecture, Choice, Space, Term, make_space, space_defaults, space_names
from hwnas.spaces._cells import cell_signature
from hwnas.testing import check_space
from hwnas.training import Supernet
from latency_tables import INPUT, SESSION, CacheCurve, Entry, GraphBuilder, LatencyTable
from profilers import ops

EXAMPLE = Path(__file__).resolve().parents[3] / "scripts" / "example_space.json"
SPACES = {
    "convnet1d": make_space("convnet1d", length=128, input_channels=3, width=0.5, classes=4),
    "convnet1d logmel": make_space("convnet1d", frontend="logmel", length=2000, sample_rate=8000, width=0.5, bands=8),
    "dash1d": make_space("dash1d", length=64, input_channels=2, channels=4, classes=4),
    "dash2d": make_space("dash2d", image_size=12, channels=4, blocks=1, classes=4),
    "dash2d map": make_space("dash2d", image_size=12, channels=4, blocks=1, classes=4, outputs="map"),
    "dscnn": make_space("dscnn", frontend="none", bands=8, frames=20, filters=[8, 16], classes=4),
    "dscnn logmel": make_space("dscnn", length=2000, sample_rate=8000, filters=[8, 16], bands=[8, 10], classes=4),
    "dscnn both": make_space(
        "dscnn", preset="both", length=2000, sample_rate=8000, filters=[8, 16], bands=8, window_ms=[20, 30], classes=4
    ),
    "mobilenetv3 logmel": make_space(
        "mobilenetv3", frontend="logmel", length=3000, sample_rate=8000, bands=[8, 16], width=0.5, image_channels=1
    ),
    "declared": make_space(str(EXAMPLE), classes=4),
    "derived": make_space("derived", graph=resnet(blocks=1, widths=(8, 16), size=8)),
    "fpn": make_space("fpn", classes=4, resolution=[64], width=[0.5], channels=[8]),
    "nasbench201": make_space("nasbench201", image_size=8, cells=2, classes=4),
    "resnet": make_space("resnet", image_size=8, classes=4),
    "mobilenetv3 tiny": make_space("mobilenetv3", preset="tiny", resolution=[8, 16], classes=4, image_channels=1),
    "unet": make_space("unet", size=[16, 8], levels=2, channels=4, width=[0.5, 1.0, 1.5]),
    "unet 1-D": make_space("unet", size=32, channels=4, image_channels=1),
    "mobilenetv3 imagenet": make_space("mobilenetv3", preset="imagenet", width=[0.75], resolution=[128]),
    "video": make_space("video", frames=3, image_size=8, width=[0.5], classes=3),
}
spaces = pytest.mark.parametrize("name", SPACES)


def draw(space, count, seed=0):
    return space.sample(count, np.random.default_rng(seed))


def test_every_space_is_under_contract():
    assert {space.name for space in SPACES.values()} == set(space_names())


@spaces
def test_contract(name):
    check_space(SPACES[name], partial(make_space, SPACES[name].name))


@spaces
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_canonical_form_keeps_network_and_costs(name, seed):
    space = SPACES[name]
    codes = np.random.default_rng(seed).integers(0, space.cardinalities, size=(20, len(space.choices)))
    codes = codes[space.valid_codes(codes)][:1]
    canonical = space.canonical_codes(codes)
    assert (space.canonical_codes(canonical) == canonical).all()
    for row, twin in zip(codes, canonical, strict=True):
        a, b = space.decode(row), space.decode(twin)
        assert space.graph(a).op_counts == space.graph(b).op_counts
        assert space.format(a) == space.format(b)


@spaces
def test_architectures_are_values(name):
    for arch in draw(SPACES[name], 20):
        assert hash(arch) == hash(Architecture(arch.values))
    assert len(list(SPACES[name].neighbours(arch))) >= 3


def made_up_table(space, cache=False):
    entries = {}
    for i, op in enumerate([SESSION, *space.ops()]):
        price = 0.001 * (1 + i % 17)
        sizes = (0, 0, 0) if op == SESSION else (1000 * (i % 5), 1 + i % 3, 500 * (i % 7))
        entries[op] = Entry(op, "ok", price, price, price, price, price, 20, "converged", "", *sizes)
    curve = CacheCurve(100, (0.0, 4000.0, 20_000.0), (0.0, 0.0, 0.02)) if cache else None
    return LatencyTable({}, {}, {}, {}, entries, cache=curve)


def made_up(space, costs, codes):
    """The same costs from a fresh object, with the codes of absent parts scrambled where a space allows that."""
    if not space.terms_want_canonical_codes:
        rng = np.random.default_rng(0)
        scrambled = rng.integers(0, space.cardinalities, codes.shape)
        same = [
            (space.canonical_codes(np.where(np.arange(codes.shape[1]) == c, scrambled, codes)) == codes).all(1)
            for c in range(codes.shape[1])
        ]
        codes = np.where(np.array(same).T, scrambled, codes)
    return SpaceCosts(space, costs.table, batch=2).latency_ms(codes)


@spaces
def test_costs_do_not_depend_on_the_codes_of_absent_parts(name):
    space = SPACES[name]
    costs = SpaceCosts(space, made_up_table(space, cache=True), batch=2)
    codes = np.array([space.encode(arch) for arch in draw(space, 25, seed=5)])
    np.testing.assert_allclose(made_up(space, costs, codes), costs.latency_ms(codes))


def test_the_fastest_network_of_a_small_space_is_found():
    space = make_space("nasbench201", image_size=8, cells=1)
    costs = SpaceCosts(space, made_up_table(space))
    grid = np.array(np.meshgrid(*[np.arange(5)] * 6, indexing="ij")).reshape(6, -1).T
    best = np.nanmin(costs.latency_ms(grid))
    arch, latency = cheapest_network(space, costs.latency_ms)
    assert latency == pytest.approx(best)
    assert costs.latency_ms(space.encode(arch)[None])[0] == pytest.approx(best)


def test_the_cheapest_network_of_a_large_space_is_exact():
    """Held against a minimum over every width, resolution and depth, stage by stage."""
    space = SPACES["mobilenetv3 tiny"]
    costs = SpaceCosts(space, made_up_table(space))
    _, found = cheapest_network(space, costs.latency_ms)
    rng = np.random.default_rng(1)
    best = np.inf
    for width, size in itertools.product(range(3), range(2)):
        total, base = 0.0, np.zeros(len(space.choices), dtype=np.int64)
        base[:2] = width, size
        shallow = costs.latency_ms(base[None])[0]
        for stage in range(5):  # stages do not share choices: minimise each alone
            columns = [c for c, choice in enumerate(space.choices) if choice.name.startswith(f"stage{stage}.")]
            rows = np.repeat(base[None], 3**7, axis=0)
            rows[:, columns] = np.indices([3] * 7).reshape(7, -1).T
            total += costs.latency_ms(rows).min() - shallow
        best = min(best, shallow + total)
    assert found == pytest.approx(best)
    assert (costs.latency_ms(rng.integers(0, space.cardinalities, (5000, len(space.choices)))) >= found).all()


def test_sizes():
    tiny, imagenet = make_space("mobilenetv3", preset="tiny"), make_space("mobilenetv3", preset="imagenet")
    assert tiny.size > 10**9
    assert imagenet.size > 10**15
    small = make_space("mobilenetv3", width=1.0, resolution=8)
    per_stage = 9 + 9**2 + 9**3
    assert small.size == per_stage**5


CELL = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
SHORT = {"n": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def cell(letters):
    """Edges 01, 02, 12, 03, 13, 23."""
    return CELL.format(*(SHORT[c] for c in letters))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("nnn3nn", "3nnnsn"),  # one convolution, directly or through a node and a skip
        ("31npnn", "nnnpnn"),  # dead ends do not count
        ("3nnn1n", "n3nnn1"),  # the same path over node 1 or node 2
        ("n3nn11", "n3nnn1"),  # an edge from a node that nothing reaches
        ("3n1nns", "3nnn1n"),  # a last skip only renames
        ("13nn3p", "31nnp3"),  # nodes 1 and 2 exchanged
    ],
)
def test_isomorphic_cells_share_their_form(a, b):
    space = SPACES["nasbench201"]
    first, second = space.parse(cell(a)), space.parse(cell(b))
    assert space.canonical(first) == space.canonical(second)
    assert space.graph(first) == space.graph(second)


@pytest.mark.parametrize(("a", "b"), [("3nnn1n", "1nnn3n"), ("33nn11", "3nsn11"), ("nnn3nn", "nnn1nn")])
def test_different_cells_do_not(a, b):
    space = SPACES["nasbench201"]
    codes = [tuple(space.encode(space.parse(cell(x))).tolist()) for x in (a, b)]
    assert cell_signature(codes[0]) != cell_signature(codes[1])


def test_disconnected_cells_are_no_networks():
    space = SPACES["nasbench201"]
    arch = space.parse(cell("3n3nnn"))
    assert not space.valid_codes(space.encode(arch)[None])[0]
    with pytest.raises(HwnasError, match="has no path from its input to its output"):
        space.graph(arch)
    assert np.isnan(SpaceCosts(space, made_up_table(space)).latency_ms(space.encode(arch)[None])[0])


def test_twins_have_nearly_the_same_accuracy_in_the_benchmark(benchmark_file):
    space, groups = make_space("nasbench201"), {}
    with gzip.open(benchmark_file, "rt", newline="") as file:
        for row in csv.DictReader(file):
            arch = space.parse(row["arch"])
            if space.valid_codes(space.encode(arch)[None])[0]:
                groups.setdefault(space.canonical(arch), []).append(float(row["cifar10_test_acc"]))
    assert len(groups) == space.size
    spreads = [statistics.pstdev(g) for g in groups.values() if len(g) > 1]
    everything = [value for group in groups.values() for value in group]
    assert len(spreads) > 1000
    assert statistics.median(spreads) < 0.05 * statistics.pstdev(everything)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "alexnet",
            {},
            "unknown space 'alexnet'; known spaces: convnet1d, dash1d, dash2d, dscnn, "
            "fpn, mobilenetv3, nasbench201, resnet, unet, video, "
            "or FILE.json",
        ),
        ("mobilenetv3", {"preset": "huge"}, "space mobilenetv3: unknown preset 'huge'; known presets: tiny, imagenet"),
        ("mobilenetv3", {"depth": 3}, "space mobilenetv3 has no setting 'depth'; known settings: preset, classes"),
        ("mobilenetv3", {"resolution": 64}, "preset tiny needs images of 8-32 pixels, got 64"),
        ("mobilenetv3", {"width": [9.0]}, "width multipliers must be 0.1-4, got 9.0"),
        ("mobilenetv3", {"classes": 0}, "classes must be a positive integer, got 0"),
        ("mobilenetv3", {"width": [1.0, 1.0]}, "width must be 1 to 32 different values, got [1.0, 1.0]"),
        ("nasbench201", {"image_size": 10}, "image_size must be a multiple of 4, got 10"),
    ],
)
def test_wrong_settings_are_refused(name, arguments, message):
    with pytest.raises(HwnasError) as caught:
        make_space(name, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nasbench201", "|none~0|"),
        ("nasbench201", cell("333333").replace("nor_conv_3x3~2", "nor_conv_3x3~1")),
        ("nasbench201", cell("333333").replace("nor_conv_3x3~2", "conv9~2")),
        ("mobilenetv3 tiny", "w1.0_r8_k3e2"),
        ("mobilenetv3 tiny", "w1.0_r8_k3e2_k3e2_k3e2_k3e2_k9e2"),
        ("mobilenetv3 tiny", "w1.0_r9_k3e2_k3e2_k3e2_k3e2_k3e2"),
        ("mobilenetv3 tiny", "w1.0.0_r8_k3e2_k3e2_k3e2_k3e2_k3e2"),
        ("mobilenetv3 tiny", "w1.0_r8_k3e2_k3e2_k3e2_k3e2_k3e2+k3e2+k3e2+k3e2"),
    ],
)
def test_unreadable_architectures_are_refused_in_one_line(name, text):
    with pytest.raises(HwnasError) as caught:
        SPACES[name].parse(text)
    assert "\n" not in str(caught.value)


@dataclass
class Images:
    """What a space is told of a task."""

    input_shape: tuple[int, ...] = (1, 30, 40)
    outputs: int = 7


@pytest.mark.parametrize(
    ("name", "chosen", "expected"),
    [
        ("nasbench201", {}, {"classes": 7, "image_channels": 1, "image_size": 28}),
        ("mobilenetv3", {}, {"classes": 7, "image_channels": 1, "resolution": [22, 30]}),
        ("mobilenetv3", {"preset": "imagenet"}, {"classes": 7, "image_channels": 1}),
        (
            "declared",
            {"declaration": json.loads(EXAMPLE.read_text())},
            {"classes": 7, "image_channels": 1, "image_size": 30},
        ),
    ],
)
def test_a_space_says_what_it_takes_from_a_task(name, chosen, expected):
    assert space_defaults(name, Images(), chosen) == expected
    assert make_space(name, **chosen, **expected).input_shape is not None


def test_images_of_8_pixels_are_also_offered_at_16():
    assert space_defaults("mobilenetv3", Images((1, 8, 8)), {})["resolution"] == [8, 16]


class Chain(Space):
    """Two convolutions behind a fixed stem; at most one of them is wide."""

    name = "chain"

    @property
    def choices(self):
        return Choice("first", (8, 32)), Choice("second", (8, 32))

    @property
    def terms(self):
        return Term("stem", ()), Term("one", (0,)), Term("two", (1,))

    def valid_codes(self, codes):
        return np.asarray(codes).sum(axis=1) < 2

    def term_graph(self, term, arch):
        builder = GraphBuilder((1, 8, 8) if term.name == "stem" else (16, 8, 8))
        return builder.build(self._part(builder, term.name, INPUT, arch))

    def graph(self, arch):
        builder, x = GraphBuilder((1, 8, 8)), INPUT
        for term in self.terms:
            x = self._part(builder, term.name, x, arch)
        return builder.build(x)

    def _part(self, builder, name, x, arch):
        if name == "stem":
            return builder.add("stem", ops.conv(builder.shape(x), 16, 3, act="relu"), x)
        width = arch.values[name == "two"]
        x = builder.add(name, ops.conv(builder.shape(x), width, 3, act="relu"), x)
        x = builder.add(f"{name}.mixed", ops.conv(builder.shape(x), 16, act="relu"), x)
        if name == "one":
            return x
        x = builder.add("pool", ops.global_pool(builder.shape(x)), x)
        return builder.add("classes", ops.linear(builder.shape(x), 10), x)


def test_a_space_may_have_a_fixed_part_and_forbid_what_is_largest():
    space = Chain()
    check_space(space)
    shared = {name: tuple(tensor.shape) for name, tensor in Supernet(space).shared().items()}
    assert (shared["one.weight"], shared["two.weight"]) == ((32, 16, 3, 3), (32, 16, 3, 3))
    used = {op for arch in ((8, 8), (8, 32), (32, 8)) for op in space.graph(Architecture(arch)).op_counts}
    assert set(space.ops()) == used
    solution = solve(uniform(space), {"macs": 1e9}, SpaceCosts(space, None))
    assert bool(space.valid_codes(np.array([solution.codes]))[0])
