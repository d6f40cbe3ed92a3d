"""Run directories: make one by a search that a watcher follows, and read, list and compare them."""

from hwnas._pipeline._retime import retime_run
from hwnas._pipeline._search import run_search
from hwnas._runs._compare import Comparison, compare_runs
from hwnas._runs._journal import TrialRecord, read_trials
from hwnas._runs._list import PastRun, RunInfo, find_runs, read_run
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._watch import Status, Watcher
from hwnas._runs._watched import WatchedSearch

__all__ = [
    "Comparison",
    "PastRun",
    "Run",
    "RunInfo",
    "SearchSettings",
    "Status",
    "TrialRecord",
    "WatchedSearch",
    "Watcher",
    "compare_runs",
    "find_runs",
    "read_run",
    "read_trials",
    "retime_run",
    "run_search",
]
