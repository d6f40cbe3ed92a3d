"""What work will take: threads by idle cores, times by the first steps."""

import json
import re
import subprocess
import sys

import pytest
from cells import search as cell_search
from run_toys import create_run

from hwnas._runs._settings import SearchSettings
from hwnas._workers import WorkerPlan, _effort, resolve_threads
from hwnas._workers._effort import Load, SampleTimes, announced, choose_threads, measure_load, written_range


@pytest.mark.parametrize(
    ("cores", "idle", "threads"),
    [(2, 2.0, 2), (2, 1.8, 2), (2, 1.0, 1), (2, 0.0, 1), (8, 5.4, 5), (8, 5.8, 6), (1, 0.1, 1), (4, 9.0, 4)],
)
def test_threads_find_a_core_each(cores, idle, threads):
    assert Load(cores, idle).threads == threads


def test_the_reason_is_said():
    assert Load(2, 2.0).line == "training with 2 threads: all 2 cores are idle"
    assert Load(1, 1.0).line == "training with 1 thread: the core is idle"
    assert (
        Load(2, 0.9).line
        == "training with 1 thread: other work keeps 1.1 of 2 cores busy (change with --evaluation-threads)"
    )


def times(*cores):
    return [(float(idle), float(total)) for idle, total in cores]


def test_the_load_is_that_of_the_cores_of_this_process(monkeypatch):
    readings = [times((0, 0), (10, 20)), times((30, 30), (10, 50))]
    monkeypatch.setattr(_effort, "_idle_and_total", lambda: readings.pop(0))
    monkeypatch.setattr(_effort, "core_mask", lambda: [0, 1])
    monkeypatch.setattr(_effort, "usable_cores", lambda: 2)
    assert measure_load(0) == Load(2, 1.0)
    monkeypatch.setattr(_effort, "_idle_and_total", list)
    assert measure_load(0) == Load(2, 2.0)


def test_cores_that_are_no_use_to_this_process_do_not_count(monkeypatch):
    import psutil

    one = (1.0, 0.0, 1.0, 8.0, 0.0, 0.0, 0.0, 0.0, 5.0)

    class Row(tuple):
        idle = 8.0

    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [Row(one), Row(one), Row(one)])
    monkeypatch.setattr(_effort, "core_mask", lambda: [0, 2])
    assert _effort._idle_and_total() == [(8.0, 10.0)] * 2


def test_a_busy_process_is_noticed():
    """A core that another process spins on for the whole moment has no idle time."""
    spin = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    others = [subprocess.Popen([sys.executable, "-c", spin]) for _ in _effort.core_mask()]
    try:
        assert measure_load(0.5).idle < 0.5 * len(others)
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_what_is_chosen_and_what_is_left_alone(monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(_effort, "measure_load", lambda: Load(4, 1.2))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose_threads("supernet", "cpu", said.append) is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert choose_threads("table:x.csv", "cpu", said.append) is None
    assert choose_threads("supernet", "cuda:0", said.append) is None
    assert choose_threads("of a plug-in", "cpu", said.append) is None
    assert said == []
    assert resolve_threads(SearchSettings(), tmp_path / "run", WorkerPlan(), said.append).evaluation_threads == 1
    assert said == ["training with 1 thread: other work keeps 2.8 of 4 cores busy (change with --evaluation-threads)"]
    own = SearchSettings(evaluation_threads=2)
    assert resolve_threads(own, tmp_path / "run", WorkerPlan(), said.append).evaluation_threads == 2
    assert len(said) == 1


@pytest.mark.parametrize("stored", [2, None])
def test_a_run_that_was_begun_keeps_its_threads(monkeypatch, tmp_path, stored):

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_effort, "measure_load", lambda: Load(8, 8.0))
    create_run(tmp_path / "run", SearchSettings(evaluation_threads=stored), {})
    said = []
    assert resolve_threads(SearchSettings(), tmp_path / "run", WorkerPlan(), said.append).evaluation_threads == stored
    assert said == []


class Watch:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_training_is_announced_once_by_its_first_steps():
    said, passed, watch = [], [], Watch()
    report = announced(lambda *step: passed.append(step), said.append, "training", watch)
    for step in range(1, 101):
        watch.now += 3.0 if step == 2 else 1.0 + 0.1 * (step % 3)
        report(step, 1000, "")
    assert len(passed) == 100
    assert said == ["training takes about 18 min (16 min to 22 min) more, estimated from its first 9 steps"]


def test_short_work_is_not_announced():
    said, watch = [], Watch()
    report = announced(lambda *step: None, said.append, "training", watch)
    samples = SampleTimes(0, 40, said.append, watch)
    for step in range(1, 41):
        watch.now += 0.4
        report(step, 40, "")
        samples.finished(step)
    assert said == []


def test_samples_are_announced_and_the_estimate_is_renewed():
    said, watch = [], Watch()
    samples = SampleTimes(5, 105, said.append, watch)
    for done in range(6, 106):
        watch.now += 2.0 if done < 10 else 4.0
        samples.finished(done)
    assert said[0] == "the remaining 97 samples take about 3.2 min (2.9 min to 4.0 min), estimated from the 3 so far"
    assert len(said) == 2
    assert said[1].startswith(
        "the remaining 90 samples take about 4.8 min (3.0 min to 6.0 min), estimated from the 10 so far"
    )


def test_a_range_holds_its_middle():
    for seconds in ([1.0], [1.0] * 9, [0.1, 5.0], [3.0, 1.0, 2.0]):
        middle, low, high = map(float, re.findall(r"[\d.]+", written_range(seconds, 2)))
        assert low <= middle <= high


def test_a_search_tells_what_the_rest_takes(csv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_effort, "_WORTH_S", 0.0)
    capsys.readouterr()
    cell_search(csv, tmp_path / "run", "--json", samples=12)
    notes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(re.match(r"the remaining 9 samples take about ", one.get("text", "")) for one in notes)
