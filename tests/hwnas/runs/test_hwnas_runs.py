"""`hwnas runs` and `hwnas compare`."""

import json
import re
import shutil

import numpy as np
import pytest
from cells import as_version_1, cut, search, trials_of
from measured_toys import SPACE, Device, exact_table, true_ms
from measured_toys import search as search_measured

from hwnas._cli import main
from hwnas._costs._cost import written_budgets
from hwnas._runs._compare import short_names
from hwnas._runs._list import find_runs, read_run
from hwnas._runs._run import TrialJournal
from search import hypervolume, nondominated


@pytest.fixture(scope="module")
def folder(csv, tmp_path_factory):
    """Two runs of the same objectives, and one of others."""
    folder = tmp_path_factory.mktemp("runs")
    search(csv, folder / "deep" / "a", samples=25)
    search(csv, folder / "b", "--seed", 5, samples=20, budget="6ms")
    shutil.copytree(folder / "b", folder / "other")
    as_version_1(folder / "other")
    for file in ("settings.json", "trials.jsonl"):
        text = (folder / "other" / file).read_text()
        text = text.replace('"minimize": [\n   "latency"', '"minimize": [\n   "macs"')
        text = re.sub(r'("values": \{"accuracy": [0-9.]+, )"latency_ms"', r'\1"macs"', text)
        (folder / "other" / file).write_text(text)
    return folder


@pytest.fixture
def fails(capsys):
    def run(*arguments):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err.rstrip("\n")

    return run


