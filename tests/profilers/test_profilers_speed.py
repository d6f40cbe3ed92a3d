"""Samples at one speed of the machine: simulated machines whose true times are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers import SampleSet
from profilers._speed import FEWEST, at_one_speed
from profilers._timing import first_pass_name, second_pass_name

GRAPHS, ROUNDS = 60, 40


def wandering(moments, seed, size=0.08):
    """Log slowness that wanders smoothly by `size` over the moments."""
    rng = np.random.default_rng(seed)
    waves = [np.sin(moments / rng.uniform(150, 900) + rng.uniform(0, 7)) for _ in range(3)]
    return size * sum(waves) / 3


def sampled(slowness, seed=0, stops=None, named=str, first=0, noise=0.003):
    """Samples of graphs of 1, 2, ... milliseconds, interleaved; graph i is in the first ``stops[i]`` rounds."""
    rng, found, moment = np.random.default_rng(seed), {}, first
    for number in range(ROUNDS):
        for i in rng.permutation(GRAPHS):
            if stops is None or number < stops[i]:
                one = found.setdefault(named(f"g{i}"), SampleSet(1))
                one.add(1e-3 * (1 + i) * np.exp(slowness(moment) + noise * rng.exponential()), moment)
                moment += 1
    return found


def apart(samples):
    """How far the graphs' times lie apart from what they are, beside a factor common to all."""
    ratios = np.array([one.quantile() / (1e-3 * (1 + int(name[1:]))) for name, one in samples.items()])
    return float(np.max(np.abs(ratios / np.median(ratios) - 1)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_graphs_that_stop_early_are_held_against_those_that_go_on(seed):
    moments = np.arange(GRAPHS * ROUNDS)
    slowness = wandering(moments, seed)
    stops = np.random.default_rng(seed).choice([12, 25, ROUNDS], GRAPHS)
    steady = at_one_speed(sampled(lambda moment: slowness[moment], seed, stops))
    assert apart(steady.samples) < 0.012


def test_without_it_a_graph_that_saw_only_slow_seconds_is_dearer():
    slow_at_first = sampled(lambda moment: 0.08 if moment < 12 * GRAPHS else 0.0, stops=[12] * 30 + [ROUNDS] * 30)
    assert apart(slow_at_first) > 0.035
    steady = at_one_speed(slow_at_first)
    assert apart(steady.samples) < 0.01
    assert steady.speed_range == pytest.approx(0.083, abs=0.01)


def test_passes_of_different_speed_are_tied_by_the_graphs_of_both():
    first = sampled(lambda moment: 0.0)
    second = sampled(lambda moment: 0.1, seed=1, named=lambda name: second_pass_name(name), first=GRAPHS * ROUNDS)
    steady = at_one_speed({**first, **second}, first_pass_name).samples
    ratios = [steady[second_pass_name(name)].quantile() / steady[name].quantile() for name in first]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.002)
    assert max(abs(ratio - 1) for ratio in ratios) < 0.01


def test_the_reference_is_the_speed_of_the_faster_moments():
    steady = at_one_speed(sampled(lambda moment: 0.1 if moment % 200 < 100 else 0.0)).samples
    assert steady["g9"].quantile() == pytest.approx(0.01, rel=0.01)


def test_a_steady_machine_changes_nothing_but_noise():
    given_ = sampled(lambda moment: 0.0, noise=0.001)
    steady = at_one_speed(given_)
    assert steady.speed_range < 0.002
    for name, one in given_.items():
        assert np.allclose(steady.samples[name].seconds, one.seconds, rtol=0.003)
        assert steady.samples[name].moments == one.moments


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100))
def test_units_do_not_matter(factor):
    given_ = sampled(lambda moment: 0.05 * np.sin(moment / 300))
    scaled = {n: SampleSet(1, [factor * s for s in one.seconds], moments=one.moments) for n, one in given_.items()}
    for name, one in at_one_speed(given_).samples.items():
        assert np.allclose(at_one_speed(scaled).samples[name].seconds, factor * np.array(one.seconds))
        break


def test_bursts_that_hit_a_few_graphs_move_no_other():
    rng = np.random.default_rng(3)
    given_ = sampled(lambda moment: 0.0, noise=0.001)
    for one in given_.values():
        one.seconds = [s * (3.0 if rng.random() < 0.15 else 1.0) for s in one.seconds]
    assert apart(at_one_speed(given_).samples) < 0.01


def test_a_few_graphs_do_not_tell_the_speed():
    few = {f"g{i}": SampleSet(1, [1.0, 1.2, 1.1], moments=[i, i + 9, i + 18]) for i in range(FEWEST - 1)}
    steady = at_one_speed(few)
    assert steady.samples == few
    assert steady.speed_range == 0.0


def test_samples_without_moments_are_refused():
    with pytest.raises(ValueError, match="the samples of b have no moments"):
        at_one_speed({"a": SampleSet(1, [1.0], moments=[0]), "b": SampleSet(1, [1.0])})


def test_what_was_not_sampled_stays_without_samples():
    given_ = {**sampled(lambda moment: 0.0), "late": SampleSet(1)}
    assert at_one_speed(given_).samples["late"].seconds == []
