"""Times beside references: the speed of the machine is told apart from the time of a network."""

import math

import numpy as np
import pytest
from simulated_device import AdditiveBackend

from latency_tables import GraphBuilder
from profilers import (
    Reference,
    References,
    ReferenceTimer,
    SampleSet,
    fixed_rounds,
    merge_times,
    ops,
    pooled_tails,
    session_times,
)

ROUNDS = 40


def network(channels):
    builder = GraphBuilder((3, 8, 8))
    return builder.build(builder.add("conv", ops.conv((3, 8, 8), channels, 3, act="relu"), "input"))


def samples_of(times_ms, slowness=1.0, noise=0.0, tail=0.0, seed=0):
    """Samples of graphs that take `times_ms`, on a machine that is slower; `tail` lengthens every tenth sample."""
    rng, sets, moment = np.random.default_rng(seed), {name: SampleSet(1) for name in times_ms}, 0
    for round_number in range(ROUNDS):
        slow = tail if round_number % 10 == 9 else 0.0
        for name, ms in times_ms.items():
            sets[name].add(ms * 1e-3 * slowness * (1 + slow) * math.exp(abs(rng.normal(0, noise))), moment)
            moment += 1
    return sets


REFERENCES = References(
    tuple(Reference(f"r{i}", network(4 + i), 1.0 + i) for i in range(4)), reference_op_ms=0.5, tails={}, session_sd=0.01
)
THEN = {"calibration": 0.5, **{f"reference:r{i}": 1.0 + i for i in range(4)}}


@pytest.mark.parametrize("slowness", [0.8, 1.0, 1.3])
def test_a_network_has_the_same_time_at_the_tables_speed_however_slow_the_machine_is(slowness):
    session = session_times(samples_of({**THEN, "net": 2.0}, slowness, noise=0.01), REFERENCES)
    assert session.speed.slowness == pytest.approx(slowness, rel=0.01)
    assert session.times["net"].at_table_speed["q10"] == pytest.approx(2.0, rel=0.01)
    assert session.times["net"].raw["q10"] == pytest.approx(2.0 * slowness, rel=0.01)


def test_one_reference_that_moved_does_not_move_the_speed():
    now = {**THEN, "reference:r2": THEN["reference:r2"] * 1.5, "net": 2.0}
    session = session_times(samples_of(now, 1.1, noise=0.01), REFERENCES)
    assert session.speed.slowness == pytest.approx(1.1, rel=0.01)
    assert session.speed.ratios["r2"] == pytest.approx(1.65, rel=0.02)


def test_without_references_times_are_those_that_were_taken():
    session = session_times(samples_of({"calibration": 0.5, "net": 2.0}), References())
    assert session.speed.slowness is None
    assert session.times["net"].at_table_speed == session.times["net"].raw


def test_the_tail_is_that_of_the_tables_making():
    tails = {"q10": 1.0, "median": 1.02, "p90": 1.1, "p99": 1.2}
    references = References(REFERENCES.networks, 0.5, tails, 0.01)
    calm, loaded = (samples_of({**THEN, "net": 2.0}, noise=0.005, tail=tail) for tail in (0.0, 2.0))
    assert pooled_tails(loaded)["p99"] > 2 * pooled_tails(calm)["p99"]
    for samples in (calm, loaded):
        time = session_times(samples, references).times["net"]
        assert time.at_table_speed["p99"] == pytest.approx(2.0 * 1.2, rel=0.03)
    assert session_times(loaded, references).times["net"].raw["p99"] > 4.0


def test_a_network_whose_own_tail_is_longer_keeps_it():
    samples = samples_of({**THEN, **{f"n{i}": 1.0 + i / 10 for i in range(6)}}, noise=0.005)
    samples["n0"].seconds = [s * (1.5 if i % 5 == 4 else 1.0) for i, s in enumerate(samples["n0"].seconds)]
    times = session_times(samples, REFERENCES).times
    longer = times["n0"].at_table_speed["p90"] / times["n0"].at_table_speed["q10"]
    assert longer > 1.15 * times["n3"].at_table_speed["p90"] / times["n3"].at_table_speed["q10"]


def test_half_widths_hold_the_spread_of_sessions():
    samples = samples_of({**THEN, "net": 2.0})
    narrow, wide = (
        session_times(samples, References(REFERENCES.networks, 0.5, {}, sd)).times["net"].half_widths["q10"]
        for sd in (0.005, 0.05)
    )
    assert 5 * narrow < wide
    assert wide == pytest.approx(1.645 * 0.05 * 2.0, rel=0.3)


def test_two_sessions_are_more_certain_than_one():
    times = [session_times(samples_of({**THEN, "net": ms}, noise=0.01), REFERENCES).times["net"] for ms in (2.0, 2.1)]
    merged = merge_times(times)
    assert merged.at_table_speed["q10"] == pytest.approx(
        math.sqrt(times[0].at_table_speed["q10"] * times[1].at_table_speed["q10"])
    )
    assert merged.half_widths["q10"] < min(time.half_widths["q10"] for time in times)
    assert merge_times(times[:1]) == times[0]


def test_every_graph_takes_part_in_every_round():
    backend = AdditiveBackend(noise=0.01)
    timer = ReferenceTimer(backend, REFERENCES)
    session = timer.measure({"net": backend.load(network(9))}, fixed_rounds(12, max_seconds=60.0))
    assert session.times["net"].samples == 12
    assert set(session.speed.ratios) == {"r0", "r1", "r2", "r3", "calibration"}
