"""Local worker processes alone: how many there are, and what happens where they cannot be started."""

import os

import pytest
from odd_evaluators import Moody
from test_workers_contract import jobs, moody_evaluators, space

from hwnas._errors import HwnasError
from hwnas._workers import PortableEvaluators
from hwnas._workers._pool import LocalWorkers


class DeadOnArrival(Moody):
    def restore(self, state, workdir):
        os._exit(7)


class NeverReady(Moody):
    def restore(self, state, workdir):
        raise HwnasError("there is no GPU in this process")


def test_no_more_workers_than_a_batch_has_use_for(tmp_path):
    portable, _ = moody_evaluators(tmp_path)
    with LocalWorkers(portable, 4, print) as workers:
        (outcome,) = workers.evaluate(jobs(1))
        assert outcome.failed is None
        assert len(workers._processes) == 1
        found = list(workers.evaluate(jobs(6)[1:4]))
        assert len(workers._processes) == 3
        assert {one.evaluation.extra_columns["process"] for one in found} <= {
            float(h.process.pid) for h in workers._processes
        }


def test_workers_that_cannot_be_started_end_the_search(tmp_path):
    for kind, message in (
        (
            DeadOnArrival,
            "worker processes fail to start (exit code 7); see their output for the reason, or use --workers 1",
        ),
        (NeverReady, "there is no GPU in this process"),
    ):
        evaluator = kind(space(), tmp_path)
        portable = PortableEvaluators(evaluator, tmp_path)
        evaluator.prepare(tmp_path)
        with LocalWorkers(portable, 1, print) as workers, pytest.raises(HwnasError) as caught:
            list(workers.evaluate(jobs(3)))
        assert str(caught.value) == message


def test_an_error_names_its_place(tmp_path):
    portable, _ = moody_evaluators(tmp_path, {0: "breaks"})
    with LocalWorkers(portable, 1, print) as workers:
        (outcome,) = workers.evaluate(jobs(1))
    assert outcome.evaluation is None
    assert "ZeroDivisionError: a bug (odd_evaluators.py, line " in outcome.failed


def test_workers_are_made_ready_before_they_have_work(tmp_path):
    portable, _ = moody_evaluators(tmp_path)
    with LocalWorkers(portable, 2, print) as workers:
        workers.make_ready(1)
        assert [worker.idle for worker in workers._processes] == [True]
        workers.make_ready(5)
        assert [worker.idle for worker in workers._processes] == [True, True]
        before = list(workers._processes)
        assert len(list(workers.evaluate(jobs(3)))) == 3
        workers.make_ready(5)
        assert workers._processes == before


@pytest.mark.parametrize(("kind", "message"), [(DeadOnArrival, "fail to start"), (NeverReady, "there is no GPU")])
def test_workers_that_never_become_ready_end_the_search(tmp_path, kind, message):
    evaluator = kind(space(), tmp_path)
    portable = PortableEvaluators(evaluator, tmp_path)
    evaluator.prepare(tmp_path)
    with LocalWorkers(portable, 2, print) as workers, pytest.raises(HwnasError, match=message):
        workers.make_ready(2)
