"""Intervals by latency, corrections that must help, and what both ends of the range are judged by."""

import dataclasses
import math

import numpy as np
import pytest
from test_tables_table import make_table

from latency_tables import GOOD, SHAKY, NetworkMeasurement, agreement, dump_table, parse_table
from latency_tables._correction import fit_correction, left_out_errors
from latency_tables._grade import judge_misses
from latency_tables._grading import grade_table
from latency_tables._interval import fit_interval


def networks(split, predicted, measured, start=0):
    return [
        NetworkMeasurement(f"{split}{start + i}", split, float(x), float(y), float(y))
        for i, (x, y) in enumerate(zip(predicted, measured, strict=True))
    ]


def drawn(seed, error, *, ends=1.0, held=50):
    """A table whose errors have a standard deviation of `error`, `ends` times that in the slowest fifth."""
    rng = np.random.default_rng(seed)
    found = []
    for split, count in (("calibration", 10), ("interval", 60), ("held-out", held)):
        predicted = np.geomspace(0.1, 1.0, count)
        size = np.where(predicted > 0.63, ends * error, error)
        found += networks(split, predicted, predicted * np.exp(rng.normal(0, size)))
    return make_table(networks=tuple(found))


def test_intervals_are_wider_where_errors_are_larger():
    inside, tables = [], [drawn(seed, 0.01, ends=6.0) for seed in range(30)]
    for table in tables:
        middle, slow = table.interval.half_width([0.3, 0.95])
        assert slow > 2 * middle
        inside.append([end.inside for end in table.validation.ends])
    assert np.mean(inside, axis=0)[1] > 0.72
    even = [dataclasses.replace(table, version=2).validation.ends[1].inside for table in tables]
    assert np.mean(even) < np.mean(inside, axis=0)[1] - 0.05


@pytest.mark.parametrize("error", [0.01, 0.04])
def test_even_errors_are_held_nine_times_in_ten(error):
    held = [drawn(seed, error, held=200).validation.interval_coverage for seed in range(40)]
    assert np.mean(held) == pytest.approx(0.9, abs=0.05)
    assert np.mean([0.8 < share <= 1.0 for share in held]) > 0.9


def test_intervals_widen_beyond_the_networks_that_were_seen():
    found = fit_interval(np.geomspace(1.0, 10.0, 70), np.full(70, 0.01))
    inside = found.half_width([1.0, 3.0, 10.0])
    assert inside.max() < 0.03
    beyond = found.half_width([0.5, 20.0])
    assert beyond == pytest.approx(found.half_width([1.0, 10.0]) + 0.25 * math.log(2))
    assert found.half_width([40.0]) > beyond[1]


def test_a_correction_that_harms_networks_it_was_not_fitted_to_is_left_out():
    fitted = networks("calibration", np.geomspace(0.1, 1, 10), 1.2 * np.geomspace(0.1, 1, 10))
    right = networks("interval", np.geomspace(0.1, 1, 60), np.geomspace(0.1, 1, 60))
    held = networks("held-out", np.geomspace(0.1, 1, 20), 1.2 * np.geomspace(0.1, 1, 20))
    table = make_table(networks=(*fitted, *right, *held))
    assert not table.corrected
    assert table.correction.apply(0.5) == pytest.approx(0.5)
    report = table.validation
    assert report.predicted == report.unfitted
    assert any("is not applied" in line for line in report.lines())
    earlier = dataclasses.replace(table, version=2)
    assert earlier.correction.apply(0.5) > 0.55
    assert parse_table(dump_table(earlier)) == earlier
    wrong = [dataclasses.replace(n, measured_ms=1.2 * n.unfitted_ms, repeat_ms=1.2 * n.unfitted_ms) for n in right]
    assert make_table(networks=(*fitted, *wrong)).corrected


def test_held_out_networks_decide_nothing():
    table = drawn(0, 0.03)
    bent = tuple(dataclasses.replace(n, measured_ms=9.0) if n.split == "held-out" else n for n in table.networks)
    other = dataclasses.replace(table, networks=bent)
    assert (other.corrected, other.correction, other.interval) == (table.corrected, table.correction, table.interval)


