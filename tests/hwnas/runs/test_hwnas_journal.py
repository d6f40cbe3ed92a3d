"""The lines of a journal: what one version wrote is read by its one reader, and nothing else is."""

import json

import pytest
from run_toys import trial_record

from hwnas import HwnasError
from hwnas._runs._journal import TrialJournal, TrialRecord, read_trials
from search import Trial

LINE = {"number": 3, "codes": [0, 2], "values": {"accuracy": 0.5, "latency_ms": 2.0}, "failed": None, "arch": "a"}


def test_a_record_is_read_as_it_was_written():
    record = TrialRecord.from_dict(
        {
            **LINE,
            "cheap": True,
            "seconds": 1.5,
            "costs": {"macs": 7.0},
            "seed": 1,
            "known": {"epochs": 3},
            "from": "runs/a",
            "estimates": {"latency_ms": 1.8},
            "measurements": {"latency_ms": {"q10": 2.2, "at_table_speed_q10": 2.0, "samples": 15}},
            "deviations": {"latency_ms": 0.03},
        }
    )
    assert record.estimates["latency_ms"] == 1.8
    assert record.measurements["latency_ms"]["q10"] == 2.2
    assert (record.low_fidelity, record.seconds, record.source) == (True, 1.5, "runs/a")
    assert (record.costs, record.extra_columns) == ({"macs": 7.0}, {"epochs": 3.0})
    assert TrialRecord.from_dict(json.loads(json.dumps(record.as_dict()))) == record
    values, deviations = {"accuracy": 0.5, "latency_ms": 2.0}, {"latency_ms": 0.03}
    assert record.trial == Trial(3, (0, 2), values, None, True, deviations)


def test_what_a_line_does_not_say_is_left_open():
    record = TrialRecord.from_dict({**LINE, "of a later version": [1]})
    assert (record.low_fidelity, record.seconds, record.seed, record.source) == (False, None, None, None)
    assert record.as_dict() == LINE
    assert record.trial.deviations == {}


@pytest.mark.parametrize(("budgets", "kept"), [({}, True), ({"latency_ms": 2.0}, True), ({"latency_ms": 1.9}, False)])
def test_budgets_are_compared_with_known_costs(budgets, kept):
    record = TrialRecord.from_dict({**LINE, "costs": {"macs": 7.0}})
    assert record.keeps(budgets) == kept
    assert record.keeps({**budgets, "macs": 7.0}) == kept
    assert not record.keeps({**budgets, "params": 1e9})  # not known


WRONG = [{"number": True}, {"number": -1}, {"codes": [0.5]}, {"codes": [2**70]}, {"values": {"accuracy": "x"}}]
WRONG += [
    {"values": {"accuracy": 10**400}},
    {"values": [1]},
    {"failed": 1},
    {"arch": None},
    {"cheap": 1},
    {"seconds": "x"},
]
WRONG += [{"costs": 3}, {"seed": "0"}, {"from": 1}, {"known": {"epochs": None}}]
WRONG += [{"estimates": 2.0}, {"measurements": {"latency_ms": 2.0}}, {"measurements": {"latency_ms": {"q10": "x"}}}]


@pytest.mark.parametrize("wrong", WRONG)
def test_lines_that_no_version_wrote_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"is no|is missing|out of range|no numbers"):
        TrialRecord.from_dict({**LINE, **wrong})
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps({**LINE, "number": 0}) + "\n" + json.dumps({**LINE, **wrong}) + "\n")
    with pytest.raises(HwnasError, match=r"trials\.jsonl is damaged in line 2; restore it or choose another folder"):
        read_trials(path, unhashed=True)


@pytest.mark.parametrize("name", list(LINE))
def test_a_line_that_lacks_something_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' is missing"):
        TrialRecord.from_dict({key: value for key, value in LINE.items() if key != name})


def test_reading_neither_locks_nor_changes_a_journal(tmp_path):
    path = tmp_path / "trials.jsonl"
    assert read_trials(path) == []
    journal = TrialJournal(path)
    for number in range(3):
        journal.append(trial_record(number, seconds=0.5))
    assert read_trials(path) == journal.records == [trial_record(number, seconds=0.5) for number in range(3)]
    with path.open("ab") as file:
        file.write(b'{"number": 3, "torn')
    before = path.read_bytes()
    assert len(read_trials(path)) == 3
    assert path.read_bytes() == before
    journal.close()
