"""What all workers must keep, wherever they evaluate. Others join with a line in `MAKERS`."""

import importlib.util
import os
import subprocess
import sys
import types
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from odd_evaluators import ODD, Moody

from hwnas._errors import EvaluatorError, HwnasError
from hwnas._version import __version__
from hwnas._workers import EvaluationJob, PortableEvaluators
from hwnas._workers._base import MOST_ATTEMPTS
from hwnas._workers._inline import InlineWorkers
from hwnas._workers._pool import LocalWorkers
from hwnas.data import load_data
from hwnas.evaluators import Evaluation, make_evaluator
from hwnas.evaluators._base import checked
from hwnas.spaces import make_space

ROOT = Path(__file__).resolve().parents[3]


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def ray_cluster():
    """The address of a cluster of two nodes with one core each, in a process of its own."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    address = next((line.split()[1] for line in process.stdout if line.startswith("address ")), None)
    if address is not None:
        yield address
    process.communicate()
    if address is None:
        pytest.skip("no Ray cluster could be started here: the machine is too busy, or does not allow it")


def on_ray(portable, said, request):
    from hwnas._workers._ray import RayWorkers

    return RayWorkers(portable, request.getfixturevalue("ray_cluster"), said)


MAKERS = {
    "inline": lambda portable, said, request: InlineWorkers(portable),
    "local": lambda portable, said, request: LocalWorkers(portable, 2, said),
    "ray": on_ray,
}
ELSEWHERE = [pytest.param("local"), pytest.param("ray", marks=pytest.mark.slow)]
KINDS = [pytest.param("inline"), *ELSEWHERE]


@cache
def space():
    return make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)


@cache
def digits():
    return load_data("digits", limit=200)


def jobs(count, cheap=()):
    archs = list(dict.fromkeys(space().sample(40, np.random.default_rng(0))))[:count]
    return [EvaluationJob(10 + i, arch, i in cheap) for i, arch in enumerate(archs)]


def moody_evaluators(folder, moods=None):
    """Evaluators of a `Moody`, with moods by the place of the job."""
    texts = {space().format(jobs(20)[i].arch): mood for i, mood in (moods or {}).items()}
    evaluator = Moody(space(), folder, texts)
    portable = PortableEvaluators(evaluator, folder)
    evaluator.prepare(folder)
    return portable, evaluator


def make(kind, portable, request, said=None):
    return MAKERS[kind](portable, (said if said is not None else []).append, request)


@pytest.mark.parametrize("kind", KINDS)
def test_outcomes_come_in_the_order_of_the_jobs(kind, tmp_path, request):
    portable, evaluator = moody_evaluators(tmp_path, {0: "slow", 3: "none"})
    with make(kind, portable, request) as workers:
        for batch in (jobs(6), jobs(9)[6:], []):
            outcomes = list(workers.evaluate(batch))
            assert len(outcomes) == len(batch)
            for job, outcome in zip(batch, outcomes, strict=True):
                if job.number == 13:
                    assert (outcome.evaluation, outcome.failed) == (None, "there is no accuracy for this one")
                    continue
                assert outcome.failed is None
                assert outcome.evaluation.value == evaluator.evaluate(job.arch).value
                assert (outcome.evaluation.extra_columns["process"] == os.getpid()) == (kind == "inline")
                assert outcome.seconds >= (0.5 if job.number == 10 else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluator_that_cannot_go_on_says_so_when_its_turn_comes(kind, tmp_path, request):
    portable, _ = moody_evaluators(tmp_path, {2: "refuses"})
    found = []
    with make(kind, portable, request) as workers, pytest.raises(EvaluatorError) as caught:
        found.extend(workers.evaluate(jobs(5)))
    assert str(caught.value) == "its checkpoint is damaged"
    assert [outcome.failed for outcome in found] == [None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_whose_evaluation_raises_each_time_has_failed(kind, tmp_path, request):
    portable, evaluator = moody_evaluators(tmp_path, {1: "breaks", 2: "breaks once", 3: "exits", 4: "stops"})
    batch = jobs(6)
    with make(kind, portable, request) as workers:
        found = list(workers.evaluate(batch))
    assert [outcome.trouble for outcome in found] == [
        None,
        "ZeroDivisionError",
        None,
        "SystemExit",
        "StopIteration",
        None,
    ]
    assert found[1].failed.startswith("evaluator moody: ")
    assert "ZeroDivisionError: a bug (odd_evaluators.py, line " in found[1].failed
    assert found[2].evaluation.value == evaluator.evaluate(batch[2].arch).value
    assert found[5].evaluation.value == evaluator.evaluate(batch[5].arch).value


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_what_is_no_evaluation_fails_its_trial(kind, tmp_path, request):
    portable, _ = moody_evaluators(tmp_path, dict(enumerate(ODD)))
    with make(kind, portable, request) as workers:
        found = list(workers.evaluate(jobs(len(ODD) + 1)))
    assert found[-1].failed is None
    for mood, outcome in zip(ODD, found, strict=False):
        assert outcome.evaluation is None, mood
        assert outcome.trouble == "an invalid evaluation", mood
        assert outcome.failed.startswith("evaluator moody: "), mood
        assert ", got " in outcome.failed


def test_scalars_of_numpy_are_numbers():
    found = checked("mine", "arch", Evaluation(np.float32(0.5), np.int64(2), {"loss": np.float64(1.5)}))
    assert [type(one) for one in (found.value, found.seconds, found.extra_columns["loss"])] == [float] * 3
    assert (found.value, found.seconds, dict(found.extra_columns)) == (0.5, 2.0, {"loss": 1.5})


def test_an_evaluation_that_takes_too_long_loses_its_worker_and_nothing_else(tmp_path):
    portable, evaluator = moody_evaluators(tmp_path, {1: "hangs"})
    batch = jobs(4)
    with LocalWorkers(portable, 1, lambda text: None, timeout_s=1.0) as workers:
        found = list(workers.evaluate(batch))
    assert [outcome.trouble for outcome in found] == [None, "timeout", None, None]
    assert found[1].failed == "took longer than the 1 s of --evaluation-timeout"
    assert found[3].evaluation.value == evaluator.evaluate(batch[3].arch).value


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_lost_worker_loses_no_trial(kind, tmp_path, request):
    portable, evaluator = moody_evaluators(tmp_path, {1: "dies once", 4: "dies", 6: "dies once"})
    said = []
    with make(kind, portable, request, said) as workers:
        outcomes = list(workers.evaluate(jobs(8)))
    how = "killed by SIGKILL, out of memory?" if kind == "local" else "WorkerCrashedError"
    for job, outcome in zip(jobs(8), outcomes, strict=True):
        if job.number == 14:
            assert (outcome.evaluation, outcome.failed) == (None, f"its worker was lost 3 times, last: {how}")
        else:
            assert outcome.failed is None
            evaluator.moods.clear()
            assert outcome.evaluation.value == evaluator.evaluate(job.arch).value
    again = [f"a worker was lost ({how}); trial {number} is evaluated again" for number in (11, 14, 14, 16)]
    assert sorted(said) == sorted([*again, f"a worker was lost ({how}); trial 14 has failed"])
    assert MOST_ATTEMPTS == 3


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_evaluations_are_exactly_those_of_this_process(kind, tmp_path, request):
    short = {"epochs": 1, "batch_size": 20}
    for name, options in (("supernet", {**short, "bn_statistics": 40}), ("train", short)):
        evaluator = make_evaluator(name, space(), digits(), **options)
        cheap = make_evaluator("naswot", space(), digits(), samples=16)
        portable = PortableEvaluators(evaluator, tmp_path / name, cheap, tmp_path / "cheap", threads=1)
        evaluator.prepare(tmp_path / name)
        batch = jobs(4, cheap=(1, 3))
        with make(kind, portable, request) as workers:
            found = [outcome.evaluation.value for outcome in workers.evaluate(batch)]
        for file in evaluator.files(batch[0].arch):  # what the delivery needs came back
            assert (tmp_path / name / file).exists()
        weights = evaluator.trained_weights(batch[0].arch)
        alone = make_evaluator(name, space(), digits(), **options)
        alone.prepare(tmp_path / f"{name} alone")
        wanted = [(cheap if job.cheap else alone).evaluate(job.arch).value for job in batch]
        assert found == wanted
        assert all(np.array_equal(weights[key], array) for key, array in alone.trained_weights(batch[0].arch).items())


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_nothing_is_left_behind(kind, tmp_path, request):
    portable, _ = moody_evaluators(tmp_path, {0: "slow", 1: "slow"})
    workers = make(kind, portable, request)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    outcomes = workers.evaluate(jobs(4))
    next(outcomes)
    workers.close()  # in the middle of a batch
    workers.close()
    if kind == "local":
        left = {child.pid: child for child in psutil.Process().children() if child.pid not in before}
        assert not [child for child in left.values() if "spawn_main" in " ".join(child.cmdline())]
    else:
        import ray

        assert not ray.is_initialized()


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_an_evaluator_that_cannot_travel_is_told_in_one_line(kind, tmp_path, request):
    evaluator = Moody(space(), tmp_path)
    evaluator.remark = lambda: "functions without a name cannot be pickled"
    portable = PortableEvaluators(evaluator, tmp_path)
    evaluator.prepare(tmp_path)
    with make(kind, portable, request) as workers, pytest.raises(HwnasError) as caught:
        list(workers.evaluate(jobs(2)))
    assert str(caught.value).startswith("evaluator moody cannot be sent to workers (")
    assert str(caught.value).endswith("); use --workers 1")


@pytest.fixture
def known_here_alone(monkeypatch):
    """A module that no other process can import."""
    module = types.ModuleType("known_here_alone")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def add(thing):
        thing.__module__, thing.__qualname__ = module.__name__, thing.__name__
        setattr(module, thing.__name__, thing)
        return thing

    return add


def refused(portable, request):
    with pytest.raises(HwnasError) as caught, make("ray", portable, request) as workers:
        list(workers.evaluate(jobs(2)))
    return str(caught.value)


def nothing(digest, box, job, version):
    raise AssertionError("no node can import this")


@pytest.mark.slow
def test_a_cluster_that_cannot_evaluate_is_told_in_one_line(tmp_path, request, monkeypatch, known_here_alone):
    portable, evaluator = moody_evaluators(tmp_path)
    assert refused(PortableEvaluators(evaluator, tmp_path, threads=64), request) == (
        "no node of the Ray cluster has 64 CPU for an evaluation; add one, or change --evaluation-threads"
    )
    stranger = known_here_alone(type("Stranger", (Moody,), {}))(space(), tmp_path)
    strange = PortableEvaluators(stranger, tmp_path)
    stranger.prepare(tmp_path)
    assert refused(strange, request) == (
        "a node of the Ray cluster cannot make the evaluator (No module named 'known_here_alone'); "
        "install its dependencies there"
    )
    with monkeypatch.context() as patch:
        patch.setattr("hwnas._workers._ray.__version__", "0")
        expected = f"a node of the Ray cluster has hwnas {__version__}, the search 0; install the same version"
        assert refused(portable, request) == expected
    monkeypatch.setattr("hwnas._workers._ray.answer", known_here_alone(nothing))
    message = refused(portable, request)
    assert message.startswith("the Ray cluster cannot evaluate (")
    assert message.endswith(f"); every node needs hwnas {__version__} and its dependencies")
