"""``trials.csv``: the journal as a table."""

import csv
import io
import json

import pytest
from cells import arguments, cut, search, trials_of

from hwnas._cli import main
from hwnas._common._pace import Pace
from hwnas._runs._journal import TrialRecord
from hwnas._runs._trials_csv import TrialRows, TrialTable
from hwnas._runs._watch import Watcher
from hwnas._runs._watched import WatchedSearch
from hwnas._runs._watchers import Watchers
from hwnas.spaces import Architecture, Choice
from search import Objective

OBJECTIVES = (Objective("accuracy", "max"), Objective("latency_ms", "min"))


class Words:
    """A space of one choice with odd values, and one that is called like a column."""

    choices = (Choice("op", ("conv", "=1+1", 'a,"b"\n')), Choice("arch", (8, 0.5)))

    def decode(self, codes):
        return Architecture(tuple(choice.values[c] for choice, c in zip(self.choices, codes, strict=True)))


class Written:
    """A run that keeps what is written."""

    def __init__(self):
        self.texts = []

    def write(self, name, text):
        assert name == "trials.csv"
        self.texts.append(text)


def watched(*records, run=None):
    return WatchedSearch(run or Written(), list(records), Words(), OBJECTIVES)


def record(number, **more):
    return TrialRecord(number, more.pop("codes", (0, 0)), more.pop("arch", "a"), more.pop("values", {}), **more)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_run_has_the_table_of_its_journal(csv_rows, tmp_path):
    rows, trials = csv_rows
    assert len(rows) == len(trials) == 12
    for row, trial in zip(rows, trials, strict=True):
        assert (int(row["number"]), row["arch"]) == (trial["number"], trial["arch"])
        assert {name: float(row[name]) for name in trial["values"]} == trial["values"]
        assert row["edge01"] in trial["arch"]
        assert (row["failed"], row["low_fidelity"], row["seed"]) == ("", "false", "0")
        assert float(row["seconds"]) >= 0


@pytest.fixture
def csv_rows(csv, tmp_path):
    out = search(csv, tmp_path / "run", samples=12)
    return rows_of((out / "trials.csv").read_bytes().decode()), trials_of(out)


def test_a_continued_run_has_all_trials_also_where_it_had_no_table(csv, tmp_path):
    out = search(csv, tmp_path / "run", samples=12)
    whole = (out / "trials.csv").read_text()
    (out / "trials.csv").unlink()
    search(csv, out, samples=15)
    assert len(rows_of((out / "trials.csv").read_text())) == 15
    cut(out, 5)
    search(csv, out, samples=12)
    columns = [name for name in rows_of(whole)[0] if name != "seconds"]
    again = (out / "trials.csv").read_text()
    assert [[row[name] for name in columns] for row in rows_of(again)] == [
        [row[name] for name in columns] for row in rows_of(whole)
    ]


def test_an_interrupted_search_has_its_table(csv, tmp_path, monkeypatch, capsys):
    def stop(self, record, status):
        if record.number == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr("hwnas._runs._watch.Lines.trial", stop)
    assert main(arguments(csv, tmp_path / "run", samples=12)) == 130
    assert "7 trials are safe" in capsys.readouterr().err
    assert len(rows_of((tmp_path / "run" / "trials.csv").read_text())) == 7


def test_a_table_that_cannot_be_written_costs_one_warning(csv, tmp_path, monkeypatch, capsys):
    out = search(csv, tmp_path / "run", samples=11)
    (out / "trials.csv").unlink()
    (out / "trials.csv").mkdir()
    monkeypatch.setattr("hwnas._runs._trials_csv._EVERY_S", 0.0)
    search(csv, out, samples=20)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "trials.csv failed (cannot write" in warnings[0]
    assert "it is a folder, not a file" in warnings[0]
    assert len(trials_of(out)) == 20


