"""Times beside references: the machine's speed, times at the speed of a table's making, and how sure they are."""

import math

import numpy as np
import pytest

from profilers import (
    STATISTICS,
    NetworkTime,
    Reference,
    References,
    SampleSet,
    fixed_rounds,
    merge_times,
    pooled_tails,
    session_times,
)

THEN_MS = (0.5, 1.0, 2.0, 4.0)
REFERENCES = References(
    networks=tuple(Reference(f"r{i}", None, ms) for i, ms in enumerate(THEN_MS)),
    reference_op_ms=0.1,
    tails={"q10": 1.0, "median": 1.02, "p90": 1.1, "p99": 1.5},
)


def session(slowness=1.0, jitter=0.02, interrupted=0.0, rounds=100, seed=0, own=(3.0,), own_jitter=None):
    """Samples of the references and of networks; `interrupted` is the share of samples that lose ten milliseconds."""
    rng, samples = np.random.default_rng(seed), {}
    named = {"calibration": 0.1, **{f"reference:r{i}": ms for i, ms in enumerate(THEN_MS)}}
    named |= {f"n{i}": ms for i, ms in enumerate(own)}
    for number, (name, ms) in enumerate(named.items()):
        scale = own_jitter if own_jitter is not None and name == "n0" else jitter
        seconds = 1e-3 * ms * slowness * np.exp(scale * np.abs(rng.normal(size=rounds)))
        seconds += 1e-2 * (rng.random(rounds) < interrupted * min(1.0, ms / max(own)))
        samples[name] = SampleSet(1, seconds.tolist(), moments=list(range(number, len(named) * rounds, len(named))))
    return samples


def test_what_is_slow_with_the_references_is_the_machine():
    quick, slow = (session_times(session(factor), REFERENCES) for factor in (1.0, 1.15))
    assert slow.speed.slowness / quick.speed.slowness == pytest.approx(1.15)
    for name in STATISTICS:
        before, after = (times.times["n0"] for times in (quick, slow))
        assert after.at_table_speed[name] == pytest.approx(before.at_table_speed[name])
        assert after.raw[name] == pytest.approx(1.15 * before.raw[name])
    assert set(slow.speed.ratios) == {"calibration", "r0", "r1", "r2", "r3"}


def test_without_references_times_are_as_timed():
    times = session_times({"n0": session()["n0"]}, References())
    assert times.speed.slowness is None
    assert times.times["n0"].at_table_speed == times.times["n0"].raw


def test_interruptions_by_other_work_move_no_tail_at_the_tables_speed():
    own = (1.0, 3.0, 3.0, 6.0, 9.0)
    quiet, busy = (session_times(session(interrupted=share, own=own), REFERENCES).times for share in (0.0, 0.3))
    for name in ("n0", "n4"):
        assert busy[name].raw["p99"] > 1.5 * quiet[name].raw["p99"]
        for statistic in STATISTICS:
            change = busy[name].at_table_speed[statistic] / quiet[name].at_table_speed[statistic] - 1
            assert abs(change) < 0.03, statistic


def test_a_network_with_more_jitter_of_its_own_has_a_longer_tail():
    times = session_times(session(own=(3.0, 3.0), own_jitter=0.08, rounds=200), REFERENCES).times
    assert times["n0"].at_table_speed["p90"] > 1.03 * times["n1"].at_table_speed["p90"]
    assert times["n0"].at_table_speed["q10"] == pytest.approx(times["n1"].at_table_speed["q10"], rel=0.01)


def test_tails_are_those_of_the_usual_graph():
    samples = session(interrupted=0.0)
    usual = pooled_tails(samples)
    samples["n0"] = SampleSet(1, (np.array(samples["n0"].seconds) * np.linspace(1, 9, 100)).tolist())
    assert pooled_tails(samples)["p99"] < 1.1 * usual["p99"]
    assert usual["q10"] == 1.0
    assert pooled_tails({"n0": SampleSet(1, [1.0] * 3)}) == {}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_half_widths_hold_another_session(statistic):
    """Sessions that are loaded anew differ by 1 % for each network, as the references say."""
    inside = []
    for seed in range(60):
        rng, values = np.random.default_rng(seed), []
        for again in (0, 1):
            samples = session(seed=2 * seed + again, slowness=rng.uniform(0.9, 1.3), rounds=60)
            for sample_set in samples.values():
                sample_set.seconds[:] = (np.array(sample_set.seconds) * math.exp(rng.normal(0, 0.01))).tolist()
            values.append(session_times(samples, REFERENCES).times["n0"])
        difference = abs(values[0].at_table_speed[statistic] - values[1].at_table_speed[statistic])
        inside.append(difference <= math.hypot(*(v.half_widths[statistic] for v in values)))
    assert 0.8 <= np.mean(inside) <= 1.0


def test_more_sessions_are_surer():
    widths = dict.fromkeys(STATISTICS, 0.1)
    first, second = (NetworkTime(*[dict.fromkeys(STATISTICS, ms)] * 2, widths, 50) for ms in (1.0, 4.0))
    both = merge_times([first, second])
    assert both.at_table_speed["median"] == pytest.approx(2.0)
    assert both.samples == 100
    assert both.half_widths["median"] / 2.0 < 0.1
    assert merge_times([first]) is first


def test_few_graphs_and_few_samples_have_no_tail_of_their_own():
    times = session_times(session(rounds=5), REFERENCES)
    assert times.times["n0"].at_table_speed["p99"] == pytest.approx(1.5 * times.times["n0"].at_table_speed["q10"])
    settings = fixed_rounds(30, max_seconds=2.0, inner_seconds=0.0)
    assert (settings.max_rounds, settings.min_rounds, settings.target, settings.inner_seconds) == (30, 5, 0.0, 0.0)
