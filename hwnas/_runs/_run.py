"""The run directory: settings, a journal of trials, artefacts. A run survives any crash."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwnas._errors import HwnasError, RunError
from hwnas._runs._entries import file_of_run, require_networks
from hwnas._runs._journal import TrialJournal
from hwnas._runs._record import SETTINGS, read_record, unreadable, write_record
from hwnas._runs._settings import SearchSettings, require_budgets
from latency_tables import JournalInUseError, content_hash, read_json, write_atomic

_JOURNAL = "trials.jsonl"
_MAY_CHANGE = ("samples", "budgets", "table", "finalize", "final_recipe", "warm_start")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


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
        self._journal: TrialJournal | None = None
        self._made: list[Path] = []

    @classmethod
    def check(cls, path: Path, settings: SearchSettings, identity: Mapping[str, Any] | None = None) -> Run:
        """The run that a search would make in a folder, or take up again there; nothing is written.

        A run with trials is only continued with the same settings and the same identity; it may get more samples,
        other budgets and another final training, which `go_on` records.

        Args:
            path: the directory.
            settings: what is searched for.
            identity: what the settings stand for: the space in full, the evaluator with the fingerprint of its data.
                None where that is not known yet; it is not compared then.

        Raises:
            RunError: the folder is no run, belongs to another search or cannot be written.
        """
        names = require_place(path)
        run = cls(path, settings, json.loads(json.dumps(identity or {})))
        return run._found(names, compare_identity=identity is not None)

    def _found(self, names: set[str], *, compare_identity: bool = True) -> Run:
        """The same run with what its folder, which holds `names`, says of it."""
        run = Run(self.path, self.settings, self.identity)
        kept = {name for name in names if not name.endswith(".partial")}
        if kept - {_JOURNAL} or run.has_trials():
            record = read_record(self.path)
            if run.has_trials():
                run._take_up(record, compare_identity=compare_identity)
        return run

    def lock(self) -> TrialJournal:
        """Make the folder where it is absent, and take it for this process alone, until `release`.

        Raises:
            JournalInUseError: another search has it.
            RunError: as in `check`; or the journal is damaged, or cannot be written.
        """
        self._made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write into {self.path}: {error.strerror}; choose another --out") from None
        self._journal = TrialJournal(self.path / _JOURNAL, self.unhashed)
        try:
            again = self._found({item.name for item in self.path.iterdir()})  # another search may have been here
        except BaseException:
            self.release()
            raise
        self.phases, self.finished = again.phases, again.finished
        return self._journal

    def release(self) -> None:
        """Give the folder up; one that was made by `lock` and never written to is removed."""
        if self._journal is None:
            return
        journal, self._journal = self._journal, None
        if journal.made and not journal.records and not (self.path / SETTINGS).exists():
            with suppress(OSError):
                journal.path.unlink()
                for place in self._made:
                    place.rmdir()
        journal.close()

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
        journal = self.path / _JOURNAL
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

    def _take_up(self, record: Mapping[str, Any], *, compare_identity: bool = True) -> None:
        """Refuse another search's record; take over its phases, the budgets that end now as the last of them."""
        before = SearchSettings.from_dict(record["settings"])  # with defaults for what an older hwnas did not know
        self._require_same(before, record["identity"] if compare_identity else None)
        self._take_over(record)
        self.settings = replace(self.settings, warm_start=before.warm_start)  # as it was begun
        if dict(before.budgets) != dict(self.settings.budgets):
            self.phases.append(Phase(sys.maxsize, before.budgets))

    def _take_over(self, record: Mapping[str, Any]) -> None:
        """What has become of the run so far."""
        self.phases, self.finished = _phases_of(self.path, record), record.get("finished")
        self.unhashed, self._pareto_hash = record.get("unhashed", False), record.get("pareto_hash")
        if type(self.unhashed) is not bool:
            raise unreadable(self.path)

    def _require_same(self, before: SearchSettings, identity: Mapping[str, Any] | None) -> None:
        """Compare settings, and what they stand for with `identity`; None where that is not known yet."""
        old, new = (json.loads(json.dumps(settings.as_dict())) for settings in (before, self.settings))
        content = _data_content(self.identity)
        for name in new:
            if name == "data" and (identity is None or (content is not None and content == _data_content(identity))):
                continue  # the same data, however their place is written
            if name not in _MAY_CHANGE and old.get(name) != new[name]:
                raise RunError(
                    f"{self.path} holds a search with {name} {shortened(old.get(name))}, this one has "
                    f"{shortened(new[name])}; choose another --out"
                )
        there, here = flat(identity or {}), flat(self.identity)
        for name in sorted({*there, *here}) if identity is not None else ():
            if there.get(name) != here.get(name):
                raise RunError(
                    f"{self.path} holds a search with {name} {shortened(there.get(name))}, this one has "
                    f"{shortened(here.get(name))}; the data or the defaults have changed, choose another --out"
                )

    def _require_there(self) -> None:
        """Raise `RunError` where the folder of the search that runs was removed."""
        if self._journal is not None:
            self._journal.require_there()

    def _write_settings(self) -> None:
        self._require_there()
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
        """A folder inside the run, made where absent.

        Raises:
            RunError: it cannot be made, or is a link that leads out of the run.
        """
        place = self.path / name
        try:
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write into {self.path}: {error.strerror}") from None
        file_of_run(self.path, name)
        return place

    def write(self, name: str, content: str | bytes) -> Path:
        """Write an artefact, atomically.

        Raises:
            RunError: it cannot be written.
        """
        self._require_there()
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
            found = require_networks(read_json(path))
        except (OSError, ValueError):
            raise RunError(f"{path} is damaged; run the same `hwnas search` again to write it anew") from None
        if content_hash(found) != self._pareto_hash and not (self.unhashed and self._pareto_hash is None):
            raise RunError(
                f"{path} was changed after it was written (its content hash does not fit); run the same "
                "`hwnas search` again to write it anew"
            )
        return found


def require_place(path: Path) -> set[str]:
    """Refuse a folder that no search could use, before anything is done.

    Returns:
        Names of what lies in it.

    Raises:
        RunError: its name is not text, it is a file, or it cannot be read or written.
        JournalInUseError: another search is at work in it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise RunError(f"the name of --out is not UTF-8: {str(path)!a}; choose another --out") from None
    if "\0" in str(path):
        raise RunError(f"the name of --out holds a NUL character: {str(path)!a}; choose another --out")
    try:
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; choose a folder for --out")
        parent = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not parent.is_dir():
            raise RunError(f"cannot write into {path}: {parent} is a file; choose another --out")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise RunError(f"cannot write into {path}: no permission to write {parent}; choose another --out")
        found = {item.name for item in path.iterdir()} if path.exists() else set()
    except OSError as error:
        raise RunError(f"cannot write into {path}: {error.strerror}; choose another --out") from None
    if _JOURNAL in found and is_locked(path / _JOURNAL):
        raise JournalInUseError(
            f"{path} is in use by another hwnas search; wait until it has ended, or choose another --out"
        )
    return found


def is_locked(path: Path) -> bool:
    """Whether another process holds a journal."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


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


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _data_content(identity: Mapping[str, Any]) -> str | None:
    """The fingerprint of the data in what settings stand for."""
    facts = flat(identity)
    found = facts.get("data", facts.get("evaluator.data"))
    return found if isinstance(found, str) and _SHA256.match(found) else None


def shortened(value: object) -> str:
    """As much of a value as fits into a line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