def test_runs_are_listed_with_what_they_found(csv, folder, capsys):
    assert main(["runs", str(folder), "--json"]) == 0
    found = {info["name"]: info for info in json.loads(capsys.readouterr().out)}
    assert list(found) == ["b", "deep/a", "other"]
    a = found["deep/a"]
    trials = [json.loads(line) for line in (folder / "deep" / "a" / "trials.jsonl").read_text().splitlines()]
    assert a["best"] == max(trial["values"]["accuracy"] for trial in trials)
    assert (a["state"], a["trials"], a["samples"], a["space"]) == ("finished", 25, 25, "nasbench201")
    assert (a["data"], a["device"], a["budgets"]) == (f"table:{csv}", "column ms", {"latency_ms": 8.0})
    assert main(["runs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "state", "trials", "best", "budget", "space", "data", "device", "when"]
    assert len(lines) == 4
    assert "25 of 25" in lines[2]
    assert "latency 6 ms" in lines[1]
    assert main(["runs", str(folder / "b"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_unfinished_running_and_damaged_runs_are_told_apart(folder, tmp_path, capsys):
    for name in ("stopped", "running", "damaged", "unreadable"):
        shutil.copytree(folder / "b", tmp_path / name)
    cut(tmp_path / "stopped", 7)
    with (tmp_path / "stopped" / "trials.jsonl").open("a") as file:
        file.write('{"number": 7, "torn')
    (tmp_path / "damaged" / "trials.jsonl").write_text('{"number": 0}\n')
    (tmp_path / "unreadable" / "settings.json").write_text("{")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "settings.json").write_text('{"camera": 1}')
    journal = TrialJournal(tmp_path / "running" / "trials.jsonl")
    try:
        found = {info.name: info for info in find_runs(tmp_path)}
    finally:
        journal.close()
    states = {name: info.state for name, info in found.items()}
    assert states == {"stopped": "stopped", "running": "running", "damaged": "damaged", "unreadable": "damaged"}
    assert found["stopped"].trials == 7
    assert (tmp_path / "stopped" / "trials.jsonl").read_text().endswith("torn")
    assert main(["runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    journal = tmp_path / "damaged" / "trials.jsonl"
    problem = f"{journal} was changed in or before line 1 (its content hash does not match); restore it or choose"
    assert f"damaged: {problem} another folder" in lines


def test_a_budget_that_changed_is_the_one_that_counts(csv, folder, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(folder / "deep" / "a", out)
    search(csv, out, samples=25, budget="4ms")
    (info,) = find_runs(tmp_path)
    trials = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    assert info.best == max(t["values"]["accuracy"] for t in trials if t["values"]["latency_ms"] <= 4)
    assert info.state == "finished"


def test_no_runs(tmp_path, capsys, fails):
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path}\n"
    assert fails("runs", tmp_path / "x") == (
        f"hwnas: error: {tmp_path / 'x'} is not a folder; choose one that contains run directories"
    )


def test_runs_are_compared_on_one_scale(folder, tmp_path, capsys):
    paths = [folder / "deep" / "a", folder / "b"]
    assert main(["compare", *map(str, paths), "--json", "-o", str(tmp_path / "c.png")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    points = []
    for path in paths:
        trials = [json.loads(line)["values"] for line in (path / "trials.jsonl").read_text().splitlines()]
        points.append(np.array([[t["accuracy"], -np.log(t["latency_ms"])] for t in trials]))
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    for one, part in zip(found["runs"], points, strict=True):
        volume = hypervolume((part - low) / (high - low), np.array([-0.1, -0.1]))
        assert one["hypervolume"] == pytest.approx(volume)
        assert (np.diff(one["volumes"]) > -1e-9).all()
        assert one["trials"] == len(part)
    assert [best["budgets"] for best in found["runs"][0]["best"]] == [{"latency_ms": 8.0}, {"latency_ms": 6.0}]
    at_six = max(a for a, b in points[0] if -b <= np.log(6.0))
    assert found["runs"][0]["best"][1]["value"] == pytest.approx(at_six)
    assert found["reference"]["latency_ms"] > 6


def test_the_table_and_the_page(folder, tmp_path, capsys):
    page = tmp_path / "c.html"
    assert main(["compare", str(folder / "deep" / "a"), str(folder / "b"), "-o", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "run"
    assert "best accuracy, latency 8 ms" in lines[0]
    assert [line.split()[0] for line in lines[1:3]] == ["a", "b"]
    assert lines[-1] == str(page)
    text = page.read_text()
    assert "://" not in text  # which no picture in base64 can hold
    assert lines[1] in text


def test_what_cannot_be_compared(folder, tmp_path, fails):
    a, other = folder / "deep" / "a", folder / "other"
    assert fails("compare", a) == "hwnas: error: compare needs at least two runs"
    assert fails("compare", a, other) == (
        f"hwnas: error: {other} has the objectives accuracy, macs, {a} has accuracy, latency_ms; "
        "compare runs of the same objectives"
    )
    shutil.copytree(a, tmp_path / "empty")
    cut(tmp_path / "empty", 0)
    assert fails("compare", a, tmp_path / "empty") == (
        f"hwnas: error: {tmp_path / 'empty'} has no successful trial yet; continue its `hwnas search` first"
    )
    assert fails("compare", a, folder / "b", "-o", "c.pdf") == (
        "hwnas: error: cannot write c.pdf: choose a name that ends in .png or .html"
    )
    assert (
        fails("compare", a, tmp_path / "x") == f"hwnas: error: {tmp_path / 'x'} does not exist; choose another folder"
    )


def test_the_order_of_the_objectives_does_not_matter(folder, tmp_path, capsys):
    def with_macs(order):
        def change(record, trials):
            record["settings"]["minimize"] = order
            for trial in trials:
                trial["values"]["macs"] = 1e6 * (1 + trial["number"])

        return change

    for name, order in (("a", ["latency", "macs"]), ("b", ["macs", "latency"])):
        shutil.copytree(folder / "b", tmp_path / name)
        as_version_1(tmp_path / name, with_macs(order))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["objectives"] == ["accuracy", "latency_ms", "macs"]
    first, second = found["runs"]
    assert first["front"] == second["front"] != []
    assert all(point["macs"] >= 1e6 > point["latency_ms"] for point in first["front"])


def test_trials_from_before_a_budget_are_said_to_count_for_nothing(folder, capsys, monkeypatch):
    past = read_run(folder / "deep" / "a")
    assert past.unknown({"latency_ms": 8.0}) == past.unknown({"latency_ms": 1e-3}) == 0  # known to be over it
    assert past.unknown({"latency_ms": 8.0, "params": 1e9}) == 25
    monkeypatch.setattr("hwnas._runs._list.PastRun.unknown", lambda self, budgets: 3 * (len(self.full) == 20))
    assert main(["compare", str(folder / "deep" / "a"), str(folder / "b")]) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "count for nothing" in line]
    assert note.startswith("note: b: 3 of its trials count for nothing here: they were evaluated before it had this")


def test_that_a_journal_does_not_know_the_budget_of_another_run_is_said(csv, folder, tmp_path, capsys):
    out = search(csv, tmp_path / "p", "--params-budget", "1M", samples=12)
    assert main(["compare", str(folder / "deep" / "a"), str(out)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "is not in its journal" in line]
    assert len(notes) == 1
    assert notes[0].startswith("note: a: whether 25 of its trials keep latency 8 ms, params 1M is not in its journal")


def test_names_tell_runs_apart(tmp_path):
    assert short_names([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    assert short_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert short_names([tmp_path / "a", tmp_path / "a"]) == ["a (1)", "a (2)"]


def test_budgets_are_written_for_people():
    assert written_budgets({"latency_ms": 4.0, "params": 6e5}) == "latency 4 ms, params 600k"
    assert written_budgets({}) == "none"


def test_measured_and_predicted_latencies_are_named_and_trials_over_the_budget_do_not_count(tmp_path, capsys):
    archs, table = SPACE.sample(99, np.random.default_rng(0)), exact_table(slower)
    names, budget = ("p", "m", "n"), float(np.median([true_ms(arch, slower) for arch in archs]))
    options = {"samples": 20, "latency_budget": f"{budget}ms"}
    more = ({"measure": "winners"}, {"measure": "trials"}, {"measure": "trials", "latency_statistic": "p90"})
    for name, given in zip(names, more, strict=True):
        search_measured(tmp_path / name, Device(slower=slower), table, **options, **given)
    trials = trials_of(tmp_path / "m")
    within = [trial for trial in trials if trial["values"]["latency_ms"] <= budget]
    assert len(within) < len(trials) == 20
    assert main(["compare", *(str(tmp_path / name) for name in names), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    (note,) = [note for note in compared["notes"] if "latency" in note]
    assert note == "the runs differ in latency: p predicted, m measured (median), n measured (p90)"
    _, run, _ = compared["runs"]
    assert all(network["latency_ms"] <= budget for network in run["front"])
    points = np.array([[t["values"]["score"], -np.log(t["values"]["latency_ms"])] for t in within])
    shown = np.array([[n["score"], -np.log(n["latency_ms"])] for n in run["front"]])
    assert np.sort(shown, axis=0) == pytest.approx(np.sort(points[nondominated(points)], axis=0))
    # trials over the budget count for the scale alone
    everything = [t for name in names for t in trials_of(tmp_path / name)]
    axes = np.array([[t["values"]["score"], -np.log(t["values"]["latency_ms"])] for t in everything])
    low, high = axes.min(axis=0), axes.max(axis=0)
    assert run["hypervolume"] == pytest.approx(hypervolume((points - low) / (high - low), np.array([-0.1, -0.1])))


def slower(op):
    return 1.3 if op.kind == "conv" else 1.0
