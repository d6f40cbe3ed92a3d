"""Searches with workers: the same trials as without, whatever happens to the workers or to the search."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from cells import arguments, cut, search, trials_of
from run_toys import create_run

from hwnas._cli import main
from hwnas._errors import HwnasError
from hwnas._runs._settings import SearchSettings
from hwnas._workers import WorkerPlan, parse_workers, resolve_threads

HEARING = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from hwnas._cli import main; sys.exit(main(sys.argv[1:]))"
)
"""A shell without job control starts what runs behind it with SIGINT ignored, and that is inherited."""


@pytest.fixture(scope="module")
def unbroken(csv, tmp_path_factory):
    return search(csv, tmp_path_factory.mktemp("unbroken") / "run", samples=30)


def start(csv, out, *more):
    command = [sys.executable, "-c", HEARING, *arguments(csv, out, "--json", "--workers", "2", *more, samples=30)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def until_trial(process, number):
    for line in process.stdout:
        if json.loads(line).get("trial") == number:
            return
    raise AssertionError(process.stderr.read())


def workers_of(process):
    return [child for child in psutil.Process(process.pid).children() if is_worker(child)]


def is_worker(child):
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:  # it ended meanwhile
        return False


def all_gone(workers):
    _, alive = psutil.wait_procs(workers, timeout=10)
    return not alive


def test_workers_change_no_trial(csv, unbroken, tmp_path, capsys):
    capsys.readouterr()
    out = search(csv, tmp_path / "run", "--workers", 3, samples=30)
    assert "evaluating in 3 worker processes\n" in capsys.readouterr().err
    assert trials_of(out) == trials_of(unbroken)
    assert (out / "pareto.json").read_bytes() == (unbroken / "pareto.json").read_bytes()


def test_a_run_goes_on_with_other_workers(csv, unbroken, tmp_path):
    out = search(csv, tmp_path / "run", "--workers", 2, samples=30)
    cut(out, 17)  # in the middle of a batch
    search(csv, out, samples=30)
    assert trials_of(out) == trials_of(unbroken)
    cut(out, 13)
    search(csv, out, "--workers", 2, samples=30)
    assert trials_of(out) == trials_of(unbroken)


def test_cheap_looks_are_evaluated_by_workers_too(csv, tmp_path):
    options = {"samples": 14, "strategy": "lamoo"}
    one = search(csv, tmp_path / "one", "--low-fidelity", "ms", **options)
    two = search(csv, tmp_path / "two", "--low-fidelity", "ms", "--workers", 2, **options)
    assert trials_of(one) == trials_of(two)
    assert any(trial.get("cheap") for trial in trials_of(two))


def test_more_proposals_at_once_are_another_search(csv, tmp_path, capsys):
    out = search(csv, tmp_path / "run", "--workers", 3, "--proposals", 12, samples=30)
    assert trials_of(out) == trials_of(search(csv, tmp_path / "alone", "--proposals", 12, samples=30))
    cut(out, 14)
    search(csv, out, "--proposals", 12, samples=30)
    assert trials_of(out) == trials_of(tmp_path / "alone")
    capsys.readouterr()
    assert main(arguments(csv, out, samples=30)) == 2
    message = f"{out} contains a search with proposals 12, this one has 5; choose another --out"
    assert capsys.readouterr().err == f"hwnas: error: {message}\n"


def test_a_killed_worker_changes_no_trial(csv, unbroken, tmp_path):
    process = start(csv, tmp_path / "run")
    until_trial(process, 11)
    for worker in workers_of(process)[:1]:
        worker.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert trials_of(tmp_path / "run") == trials_of(unbroken)


def test_a_killed_search_leaves_no_worker_and_goes_on(csv, unbroken, tmp_path):
    process = start(csv, tmp_path / "run")
    until_trial(process, 11)
    workers = workers_of(process)
    process.kill()
    process.communicate()
    assert workers
    assert all_gone(workers)
    search(csv, tmp_path / "run", "--workers", 2, samples=30)
    assert trials_of(tmp_path / "run") == trials_of(unbroken)


def test_an_interrupt_ends_the_workers(csv, tmp_path):
    out = tmp_path / "run"
    process = start(csv, out)
    until_trial(process, 11)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: everyone in the foreground hears it
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert workers
    assert all_gone(workers)
    trials = trials_of(out)
    assert [trial["number"] for trial in trials] == list(range(len(trials)))
    path = out / "trials.jsonl"
    assert err == f"interrupted; {len(trials)} trials are safe in {path}, run the same command again to continue\n"
    assert not list(out.rglob("*.partial"))


def test_an_interrupt_while_workers_start_is_as_clean(csv, tmp_path):
    process = start(csv, tmp_path / "run")
    for line in process.stdout:
        if "worker processes" in json.loads(line).get("text", ""):
            break
    deadline = time.monotonic() + 30
    while not (workers := workers_of(process)) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, len(err.splitlines())) == (130, 1), err
    assert all_gone(workers)


def test_threads_of_an_evaluation_are_settled_when_a_run_begins(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("hwnas._workers._plan.usable_cores", lambda: 8)
    monkeypatch.setattr("hwnas._workers._plan.choose_threads", lambda evaluator, device, say: 5)
    settings, out = SearchSettings(), tmp_path / "run"

    def threads(plan, **more):
        return resolve_threads(SearchSettings(**more), out, plan).evaluation_threads

    assert threads(WorkerPlan()) == 5
    assert [threads(WorkerPlan(count)) for count in (2, 3, 99)] == [4, 2, 1]
    assert threads(WorkerPlan(ray_address="auto")) == 1
    assert threads(WorkerPlan(2), evaluator="table:x.csv") is None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads(WorkerPlan(2)) == 3
    create_run(out, resolve_threads(settings, out, WorkerPlan(2)), {})
    assert threads(WorkerPlan()) == 3  # nothing was evaluated yet, but training may have begun
    (out / "trials.jsonl").write_text("{}\n")
    assert [threads(plan) for plan in (WorkerPlan(), WorkerPlan(8))] == [3, 3]
    assert threads(WorkerPlan(), evaluation_threads=2) == 2
    with pytest.raises(HwnasError) as caught:
        threads(WorkerPlan(ray_address="auto"), device="cuda:1")
    assert str(caught.value) == "--workers ray chooses the GPUs itself; use --device cuda, got cuda:1"


def test_ray_that_is_not_installed_is_told_before_anything_else(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HwnasError) as caught:
        parse_workers("ray", None)
    assert str(caught.value) == '--workers ray needs Ray, which is not installed: pip install "hwnas[ray]"'


@pytest.mark.slow
def test_a_ray_cluster_that_is_not_there_is_told_in_one_line(csv, tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed")
    capsys.readouterr()
    assert main(arguments(csv, tmp_path / "run", "--workers", "ray", "--ray-address", "127.0.0.1:1")) == 2
    why = f"[Errno {errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}"
    assert capsys.readouterr().err == (
        f"hwnas: error: found no Ray cluster at 127.0.0.1:1 ({why}); "
        "start one with `ray start --head`, or give --ray-address\n"
    )
