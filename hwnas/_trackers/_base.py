"""What trackers have in common: they log what they lack, in batches, whenever that is cheap."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hwnas._common._pace import Pace
from hwnas._errors import HwnasError
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watch import Status
from hwnas._runs._watched import WatchedSearch, trial_numbers
from hwnas._runs._watchers import Recorder, reason

MARK = "trial/failed"
"""A curve that has a point for every trial: by it a tool says which trials it has."""
_EVERY_S, _SHARE = 2.0, 0.05


@dataclass(frozen=True)
class Logged:
    """A trial to log.

    Attributes:
        record: The trial.
        status: The state of the search after it; None for a trial that the journal held already.
    """

    record: TrialRecord
    status: Status | None = None


class Tracker(Recorder):
    """Logs the trials of a search to a tool for experiments.

    When a search begins or continues, the tool is asked which trials it has; it gets the others from the journal. So a
    killed search, a server that was gone for a while and a tracker that is used from the middle of a search on leave
    the same behind: every trial once.

    Args:
        name: How it was asked for: ``"mlflow"``.
        pace: When to log while the search runs; None for every two seconds and 5 % of the time at most.
    """

    def __init__(self, name: str, pace: Pace | None = None) -> None:
        self.name = f"--track {name}"
        self._pace = pace or Pace(_EVERY_S, _SHARE)
        self._search: WatchedSearch | None = None
        self._waiting: list[Logged] = []
        self._known: set[int] = set()
        self._begun = self._torn = False

    @property
    def search(self) -> WatchedSearch:
        """The search that is logged, once it has begun."""
        assert self._search is not None
        return self._search

    def connect(self) -> None:
        """Reach the tool, before anything else is done for the search."""
        with _refused(self.name):
            self._connect()

    def begin(self, search: WatchedSearch) -> None:
        """Log the trials that the tool lacks."""
        self._search = search
        with _refused(self.name):
            self._open()
            self._known = set(self._logged())
            self._waiting = [Logged(record) for record in search.records if record.number not in self._known]
            self._flush()
        self._begun = True

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Log the trial, or keep it until logging is due.

        The journal is on the disk before the tool gets a trial. So a loss of power leaves no trial in the tool that is
        evaluated again, with another measured latency. Where logging was interrupted, the tool may have it already.
        """
        if record.number not in self._known:
            self._waiting.append(Logged(record, status()))
        if self._pace.due:
            self._flush()

    def end(self, finished: bool) -> None:
        """Log what is left, and what the search delivered."""
        if self._begun:
            self._flush()
            self._finish(finished)

    def _flush(self) -> None:
        """Log what waits; where logging was interrupted, the tool is asked how far it came."""
        if self._torn:
            self._known |= set(self._logged())
            self._waiting = [logged for logged in self._waiting if logged.record.number not in self._known]
        if self._waiting:
            self._torn = True
            with self._pace.spend():
                self.search.sync()
                self._log(self._waiting)
        self._waiting, self._torn = [], False

    def _connect(self) -> None:
        """Reach the tool."""

    @abstractmethod
    def _open(self) -> None:
        """Begin the tool's record of the search, or find it again."""

    @abstractmethod
    def _logged(self) -> Iterable[int]:
        """Return the numbers of the trials that the tool has."""

    @abstractmethod
    def _log(self, trials: Sequence[Logged]) -> None:
        """Log trials, one or more."""

    def _finish(self, finished: bool) -> None:
        """End the tool's record of the search, for now."""


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Turn what goes wrong inside into one line for people.

    Raises:
        HwnasError: Something does.
    """
    try:
        yield
    except Exception as error:  # of libraries and of other people's servers: anything
        raise HwnasError(f"{name} cannot start ({reason(error)}); fix this, or leave out {name}") from error


def scalars(logged: Logged, search: WatchedSearch) -> Mapping[str, float]:
    """Return what the curves of a tool show of a trial, by name; a ``/`` puts curves into groups.

    Low-fidelity values have a group of their own, since they are no values of the objectives.
    """
    record, status = logged.record, logged.status
    objectives = {objective.name for objective in search.objectives}
    group = "low_fidelity" if record.low_fidelity else "objectives"
    curves = {
        f"{group if name in objectives else 'costs'}/{name}": value for name, value in trial_numbers(record).items()
    }
    curves[MARK] = float(record.failed is not None)
    if record.seconds is not None:
        curves["trial/seconds"] = record.seconds
    if status is not None and status.best is not None:
        curves[f"search/best_{status.metric.name}"] = status.best
    if status is not None and status.hypervolume is not None:
        curves["search/hypervolume"] = status.hypervolume
    return curves
