"""Run directories without a search."""

from hwnas._runs._journal import TrialRecord
from hwnas._runs._run import Run


def create_run(path, settings, identity):
    """A run as a search begins it, or takes it up; nobody holds it."""
    run = Run.check(path, settings, identity)
    if not run.has_trials():
        run.lock()
        run.continue_from(0)
        run.release()
    return run


def trial_record(number, **more):
    """A trial of a space with one choice."""
    return TrialRecord(number, (0,), "a", {"accuracy": 0.5}, **more)
