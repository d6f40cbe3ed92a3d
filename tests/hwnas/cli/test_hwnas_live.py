"""What a search shows while it runs."""

import io
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from cells import arguments, search, trials_of
from run_toys import trial_record

from hwnas._cli import main
from hwnas._cli._live import JsonWatcher, TerminalWatcher, duration, make_watcher, status_line
from hwnas._runs._front import fixed_hypervolume
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watch import Lines, Status, Watcher
from hwnas.tasks import DEFAULT_METRIC, Metric
from search import Objective


def status(done, samples=40):
    return Status(done, samples, DEFAULT_METRIC, 0.5 + done / 100, 0.25, 120.0, 0.5 * (samples - done))


def test_the_status_line_says_the_most_important_first():
    assert status_line(status(10)) == "10/40 best accuracy 60.00%, hypervolume 0.2500, 120/min, 15 s left"
    none = Status(0, 40, Metric.of_score("naswot"), None, 0.0, None, None)
    assert status_line(none) == "0/40 best naswot none yet, hypervolume 0.0000"
    best = Status(5, 40, DEFAULT_METRIC, 0.6, 0.25, None, None, front=False)
    assert status_line(best) == "5/40 best accuracy 60.00%"
    assert best.line == "5 of 40 samples: best accuracy 60.00%"
    assert [duration(s) for s in (5, 89, 600, 7200)] == ["5 s", "89 s", "10 min", "2.0 h"]


def test_a_terminal_shows_one_line_that_changes_in_place():
    stream, time = io.StringIO(), [0.0]
    watcher = TerminalWatcher(stream, lambda text: stream.write(text + "\n"), lambda: 30, lambda: time[0])
    watcher.line("begun")
    for done in range(1, 41):
        time[0] += 0.05
        watcher.trial(trial_record(0), lambda done=done: status(done))
    watcher.line("report: here")
    watcher.close()
    drawn = stream.getvalue().split("\r\x1b[K")
    assert drawn[0] == "begun\n"
    assert 8 <= len(drawn) <= 15
    assert all(len(line.rstrip("\n")) < 30 for line in drawn)
    assert any("report: here\n" in line for line in drawn)
    assert drawn[-1] == status_line(status(40))[:29] + "\n"
    watcher.line("more")
    assert stream.getvalue().endswith("\nmore\n")


def test_plain_lines_where_there_is_no_terminal(monkeypatch):
    said = []
    watcher = make_watcher(False, False, said.append)
    assert isinstance(watcher, Lines)
    for done in range(1, 41):
        watcher.trial(trial_record(0), lambda done=done: status(done))
        watcher.trial(trial_record(0, low_fidelity=True), lambda: status(40))
    assert len(said) == 20
    assert said[-1] == "40 of 40 samples: best accuracy 90.00%, hypervolume 0.2500"
    assert type(make_watcher(True, False, said.append)) is Watcher


def test_quiet_and_json(csv, tmp_path, capsys):
    capsys.readouterr()
    search(csv, tmp_path / "run", "--quiet", samples=12)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{tmp_path / 'run' / 'report.html'}\n", "")
    search(csv, tmp_path / "run", "--json", samples=15)
    captured = capsys.readouterr()
    assert captured.err == ""
    events = [json.loads(line) for line in captured.out.splitlines()]
    trials = [event for event in events if event["event"] == "trial"]
    assert [event["trial"] for event in trials] == [12, 13, 14]
    assert trials[-1]["values"] == trials_of(tmp_path / "run")[-1]["values"]
    assert trials[-1]["status"]["done"] == 15
    assert {"event": "note", "text": "continuing after 12 trials"} in events
    assert events[-1]["event"] == "end"
    assert events[-1]["report"] == str(tmp_path / "run" / "report.html")


def test_json_lines_hold_what_was_estimated_and_measured():
    stream, facts = io.StringIO(), {"latency_ms": {"median": 2.1}}
    record = TrialRecord(3, (0,), "a", {}, estimates={"latency_ms": 2.0}, measurements=facts)
    JsonWatcher(stream).trial(record, lambda: Status(4, 9, DEFAULT_METRIC, None, None, None, None))
    event = json.loads(stream.getvalue())
    assert (event["trial"], event["estimates"], event["measurements"]) == (3, {"latency_ms": 2.0}, facts)


def test_the_hypervolume_never_falls_and_rises_with_the_front(csv, tmp_path, capsys):
    capsys.readouterr()
    search(csv, tmp_path / "run", "--json", samples=60, strategy="lamoo")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    trials = [event for event in events if event["event"] == "trial"]
    volumes = np.array([event["status"]["hypervolume"] for event in trials])
    points = np.array([[t["values"]["accuracy"], -t["values"]["latency_ms"]] for t in trials])
    assert len(volumes) == 60
    assert (np.diff(volumes) >= 0).all()
    assert 0 <= volumes[0] < volumes[-1] < 1
    for n in range(1, 60):
        new = not (points[:n] >= points[n]).all(axis=1).any()
        assert (volumes[n] > volumes[n - 1]) == new, n


@pytest.mark.parametrize("seed", range(5))
def test_scores_have_a_hypervolume_once_their_first_batch_is_complete(seed):
    rng = np.random.default_rng(seed)
    objectives = (Objective("score", "max"), Objective("latency_ms", "min", lambda x: x, worst=9.0, best=1.0, log=True))
    values = np.stack([rng.normal(-50, 20, 40), rng.uniform(1, 9, 40)], axis=1)
    batches = np.repeat(np.arange(8), 5) + 2  # the first two had no values
    found = [fixed_hypervolume(objectives, values[:n], batches[:n]) for n in range(41)]
    assert found[0] == 0.0
    assert found[1:6] == [None] * 5
    assert (np.diff(found[6:]) >= 0).all()
    assert found[6] < found[-1]
    flat = fixed_hypervolume(objectives, np.array([[3.0, 2.0], [3.0, 3.0], [4.0, 2.0]]), np.array([0, 0, 1]))
    assert flat > 0
    assert Status(1, 2, Metric.of_score("score"), 1.0, None, None, None).line.endswith("hypervolume none yet")


def test_an_interrupt_leaves_a_whole_journal_and_says_how_to_go_on(csv, tmp_path):
    out = tmp_path / "run"
    # a shell without job control starts what runs behind it with SIGINT ignored, and that is inherited
    hearing = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    hearing += "from hwnas._cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", hearing, *arguments(csv, out, "--json", samples=4000)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line).get("trial") == 15:
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    data = (out / "trials.jsonl").read_text()
    assert data.endswith("\n")
    trials = trials_of(out)
    assert [trial["number"] for trial in trials] == list(range(len(trials)))
    assert len(trials) >= 16
    safe = f"{len(trials)} trials are safe in {out / 'trials.jsonl'}"
    assert err == f"interrupted; {safe}, run the same command again to continue\n"


def test_an_interrupt_elsewhere_says_so_too(monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("hwnas._api._runs.find_runs", stop)
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "interrupted; run the same command again to continue\n"
