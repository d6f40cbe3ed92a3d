"""The run directory: settings, a journal of trials, artefacts. A run survives any crash."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas._chain import Chain, read_lines
from hwnas._delivered import require_networks
from hwnas._errors import HwnasError, RunError
from hwnas._record import read_record, unreadable, write_record
from hwnas._settings import SearchSettings, require_budgets
from latency_tables import LineJournal, content_hash, strict_json, write_atomic

_MAY_CHANGE = ("samples", "budgets", "table", "finalize", "final_recipe")
_PARETO_KEYS = {"id", "arch", "accuracy", "validation_accuracy", "latency_ms", "onnx"}


@dataclass(frozen=True)
class Phase:
    """Budgets that a run had before others took their place.

    Attributes:
        until: number of the first trial that they did not hold for.
        budgets: upper bounds, by cost name.
    """

    until: int
    budgets: Mapping[str, float]


class Run:
    """One search on disk.

    Attributes:
        path: the directory.
        settings: what is searched for.
        identity: what the settings stand for.
        phases: budgets before the present ones, each with the number of trials at which it was given up, ascending.
        finished: number of trials that were handed over; None where the search has not come that far.
        unhashed: whether an hwnas that wrote no hashes began it.
    """

    def __init__(self, path: Path, settings: SearchSettings, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.identity = identity
        self.phases: list[Phase] = []
        self.finished: int | None = None
        self.unhashed = False
        self._pareto_hash: str | None = None

    @classmethod
    def create(cls, path: Path, settings: SearchSettings, identity: Mapping[str, Any]) -> Run:
        """Make a run directory, or take one up again.

        A run with trials is only continued with the same settings and the same identity; it may get more samples,
        other budgets and another final training, which `go_on` records.

        Args:
            path: the directory.
            settings: what is searched for.
            identity: what the settings stand for: the space in full, the evaluator with the fingerprint of its data.

        Raises:
            RunError: the folder is no run, belongs to another search or cannot be written.
        """
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; choose a folder for --out")
        run = cls(path, settings, json.loads(json.dumps(identity)))
        if path.is_dir() and any(not item.name.endswith(".partial") for item in path.iterdir()):
            if run.has_trials():
                run._take_up(read_record(path))
                return run
            read_record(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write into {path}: {error.strerror}; choose another --out") from None
        run._write_settings()
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open an existing run.

        Raises:
            RunError: the folder is no run, or its settings are damaged.
        """
        record = read_record(path)
        run = cls(path, SearchSettings.from_dict(record["settings"]), record["identity"])
        run._take_over(record)
        return run

    def has_trials(self) -> bool:
        """Whether a trial has been written."""
        journal = self.path / "trials.jsonl"
        return journal.exists() and journal.stat().st_size > 0

    def go_on(self, trials: int) -> None:
        """Record the settings, and that the budgets before them held up to here; the journal must be locked.

        Args:
            trials: finished so far.

        Raises:
            RunError: the settings cannot be written.
        """
        self.phases, self.finished = self.phases_at(trials), None
        self._write_settings()

    def phases_at(self, trials: int) -> list[Phase]:
        """The phases where so many trials are finished; those that no trial was proposed in are none."""
        found: list[Phase] = []
        for phase in self.phases:
            until = min(phase.until, trials)
            if until > (found[-1].until if found else 0):
                found.append(Phase(until, phase.budgets))
        if found and found[-1] == Phase(trials, self.settings.budgets):
            found.pop()
        return found

    def finish(self, trials: int) -> None:
        """Record that the networks of so many trials were handed over."""
        self.finished = trials
        self._write_settings()

    def _take_up(self, record: Mapping[str, Any]) -> None:
        """Refuse another search's record; take over its phases, the budgets that end now as the last of them."""
        before = SearchSettings.from_dict(record["settings"])  # with defaults for what an older hwnas did not know
        self._require_same(before, record)
        self._take_over(record)
        if dict(before.budgets) != dict(self.settings.budgets):
            self.phases.append(Phase(sys.maxsize, before.budgets))

    def _take_over(self, record: Mapping[str, Any]) -> None:
        """What has become of the run so far."""
        self.phases, self.finished = _phases_of(self.path, record), record.get("finished")
        self.unhashed, self._pareto_hash = record.get("unhashed", False), record.get("pareto_hash")

    def _require_same(self, before: SearchSettings, record: Mapping[str, Any]) -> None:
        old, new = (json.loads(json.dumps(settings.as_dict())) for settings in (before, self.settings))
        for name in new:
            if name not in _MAY_CHANGE and old.get(name) != new[name]:
                raise RunError(
                    f"{self.path} holds a search with {name} {_short(old.get(name))}, this one has "
                    f"{_short(new[name])}; choose another --out"
                )
        there, here = _flat(record["identity"]), _flat(self.identity)
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                raise RunError(
                    f"{self.path} holds a search with {name} {_short(there.get(name))}, this one has "
                    f"{_short(here.get(name))}; the data or the defaults have changed, choose another --out"
                )

    def _write_settings(self) -> None:
        body: dict[str, Any] = {"settings": self.settings.as_dict(), "identity": self.identity}
        if self.phases:
            body["phases"] = [{"until": phase.until, "budgets": dict(phase.budgets)} for phase in self.phases]
        if self.finished is not None:
            body["finished"] = self.finished
        if self.unhashed:
            body["unhashed"] = True
        if self._pareto_hash is not None:
            body["pareto_hash"] = self._pareto_hash
        write_record(self.path, body)

    def folder(self, name: str) -> Path:
        """A folder inside the run, made where absent."""
        place = self.path / name
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write into {self.path}: {error.strerror}") from None
        return place

    def write(self, name: str, content: str | bytes) -> Path:
        """Write an artefact, atomically.

        Raises:
            RunError: it cannot be written.
        """
        try:
            write_atomic(self.path / name, content)
        except OSError as error:
            raise RunError(f"cannot write {self.path / name}: {error.strerror}; the trials so far are safe") from None
        return self.path / name

    def write_pareto(self, networks: Sequence[Mapping[str, Any]]) -> None:
        """Write ``pareto.json``; its hash is in the settings first, so that a crash between leaves no other file valid.

        Raises:
            RunError: it cannot be written.
        """
        self._pareto_hash = content_hash(list(networks))
        self._write_settings()
        self.write("pareto.json", json.dumps(networks, indent=1) + "\n")

    def pareto(self) -> list[dict[str, Any]]:
        """The handed-over networks.

        Raises:
            RunError: the search has not come that far, or the file is damaged or changed.
        """
        path = self.path / "pareto.json"
        if not path.exists():
            raise RunError(f"{self.path} has no pareto.json yet; run the same `hwnas search` again to finish it")
        try:
            found = [dict(item) for item in strict_json(path.read_text(encoding="utf-8"))]
            if any(not item.keys() >= _PARETO_KEYS for item in found):
                raise ValueError
            require_networks(found)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            raise RunError(f"{path} is damaged; run the same `hwnas search` again to write it anew") from None
        if content_hash(found) != self._pareto_hash and not (self.unhashed and self._pareto_hash is None):
            raise RunError(
                f"{path} was changed after it was written (its content hash does not fit); run the same "
                "`hwnas search` again to write it anew"
            )
        return found


