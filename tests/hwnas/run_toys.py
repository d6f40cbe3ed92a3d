"""Run directories without a search."""

from hwnas._runs._run import Run


def create_run(path, settings, identity):
    """A run as a search begins it, or takes it up; nobody holds it."""
    run = Run.check(path, settings, identity)
    if not run.has_trials():
        run.lock()
        run.go_on(0)
        run.release()
    return run