def test_the_ends_are_judged_for_themselves_and_the_verdict_comes_first():
    table = drawn(1, 0.005)
    slow = [
        dataclasses.replace(n, measured_ms=1.2 * n.measured_ms, repeat_ms=1.2 * n.repeat_ms)
        if n.split == "held-out" and n.unfitted_ms > 0.8
        else n
        for n in table.networks
    ]
    report = dataclasses.replace(table, networks=tuple(slow)).validation
    fastest, slowest = report.ends
    assert (fastest.networks, slowest.networks) == (5, 5)
    assert fastest.mape < 0.02
    assert slowest.mape == pytest.approx(1 - 1 / 1.2, abs=0.02)
    assert slowest.worst < -0.15
    assert slowest.inside < 0.5
    assert report.predicted.mape < 0.05
    assert report.lines()[0].startswith(
        "is the table accurate? roughly: predictions of 50 held-out networks are off by "
    )
    assert table.validation.lines()[0].startswith("is the table accurate? yes: ")


def test_many_left_out_errors_follow_from_one_fit():
    rng = np.random.default_rng(0)
    predicted = np.geomspace(0.1, 1.0, 1200)
    measured = 1.05 * predicted * np.exp(rng.normal(0, 0.03, 1200))
    some = [0, 7, 600, 1199]
    one_by_one = [
        math.log(measured[i] / fit_correction(np.delete(predicted, i), np.delete(measured, i)).apply(predicted[i]))
        for i in some
    ]
    assert left_out_errors(predicted, measured)[some] == pytest.approx(one_by_one, abs=1e-4)
    assert agreement(predicted, measured).mape > 0.03


@pytest.mark.parametrize(
    ("change", "level", "reason"),
    [
        ({}, "good", ""),
        ({"environment": {"calibration_op_drift": 0.2}}, "shaky", "the reference op drifted by 20%"),
        ({"environment": {"calibration_op_drift": 1.69}}, "unusable", "the reference op drifted by 169%"),
        ({"environment": {"split_half_median": 0.3}}, "unusable", "two halves of the rounds differ by 30%"),
        ({"environment": {"calibration_op_drift": "much"}}, "good", ""),
        ({"networks": ()}, "shaky", "no network was measured"),
    ],
)
def test_grades(change, level, reason):
    grade = dataclasses.replace(drawn(2, 0.01), **change).grade
    assert grade.level == level
    assert reason in grade.line()
    assert grade.line().startswith(f"quality of the table: {level}")


@pytest.mark.parametrize(("factor", "level"), [(1.02, "good"), (1.2, "shaky"), (1.6, "unusable")])
def test_a_table_is_graded_by_its_held_out_networks(factor, level):
    table = drawn(3, 0.02)
    moved = tuple(
        dataclasses.replace(n, measured_ms=factor * n.measured_ms, repeat_ms=factor * n.repeat_ms)
        if n.split == "held-out"
        else n
        for n in table.networks
    )
    assert dataclasses.replace(table, networks=moved).grade.level == level


def test_many_unstable_rows_make_a_table_shaky():
    table = drawn(4, 0.005)
    rows = {op: dataclasses.replace(entry, status="unstable") for op, entry in table.entries.items()}
    assert dataclasses.replace(table, entries=rows).grade.level == "shaky"


@pytest.mark.parametrize(("networks", "most"), [(5, 3), (10, 4), (20, 6), (50, 12)])
def test_intervals_are_blamed_only_for_what_chance_would_hardly_do(networks, most):
    def level(outside):
        return judge_misses(outside, networks).level

    assert [level(outside) for outside in (0, most - 1, most)] == [GOOD] * 3
    assert level(most + 1) == SHAKY


def test_a_machine_that_was_used_by_others_makes_a_shaky_table():
    networks = [NetworkMeasurement(f"n{i}", "interval", 1.0 + i, 1.0 + i, 1.0 + i) for i in range(5)]
    quiet, used = (grade_table({"disturbed_rounds": share}, [], networks, None) for share in (0.2, 0.5))
    assert quiet.level == GOOD
    assert used.level == SHAKY
    assert used.reasons == ("something else used the machine in 50% of the rounds",)


def test_any_number_of_networks_can_be_judged():
    assert judge_misses(900, 10_000).level == GOOD
    assert judge_misses(1300, 10_000).level == SHAKY