def test_what_a_spreadsheet_would_compute_is_text_and_numbers_stay_numbers():
    texts = ("=1+1", "+1", "-1", "@x", "＝1", "\t=1", "plain = 1")
    records = [record(i, codes=(1, 1), arch=text, values={"accuracy": -0.5}) for i, text in enumerate(texts)]
    rows = rows_of(TrialRows(watched(*records)).text())
    assert [row["arch"] for row in rows] == ["'=1+1", "'+1", "'-1", "'@x", "'＝1", "\\t=1", "plain = 1"]
    assert {(row["op"], row["choice_arch"], row["accuracy"]) for row in rows} == {("'=1+1", "0.5", "-0.5")}


def test_the_text_is_as_rfc_4180_says_and_each_trial_is_one_line():
    text = TrialRows(watched(record(0, codes=(2, 0), failed='no "value",\nat all'))).text()
    assert text.splitlines(keepends=True)[1:] == [
        '0,a,"a,""b""\\n",8,,,"no ""value"",\\nat all",false,,,\r\n',
    ]
    (row,) = rows_of(text)
    assert (row["op"], row["failed"], row["accuracy"]) == ('a,"b"\\n', 'no "value",\\nat all', "")


def test_estimates_and_measurements_become_columns():
    statistics = {"q10": 1.0, "median": 1.5, "p90": 2.0, "p99": 3.0, "half_width": 0.1, "slowness": 1.2}
    values, costs = {"accuracy": 0.5, "latency_ms": 1.5}, {"macs": 7.0}
    estimates, measurements = {"latency_ms": 1.4}, {"latency_ms": statistics}
    told = record(1, values=values, costs=costs, estimates=estimates, measurements=measurements)
    rows = TrialRows(watched(record(0, values={"accuracy": 0.4, "latency_ms": 1.0}), told))
    first, second = rows_of(rows.text())
    assert second["estimate_latency_ms"] == "1.4"
    assert {name: second[f"measured_latency_ms_{name}"] for name in statistics} == {
        name: str(value) for name, value in statistics.items()
    }
    assert (first["estimate_latency_ms"], first["macs"], second["macs"]) == ("", "", "7.0")


def test_numbers_that_are_called_like_other_columns_get_another_name():
    given = {"seconds": 7.0, "seed": 3.0, "epochs": 2.0}
    rows = TrialRows(watched(record(0, values={"accuracy": 1.0, "latency_ms": 2.0}, seconds=0.5, extra_columns=given)))
    header = rows.text().splitlines()[0].split(",")
    assert len(set(header)) == len(header)
    (row,) = rows_of(rows.text())
    assert (row["seconds"], row["evaluator_seconds"]) == ("0.5", "7.0")
    assert (row["evaluator_seed"], row["epochs"]) == ("3.0", "2.0")


def test_a_column_that_comes_later_is_there_for_all():
    search = watched(record(0, values={"accuracy": 0.4}))
    rows = TrialRows(search)
    assert "epochs" not in rows.text()
    search.records.append(record(1, extra_columns={"epochs": 3.0}))
    assert [row["epochs"] for row in rows_of(rows.text())] == ["", "3.0"]


def test_while_a_search_runs_the_table_is_written_at_a_pace_and_each_trial_is_converted_once(monkeypatch):
    now, run, converted = [0.0], Written(), []
    chosen = WatchedSearch.chosen
    monkeypatch.setattr(WatchedSearch, "chosen", lambda self, r: converted.append(r.number) or chosen(self, r))
    table, search = TrialTable(Pace(5.0, 0.02, lambda: now[0])), watched(run=run)
    watchers = Watchers(Watcher(), [table])
    watchers.begin(search)
    for number in range(100):
        now[0] += 1.0
        search.records.append(record(number))
        watchers.trial(search.records[-1], lambda: None)
    assert len(run.texts) == 20
    watchers.end(True)
    assert converted == list(range(100))
    assert len(rows_of(run.texts[-1])) == 100


def test_a_search_without_trials_leaves_no_table():
    run = Written()
    table = TrialTable()
    table.end(False)
    table.begin(watched(run=run))
    table.end(False)
    assert run.texts == []


def test_the_journal_is_not_changed_by_the_table(csv_rows, tmp_path):
    lines = (tmp_path / "run" / "trials.jsonl").read_text().splitlines()
    names = {name for line in lines for name in json.loads(line)}
    assert "edge01" not in names
