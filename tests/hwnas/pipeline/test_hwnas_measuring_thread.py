"""A batch that is measured in the background: evaluation goes on, and nothing depends on which is quicker."""

import threading

import pytest
from measured_toys import Device, Shape, search

from hwnas._pipeline._batch import BatchTimes, Measuring
from hwnas._pipeline._measuring_cost import MeasuringCost
from hwnas._pipeline._sample import _ahead

PATIENCE_S = 10.0


def test_evaluation_goes_on_while_the_device_measures():
    evaluated, enough = [], threading.Event()

    def evaluate():
        for number in range(6):
            evaluated.append(number)
            if number == 3:
                enough.set()
            yield number

    def measure(go_on):
        assert enough.wait(PATIENCE_S)  # four evaluations are made before the measurement is
        return BatchTimes()

    measured = Measuring(measure, MeasuringCost(), background=True)
    outcomes = _ahead(evaluate(), measured)
    assert len(evaluated) >= 4  # before anyone asks for the first: those of a warm start come before it
    assert list(outcomes) == [0, 1, 2, 3, 4, 5]
    assert measured.result() == BatchTimes()


def test_an_error_of_an_evaluation_comes_after_the_outcomes_before_it():
    raised = threading.Event()

    def evaluate():
        yield from range(2)
        raised.set()
        raise ZeroDivisionError

    measured = Measuring(lambda go_on: raised.wait(PATIENCE_S) and BatchTimes(), MeasuringCost(), background=True)
    outcomes = _ahead(evaluate(), measured)
    assert [next(outcomes), next(outcomes)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(outcomes)


def test_only_waiting_counts_as_waiting():
    go, cost = threading.Event(), MeasuringCost()
    measured = Measuring(lambda go_on: go.wait(PATIENCE_S) and BatchTimes(), cost, background=True)
    assert list(_ahead(iter(range(3)), measured)) == [0, 1, 2]
    assert cost.waited_s == 0.0
    go.set()
    measured.result()
    assert 0 < cost.waited_s < PATIENCE_S
    waited_s = cost.waited_s
    measured.result()
    assert cost.waited_s == waited_s


@pytest.mark.parametrize("background", [True, False])
def test_what_is_evaluated_does_not_depend_on_which_is_quicker(background):
    measured = Measuring(lambda go_on: BatchTimes(failed={3: "no"}), MeasuringCost(), background=background)
    assert measured.result().failed == {3: "no"}
    assert measured.done
    assert measured.refused == ({} if background else {3: "no"})


def test_a_measurement_is_given_up_between_two_steps():
    steps, begun = [], threading.Event()

    def measure(go_on):
        while True:
            go_on()
            steps.append(1)
            begun.set()

    measured = Measuring(measure, MeasuringCost(), background=True)
    assert begun.wait(PATIENCE_S)
    assert not measured.done
    measured.close()
    assert measured.done


def test_workers_are_ready_before_the_first_batch_is_measured(tmp_path, monkeypatch):
    from hwnas._workers._pool import LocalWorkers

    device, states = Device(), []
    begin = LocalWorkers.make_ready

    def noted(self, count):
        begin(self, count)
        states.append((len(device.loaded), [worker.ready for worker in self._processes]))

    monkeypatch.setattr(LocalWorkers, "make_ready", noted)
    search(tmp_path / "run", device, evaluator=Shape(), samples=12, workers=2)
    assert states == [(0, [True, True]), (15, [True, True])]
