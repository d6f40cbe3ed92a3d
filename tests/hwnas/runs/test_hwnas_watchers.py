"""A display that fails takes nothing from the recorders, and lines of two threads take turns."""

import threading
import time

import pytest
from run_toys import trial_record

from hwnas._runs._watch import Watcher
from hwnas._runs._watchers import Recorder, Watchers


class Log(Recorder):
    """Notes the numbers of the trials."""

    def __init__(self):
        self.trials, self.ends = [], []

    def trial(self, record, status):
        self.trials.append(record.number)

    def end(self, finished):
        self.ends.append(finished)


class Closed(Watcher):
    """Shows on a stream that is closed."""

    def __init__(self, error):
        self.error = error

    def line(self, text):
        raise self.error

    def trial(self, record, status):
        raise self.error

    def end(self, finished):
        raise self.error

    def close(self):
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file"), OSError(28, "full")])
def test_a_display_that_fails_takes_no_trial_from_the_recorders(error):
    inner, outer = Log(), Log()
    watchers = Watchers(Watchers(Closed(error), [inner]), [outer])
    for number in range(3):
        watchers.trial(trial_record(number), lambda: None)
    watchers.line("text")
    watchers.end(True)
    watchers.close()
    assert inner.trials == outer.trials == [0, 1, 2]
    assert inner.ends == outer.ends == [True]


def test_a_display_that_is_broken_otherwise_is_shown_after_the_trial_is_recorded():
    log = Log()
    with pytest.raises(ZeroDivisionError):
        Watchers(Closed(ZeroDivisionError()), [log]).trial(trial_record(0), lambda: None)
    assert log.trials == [0]


def test_a_recorder_that_fails_is_reported_though_the_display_is_closed():
    class Failing(Log):
        def trial(self, record, status):
            raise RuntimeError("gone")

    log = Log()
    watchers = Watchers(Closed(BrokenPipeError()), [Failing(), log])
    watchers.trial(trial_record(0), lambda: None)
    watchers.trial(trial_record(1), lambda: None)
    assert log.trials == [0, 1]


def test_a_display_hears_one_thing_at_a_time_also_from_two_threads():
    class Slow(Watcher):
        """Notes how many are in it at a time."""

        def __init__(self):
            self.inside, self.most, self.heard = 0, 0, 0

        def line(self, text):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.001)
            self.inside -= 1
            self.heard += 1

        def trial(self, record, status):
            self.line("")

    shown = Slow()
    watchers = Watchers(shown, [])
    other = threading.Thread(target=lambda: [watchers.line("the device is away") for _ in range(50)])
    other.start()
    for number in range(50):
        watchers.trial(trial_record(number), lambda: None)
    other.join()
    assert (shown.heard, shown.most) == (100, 1)
