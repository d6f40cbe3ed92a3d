"""What runs the jobs of experiments: results, failures, processes, and the time spent."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@dataclass(frozen=True)
class Job:
    name: str


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def results_in(folder):
    from _jobs import Results

    return Results(folder, {"scale": 1})


def phases(*names):
    from _jobs import Phase

    return [Phase([Job(name) for name in part]) for part in names]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_once_and_kept(tmp_path, workers):
    from _jobs import do_phases

    def do(job):
        with (tmp_path / "log").open("a") as file:
            file.write(f"{job.name}\n")
        return {"pid": os.getpid()}

    todo = phases(["a", "b"], ["c"])
    results = results_in(tmp_path / "results")
    do_phases(results, do, todo, workers)
    do_phases(results, do, todo, workers)
    lines = (tmp_path / "log").read_text().split()
    assert sorted(lines) == ["a", "b", "c"]
    assert lines[-1] == "c"
    assert (results.need(Job("c"))["pid"] == os.getpid()) == (workers == 1)


def test_after_a_failure_the_phase_is_finished_and_the_next_not_begun(tmp_path, capfd):
    from _jobs import do_phases

    def do(job):
        if job.name == "bad":
            raise ValueError("broken")
        return {}

    results = results_in(tmp_path)
    with pytest.raises(SystemExit, match="these jobs failed: bad;"):
        do_phases(results, do, phases(["bad", "good"], ["later"]), 2)
    assert "ValueError: broken" in capfd.readouterr().out
    assert results.get(Job("good")) is not None
    assert results.get(Job("later")) is None


def test_the_time_of_killed_starts_counts(tmp_path):
    from _jobs import do_job

    results = results_in(tmp_path)
    file = results.place(Job("a")) / "core-seconds.json"
    file.parent.mkdir()
    file.write_text("100.0")

    def killed(job):
        sum(range(10**6))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do_job(results, killed, Job("a"))
    before = json.loads(file.read_text())
    assert 100.0 < before < 105.0
    do_job(results, lambda job: {}, Job("a"))
    assert results.need(Job("a"))["core_seconds"] >= round(before, 1)


def test_only_results_bind_a_folder_to_settings(tmp_path):
    from _jobs import Results

    folder = tmp_path / "new"
    Results(folder, {"scale": 2})
    assert not folder.exists()
    results_in(folder).put(Job("a"), {})
    with pytest.raises(SystemExit, match="holds results with scale 1, not 2; choose another --workdir"):
        Results(folder, {"scale": 2}, "--workdir")


def test_a_plan_counts_what_is_left(tmp_path, capsys):
    from _jobs import tell_plan

    results = results_in(tmp_path)
    results.put(Job("a"), {})
    assert tell_plan(results, [Job("a"), Job("b")], lambda job: 90.0) == 90.0
    assert capsys.readouterr().out.splitlines() == ["done  a", "  90.0 min  b"]


def test_jobs_are_chosen_by_parts_of_their_names():
    from _jobs import named

    jobs = [Job("latency"), Job("search-latency-seed0"), Job("pick-seed0")]
    assert named(jobs, []) == jobs
    assert named(jobs, ["latency"]) == jobs[:2]
    assert named(jobs, ["latency$", "pick"]) == [jobs[0], jobs[2]]
