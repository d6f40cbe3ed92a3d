"""How long a pass of a profile takes, estimated from its first rounds."""

import itertools

import pytest

from profilers import SamplingSettings, _journal
from profilers._journal import SampleJournal, pass_seconds, sample_into


@pytest.mark.parametrize(
    ("round_s", "least", "most"),
    [(0.1, 1.1, 4.5), (1.0, 11.0, 45.0), (3.0, 33.0, 73.0), (20.0, 220.0, 220.0)],
)
def test_a_pass_takes_its_least_rounds_and_at_most_its_cap(round_s, least, most):
    found = pass_seconds(round_s, SamplingSettings(min_rounds=11, max_rounds=45, max_seconds=70.0))
    assert found == pytest.approx((least, most))


class ConstantRunnable:
    def run(self, repeats):
        return 1e-4 * repeats


@pytest.mark.parametrize(("second", "announced"), [(2.0, True), (0.01, False)])
def test_a_long_pass_is_announced_once(tmp_path, monkeypatch, second, announced):
    clock = itertools.count()
    monkeypatch.setattr(_journal.time, "monotonic", lambda: next(clock) * second * 3)
    said, settings = [], SamplingSettings(min_rounds=5, max_rounds=12)
    with SampleJournal(tmp_path / "journal", {"a": 1}) as journal:
        sample_into(
            journal, {"x": ConstantRunnable(), "y": ConstantRunnable()}, settings, {}, "pass 1 of 2", said.append
        )
    found = [line for line in said if " takes " in line]
    assert found == (["pass 1 of 2 takes 10 to 24 s, estimated from its first 3 rounds"] if announced else [])
