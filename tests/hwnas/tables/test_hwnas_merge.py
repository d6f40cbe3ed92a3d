"""Merged tables say what the merged rows predict."""

from dataclasses import replace

import numpy as np
import pytest
from made_tables import made_table

import hwnas
from hwnas.spaces import make_space
from latency_tables import NetworkMeasurement

SPLITS = ("calibration", "interval", "held-out")
SPACE = make_space("nasbench201", image_size=8, cells=1)


def measured(seed, samples, names):
    """A table of made-up prices and networks that take exactly what it predicts."""
    table = made_table(SPACE, None, seed=seed)
    networks = []
    for place, name in enumerate(names):
        ms = table.unfitted_graph_ms(SPACE.graph(SPACE.parse(name)))
        networks.append(NetworkMeasurement(name, SPLITS[place % 3], ms, ms, ms * 1.001))
    entries = {op: replace(entry, samples=samples) for op, entry in table.entries.items()}
    return replace(table, entries=entries, networks=tuple(networks))


@pytest.fixture(scope="module")
def names():
    return sorted({SPACE.format(arch) for arch in SPACE.sample(60, np.random.default_rng(0))})[:24]


def test_predictions_are_those_of_the_merged_rows(names):
    first, second = measured(0, 20, names[:12]), replace(measured(1, 40, names[12:]), created="2999-01-01")
    merged = hwnas.merge([first, second])
    assert merged.entries == second.entries  # better measured
    assert {network.arch for network in merged.networks} == set(names)
    for network in merged.networks:
        assert network.unfitted_ms == pytest.approx(merged.unfitted_graph_ms(SPACE.graph(SPACE.parse(network.arch))))
    stale = {network.arch: network.unfitted_ms for network in first.networks}
    assert any(abs(n.unfitted_ms / stale[n.arch] - 1) > 0.05 for n in merged.networks if n.arch in stale)


def test_merging_a_table_with_itself_changes_nothing(names):
    table = measured(0, 20, names)
    assert hwnas.merge([table, table]).networks == tuple(sorted(table.networks, key=lambda network: network.arch))


@pytest.mark.parametrize("shared", [24, 0], ids=["networks", "rows"])
def test_a_table_of_a_slower_day_is_brought_to_the_speed_of_the_later_one(names, shared):
    early, late = measured(0, 40, names[: shared or 12]), measured(0, 20, names[0 if shared else 12 :])
    late = replace(late, created="2999-01-01")
    slow = replace(
        early,
        entries={
            op: replace(
                e,
                q10_ms=1.25 * e.q10_ms,
                median_ms=1.25 * e.median_ms,
                p90_ms=1.25 * e.p90_ms,
                low_ms=1.25 * e.low_ms,
                high_ms=1.25 * e.high_ms,
            )
            for op, e in early.entries.items()
        },
        networks=tuple(
            replace(
                n,
                unfitted_ms=1.25 * n.unfitted_ms,
                measured_ms=1.25 * n.measured_ms,
                repeat_ms=1.25 * n.repeat_ms,
            )
            for n in early.networks
        ),
        cache=early.cache and replace(early.cache, extra_ms=tuple(1.25 * ms for ms in early.cache.extra_ms)),
    )
    merged = hwnas.merge([slow, late])
    assert len(merged.networks) == 24
    for op, entry in merged.entries.items():  # all of them are those of the slower day, which has more samples
        assert entry.samples == 40
        assert entry.q10_ms == pytest.approx(late.entries[op].q10_ms, rel=1e-5)
    for network in merged.networks:
        assert network.latency_ms == pytest.approx(network.unfitted_ms, rel=1e-2)
    assert any(note.endswith("were multiplied by 0.800, for the machine's speed later") for note in merged.notes)


def test_networks_that_cannot_be_built_are_left_out_and_noted(names):
    strange = NetworkMeasurement("nonsense", SPLITS[2], 1.0, 1.0, 1.0)
    tables = [measured(seed, 20, names) for seed in (0, 1)]
    tables[1] = replace(tables[1], networks=(*tables[1].networks, strange))
    merged = hwnas.merge(tables)
    assert {network.arch for network in merged.networks} == set(names)
    assert "merging left out 1 measured networks that cannot be built or priced here" in merged.notes


def test_tables_of_a_space_that_is_not_known_here_lose_their_networks(names):
    tables = [replace(measured(seed, 20, names), space={"name": "elsewhere", "settings": {}}) for seed in (0, 1)]
    assert hwnas.merge(tables).networks == ()
