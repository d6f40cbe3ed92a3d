"""Tables of what is no space: a fixed list of graphs is profiled, validated and verified."""

from itertools import islice

import numpy as np
import pytest
from simulated_device import AdditiveBackend, true_price

import hwnas
from hwnas._costs._draw import draw_networks
from hwnas._tables._build import find_table, require_coverage
from hwnas._tables._validate import validate_table
from hwnas._tables._verify import verify_table
from hwnas.spaces import drawn_graphs, input_channels, make_space, named_graph, workload_identity
from latency_tables import INPUT, SESSION, GraphBuilder, UnmeasuredOpError
from profilers import SamplingSettings, executed_graph, ops

FEW = SamplingSettings(min_rounds=5, max_rounds=6)
SHAPE = (8, 8, 8)


def chain(length, kernel):
    """Convolutions and activations that a runtime fuses, with a dead branch and an identity."""
    builder = GraphBuilder((3, 8, 8))
    x = builder.add("entry", ops.conv(builder.input_shape, 8, 3, act="relu"), INPUT)
    builder.add("dead", ops.conv(SHAPE, 8, 7), x)
    for i in range(length):
        x = builder.add(f"conv{i}", ops.conv(SHAPE, 8, kernel), x)
        x = builder.add(f"relu{i}", ops.activation(SHAPE, "relu"), x)
    x = builder.add("same", ops.identity(SHAPE), x)
    x = builder.add("pool", ops.global_pool(SHAPE), x)
    return builder.build(builder.add("classes", ops.linear((8, 1, 1), 10), x))


class Chains:
    """Graphs by name; what `profilers.Workload` asks for and no more."""

    name = "chains"

    def __init__(self, lengths=range(1, 9)):
        self.graphs = {f"chain{n}k{k}": chain(n, k) for n in lengths for k in (1, 3, 5)}
        self.settings = {"lengths": list(lengths)}

    def ops(self):
        counted = {op for graph in self.graphs.values() for op in executed_graph(graph).op_counts}
        return sorted(counted, key=lambda op: op.key)

    def draw(self, rng):
        names = list(self.graphs)
        for i in rng.permutation(len(names)):
            yield names[int(i)], self.graphs[names[int(i)]]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("chains") / "table.json"
    return hwnas.profile(Chains(), AdditiveBackend(noise=0.002), out=path, networks=6)


def true_ms(graph):
    counts = [(SESSION, 1), *executed_graph(graph).op_counts.items()]
    return 1e3 * sum(true_price(op) * count for op, count in counts)


def test_a_fixed_list_of_graphs_is_profiled(table):
    workload = Chains()
    assert dict(table.space) == {"name": "chains", "settings": {"lengths": list(range(1, 9))}}
    assert {network.split for network in table.networks} == {"calibration", "held-out", "interval"}
    assert {network.arch for network in table.networks} == set(workload.graphs)
    assert table.validation.networks == 6
    assert table.validation.predicted.mape < 0.05
    require_coverage(table, workload)
    for graph in (workload.graphs["chain3k3"], workload.graphs["chain8k5"]):
        assert table.price(executed_graph(graph)).value_ms == pytest.approx(true_ms(graph), rel=0.05)
    assert table.source.exists()
    with pytest.raises(UnmeasuredOpError, match="no price for activation"):
        require_coverage(table, make_space("nasbench201", image_size=8, cells=1))


def test_networks_of_a_list_are_drawn_from_fast_to_slow_into_all_splits():
    networks = draw_networks(Chains(), 4, seed=0)
    assert sorted(n.arch for n in networks) == sorted(Chains().graphs)
    lengths = sorted(len(n.graph.nodes) - 3 for n in networks if n.split == "held-out")
    assert len(lengths) == 4
    assert lengths[0] <= 2
    assert lengths[-1] >= 7


def test_it_is_validated_on_networks_that_the_table_has_not_seen(table):
    more = Chains(range(1, 12))
    validated = validate_table(table, workload=more, device=AdditiveBackend(noise=0.002), networks=5, settings=FEW)
    held_out = {n.arch for n in validated.networks if n.split == "held-out"}
    assert len(held_out) == 5
    assert held_out <= {f"chain{n}k{k}" for n in (9, 10, 11) for k in (1, 3, 5)}
    assert validated.validation.predicted.mape < 0.1
    with pytest.raises(hwnas.HwnasError, match="the workload has only 0 networks"):
        validate_table(table, workload=Chains(), device=AdditiveBackend(), networks=5, settings=FEW)


def test_it_is_verified(table):
    result = verify_table(table, Chains(), AdditiveBackend(noise=0.002))
    assert result.checks[0].name == "reference op"
    assert (result.verdict, result.networks) == ("holds", 24)
    slow = verify_table(table, Chains(), AdditiveBackend(noise=0.002, slower=lambda op: 2.0))
    assert (slow.verdict, round(slow.slowness, 1)) == ("holds", 2.0)
    middle = AdditiveBackend(noise=0.002, slower=lambda op: 2.0 if op.integer("kernel", 0) == 3 else 1.0)
    assert verify_table(table, Chains(), middle).verdict == "changed"


def test_a_network_that_a_workload_lost_is_named(table):
    with pytest.raises(hwnas.HwnasError, match="workload chains draws no network 'chain8k5'"):
        named_graph(Chains(range(1, 3)), "chain8k5")


def test_its_table_is_found_again_by_what_it_prices(table):
    folder = table.source.parent
    assert find_table(Chains(), AdditiveBackend(), folder).source == table.source
    assert find_table(Chains(range(1, 3)), AdditiveBackend(), folder).source == table.source
    identities = [workload_identity(workload) for workload in (Chains(), Chains(range(2, 4)))]
    assert identities[0] != identities[1]
    assert input_channels(Chains()) == 3


@pytest.mark.parametrize("name", ["no word!", 3])
def test_a_workload_needs_a_name(tmp_path, name):
    workload = Chains()
    workload.name = name
    with pytest.raises(hwnas.HwnasError, match="workload Chains: its name must be a word"):
        hwnas.profile(workload, AdditiveBackend(), out=tmp_path / "table.json")


def test_ops_that_are_not_fused_as_the_runtime_does_are_refused_before_anything_is_measured(tmp_path):
    class Raw(Chains):
        def ops(self):
            counted = {op for graph in self.graphs.values() for op in graph.without_dead_code().op_counts}
            return sorted(counted, key=lambda op: op.key)

    backend = AdditiveBackend()
    with pytest.raises(hwnas.ProfilerError, match=r"network chain.* executes conv .* act=relu.* which is not among"):
        hwnas.profile(Raw(), backend, out=tmp_path / "table.json", networks=6)
    assert backend.samples == 0


def test_a_space_draws_its_networks_by_text():
    space = make_space("nasbench201", image_size=8, cells=1)
    drawn = list(islice(space.draw(np.random.default_rng(0)), 5))
    assert [named_graph(space, text) for text, _ in drawn] == [graph for _, graph in drawn]
    assert len(drawn_graphs(space, 7, np.random.default_rng(0), seen={drawn[0][0]})) == 7