class TrialJournal:
    """Finished trials, one JSON line each, on disk before the next one starts. A torn last line is dropped.

    Each line has a hash (`Chain`): a journal that was changed is refused.

    Args:
        path: the file.
        unhashed: whether the first lines may be without hashes (`Run.unhashed`).

    Raises:
        RunError: it cannot be read or written, or is damaged.
    """

    def __init__(self, path: Path, unhashed: bool = False) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        self._chain = Chain(unhashed)
        try:
            self._file = LineJournal(path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}") from None
        try:
            self.records = read_lines(path, self._file.lines, self._chain)
        except RunError:
            self._file.close()
            raise

    def append(self, record: Mapping[str, object]) -> None:
        """Write one trial.

        Raises:
            RunError: the disk is full or gone; earlier trials are safe.
        """
        line = self._chain.written(record)
        try:
            self._file.append(line)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; the trials before this one are safe") from None
        self._chain.took(record)
        self.records.append(dict(record))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _phases_of(path: Path, record: Mapping[str, Any]) -> list[Phase]:
    phases, finished = record.get("phases", []), record.get("finished")
    try:
        found = [Phase(phase["until"], require_budgets(phase["budgets"])) for phase in phases]
        ends = [phase.until for phase in found]
        if any(type(end) is not int for end in [*ends, *([] if finished is None else [finished])]):
            raise ValueError
        if ends != sorted(set(ends)) or (ends and ends[0] < 1):
            raise ValueError
    except (KeyError, TypeError, ValueError, HwnasError):
        raise unreadable(path) from None
    return found


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
