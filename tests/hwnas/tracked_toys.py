"""A search for trackers, without a search."""

from run_toys import create_run

from hwnas._runs._journal import TrialRecord
from hwnas._runs._settings import SearchSettings
from hwnas._runs._watch import Status
from hwnas._runs._watched import WatchedSearch
from hwnas.spaces import make_space
from hwnas.tasks import DEFAULT_METRIC
from search import Objective

STATUS = Status(1, 2, DEFAULT_METRIC, 0.5, 0.25, None, None)


def watched(path, **settings):
    """A search of cells that has no trials yet."""
    run = create_run(path, SearchSettings(space="nasbench201", **settings), {})
    objectives = (Objective("accuracy", "max"), Objective("latency_ms", "min"))
    return WatchedSearch(run, [], make_space("nasbench201"), objectives)


def record(number, *, arch="a", values=None, seconds=1.0, **more):
    """A trial of that space."""
    given = {"accuracy": 0.5, "latency_ms": 2.0} if values is None else values
    return TrialRecord(number, (0, 1, 2, 3, 4, 0), arch, given, seconds=seconds, **more)
