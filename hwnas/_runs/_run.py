"""The run directory: settings, a journal of trials, artefacts. A run survives any crash."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas._errors import RunError
from hwnas._runs._entries import file_of_run, require_networks
from hwnas._runs._journal import JOURNAL, TrialJournal, has_trials
from hwnas._runs._phases import Phase, phases_at, read_phases
from hwnas._runs._place import require_place
from hwnas._runs._record import SETTINGS, read_record, unreadable, write_record
from hwnas._runs._same_search import require_same_search
from hwnas._runs._settings import SearchSettings
from latency_tables import content_hash, read_json, write_atomic

EVALUATOR_FOLDER = "evaluator"
"""The folder of a run that its evaluator is prepared in."""
ORIGINAL = "original"
"""The id of the model that a search started from, in ``pareto.json``."""


class Run:
    """One search on disk.

    Attributes:
        path: The directory.
        settings: What is searched for.
        identity: What the settings stand for.
        phases: Budgets before the present ones, each with the number of trials at which it ended, ascending.
        finished: Number of trials at the last delivery; None where the search has not come that far.
        unhashed: Whether an hwnas that wrote no hashes began it.
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
        """Return the run that a search would begin or continue in a folder; nothing is written.

        A run with trials is only continued with the same settings and the same identity; it may get more samples,
        other budgets and another final training, which `continue_from` records.

        Args:
            path: The directory.
            settings: What is searched for.
            identity: What the settings stand for: the space in full, the evaluator with the fingerprint of its data.
                None where that is not known yet; it is not compared then.

        Raises:
            RunError: The folder is not a run, belongs to another search or cannot be written.
        """
        names = require_place(path)
        run = cls(path, settings, json.loads(json.dumps(identity or {})))
        run._take_up(names, compare_identity=identity is not None)
        return run

    def lock(self) -> TrialJournal:
        """Make the folder where it is absent, and take it for this process alone, until `release`.

        The run is read once more: another search may have been in the folder since `check`.

        Raises:
            JournalInUseError: Another search has it.
            RunError: As in `check`; or the journal is damaged, or cannot be written.
        """
        self._made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write into {self.path}: {error.strerror}; choose another --out") from None
        self._journal = TrialJournal(self.path / JOURNAL, self.unhashed)
        try:
            self._take_up({item.name for item in self.path.iterdir()}, compare_identity=True)
        except BaseException:
            self.release()
            raise
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
            RunError: The folder is not a run, or its settings are damaged.
        """
        record = read_record(path)
        run = cls(path, SearchSettings.from_dict(record["settings"]), record["identity"])
        run._take_over(record)
        return run

    def has_trials(self) -> bool:
        """Return whether a trial has been written."""
        return has_trials(self.path)

    def keeps(self, name: str) -> bool:
        """Return whether a file of the run belongs to its trials.

        Without trials, what is there may be of a start that was interrupted before the first one, with other settings.
        """
        return self.has_trials() and (self.path / name).exists()

    def continue_from(self, trials: int) -> None:
        """Record the settings, and that the budgets before them held up to here; the journal must be locked.

        Args:
            trials: Finished trials so far.

        Raises:
            RunError: The settings cannot be written.
        """
        self.phases, self.finished = self.phases_at(trials), None
        self._write_settings()

    def phases_at(self, trials: int) -> list[Phase]:
        """Return the phases where so many trials are finished; those in which no trial was proposed are left out."""
        return phases_at(self.phases, trials, self.settings.budgets)

    def finish(self, trials: int) -> None:
        """Record that the networks of so many trials were delivered."""
        self.finished = trials
        self._write_settings()

    def _take_up(self, names: set[str], *, compare_identity: bool) -> None:
        """Take over what the folder, which holds `names`, says of the run; its old budgets become the last phase.

        Raises:
            RunError: The folder holds something else, or another search.
        """
        self.phases, self.finished, self.unhashed, self._pareto_hash = [], None, False, None
        if not {name for name in names if not name.endswith(".partial")} - {JOURNAL} and not self.has_trials():
            return
        record = read_record(self.path)
        if not self.has_trials():
            return
        before = SearchSettings.from_dict(record["settings"])  # with defaults for what an older hwnas did not know
        identity = record["identity"] if compare_identity else None
        require_same_search(self.path, before, self.settings, identity, self.identity)
        self._take_over(record)
        self.settings = replace(self.settings, warm_start=before.warm_start)  # as it was begun
        if dict(before.budgets) != dict(self.settings.budgets):
            self.phases.append(Phase(sys.maxsize, before.budgets))

    def _take_over(self, record: Mapping[str, Any]) -> None:
        """Take over what a run's settings say of its course."""
        self.phases, self.finished = read_phases(self.path, record), record.get("finished")
        self.unhashed, self._pareto_hash = record.get("unhashed", False), record.get("pareto_hash")
        if type(self.unhashed) is not bool:
            raise unreadable(self.path)

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
        """Return a folder inside the run, made where absent.

        Raises:
            RunError: It cannot be made, or is a link that leads out of the run.
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
            RunError: It cannot be written.
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
            RunError: It cannot be written.
        """
        self._pareto_hash = content_hash(list(networks))
        self._write_settings()
        self.write("pareto.json", json.dumps(networks, indent=1) + "\n")

    def pareto(self) -> list[dict[str, Any]]:
        """Return the delivered networks.

        Raises:
            RunError: The search has not come that far, or the file is damaged or changed.
        """
        return [network for network in self._entries() if network["id"] != ORIGINAL]

    def original(self) -> dict[str, Any] | None:
        """Return the model that the search started from, as it was delivered beside the networks; None for none.

        Raises:
            RunError: The search has not come that far, or the file is damaged or changed.
        """
        return next((network for network in self._entries() if network["id"] == ORIGINAL), None)

    def _entries(self) -> list[dict[str, Any]]:
        """Return the entries of ``pareto.json``.

        Raises:
            RunError: The search has not come that far, or the file is damaged or changed.
        """
        path = self.path / "pareto.json"
        if not path.exists():
            raise RunError(f"{self.path} has no pareto.json yet; run the same `hwnas search` again to finish it")
        try:
            networks = require_networks(read_json(path))
        except (OSError, ValueError):
            raise RunError(f"{path} is damaged; run the same `hwnas search` again to rewrite it") from None
        if content_hash(networks) != self._pareto_hash and not (self.unhashed and self._pareto_hash is None):
            raise RunError(
                f"{path} was changed after it was written (its content hash does not match); run the same "
                "`hwnas search` again to rewrite it"
            )
        return networks
