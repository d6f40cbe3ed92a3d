"""A loss of power leaves no trial in a tool that the journal lacks: the journal is on the disk first."""

import os
from dataclasses import replace

from tracked_toys import STATUS, record, watched

from hwnas._common._pace import Pace
from hwnas._runs._journal import TrialJournal, read_trials
from hwnas._trackers._base import Tracker


class Noting(Tracker):
    """A tool that keeps the order of events."""

    def __init__(self, events):
        super().__init__("noting", Pace(0.0, 1.0))
        self.events = events

    def _open(self):
        pass

    def _logged(self):
        return []

    def _log(self, trials):
        self.events.append([logged.record.number for logged in trials])


def test_the_journal_is_on_the_disk_before_a_tracker_logs(tmp_path):
    events = []
    search = replace(watched(tmp_path / "run"), records=[record(0)], sync=lambda: events.append("sync"))
    tracker = Noting(events)
    tracker.begin(search)
    tracker.trial(record(1), lambda: STATUS)
    tracker.end(True)
    assert events == ["sync", [0], "sync", [1]]


def test_a_journal_waits_for_the_disk_once(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal = TrialJournal(tmp_path / "trials.jsonl")
    try:
        journal.append(record(0))
        synced.clear()
        journal.sync()
        assert synced == []  # the first line did not wait to be written
        journal.append(record(1))
        journal.append(record(2))
        assert synced == []
        journal.sync()
        journal.sync()
        assert len(synced) == 1
    finally:
        journal.close()
    assert [trial.number for trial in read_trials(tmp_path / "trials.jsonl")] == [0, 1, 2]
