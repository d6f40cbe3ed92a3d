"""The journal of a run's trials and its one reader. Whoever holds the journal owns the run's folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hwnas._common._chain import Chain, read_lines
from hwnas._errors import RunError
from latency_tables import LineJournal, read_regular
from search import Trial

JOURNAL = "trials.jsonl"
STATISTIC = "@"
"""Stands between the key of a cost and the statistic that it is the expected value of: ``latency_ms@p99``."""
_LINE = b'{"number": '
"""How every line of a journal of trials begins."""
_SYNC_S = 0.5
"""Lines of the last so many seconds may be lost with the machine's power; a killed process loses none."""
_MOST = 1e300
_T = TypeVar("_T")


def has_trials(out: Path) -> bool:
    """Return whether a folder holds a run with trials."""
    try:
        return (out / JOURNAL).stat().st_size > 0
    except (OSError, ValueError):  # a name that is no text is refused later
        return False


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial, as a line of the journal holds it.

    Attributes:
        number: Number of the trial, counted from 0.
        codes: Its architecture as canonical codes.
        arch: The same in words.
        values: Objective values by name; empty where the trial failed.
        failed: Why it failed; None where it did not.
        low_fidelity: Whether the low-fidelity evaluator evaluated it (``"cheap"`` in the file).
        seconds: Duration of the evaluation; None where the line does not say.
        seed: Seed of the search; None where the line does not say.
        costs: Budgeted costs that are not objectives, by name; and of a latency that is predicted only, the expected
            value of the statistic that counts (``latency_ms@median``).
        extra_columns: Further numbers that the evaluator gave, by name (``"known"`` in the file).
        source: Folder of the run that its value comes from (``"from"`` in the file); None where it was evaluated here.
        estimates: What was expected at the proposal, by name, for values that are measured: ``latency_ms``, as the
            trials before had corrected the table's price.
        measurements: What was measured, by name and fact. For ``latency_ms``, in milliseconds: the statistics as
            timed (``q10``, ``median``, ``p90``, ``p99``), the same at the speed that the machine had when the table was
            made (``at_table_speed_q10`` and so on), ``half_width`` of the 90 % interval of the told statistic, and as
            plain numbers ``samples``, ``slowness`` (1.12: the machine is 12 % slower than then) and
            ``slowness_half_width`` (relative); the last two where the table has reference networks.
        deviations: Standard deviations of the errors of measured values, by name, as the search was told them. Lines of
            earlier versions have none: their searches took measured values for exact, and continue so.
        precision: Number format of the quantised network that the value of the metric belongs to, like ``int8``; None
            where it was evaluated as it was trained.
    """

    number: int
    codes: tuple[int, ...]
    arch: str
    values: Mapping[str, float]
    failed: str | None = None
    low_fidelity: bool = False
    seconds: float | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    seed: int | None = None
    extra_columns: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None
    estimates: Mapping[str, float] = field(default_factory=dict)
    measurements: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    precision: str | None = None
    deviations: Mapping[str, float] = field(default_factory=dict)

    @property
    def trial(self) -> Trial:
        """The trial as `search` knows it."""
        return Trial(self.number, self.codes, dict(self.values), self.failed, self.low_fidelity, dict(self.deviations))

    @property
    def bound(self) -> dict[str, float]:
        """What budgets bind, by the cost's key: of a latency that is not measured, the statistic that counts."""
        known = {**self.costs, **self.values}
        of_statistics = {key.partition(STATISTIC)[0]: value for key, value in known.items() if STATISTIC in key}
        return known | of_statistics

    def keeps(self, budgets: Mapping[str, float]) -> bool:
        """Return whether the trial is known to meet the budgets."""
        known = self.bound
        return all(name in known and known[name] <= upper for name, upper in budgets.items())

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the journal's line; those without a value are left out."""
        line: dict[str, Any] = {"number": self.number, "codes": list(self.codes), "values": dict(self.values)}
        line["failed"] = self.failed
        line |= {"cheap": True} if self.low_fidelity else {}
        line["arch"] = self.arch
        optional = {
            "precision": self.precision,
            "seconds": self.seconds,
            "costs": dict(self.costs) or None,
            "seed": self.seed,
            "known": dict(self.extra_columns) or None,
            "from": self.source,
            "estimates": dict(self.estimates) or None,
            "deviations": dict(self.deviations) or None,
            "measurements": {name: dict(facts) for name, facts in self.measurements.items()} or None,
        }
        return line | {name: value for name, value in optional.items() if value is not None}

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> TrialRecord:
        """Read what `as_dict` wrote; fields that are not known here are ignored.

        Raises:
            ValueError: A field is missing, of the wrong type or out of range.
        """
        try:
            failed, seconds = _optional(line["failed"], str), line.get("seconds")
            record = cls(
                number=_typed(line["number"], int),
                codes=tuple(_typed(code, int) for code in _typed(line["codes"], list)),
                arch=_typed(line["arch"], str),
                values=_numbers(line["values"]),
                failed=failed,
                low_fidelity=_typed(line.get("cheap", False), bool),
                seconds=None if seconds is None else _number(seconds),
                costs=_numbers(line.get("costs", {})),
                seed=_optional(line.get("seed"), int),
                extra_columns=_numbers(line.get("known", {})),
                source=_optional(line.get("from"), str),
                estimates=_numbers(line.get("estimates", {})),
                measurements=_facts(line.get("measurements", {})),
                precision=_optional(line.get("precision"), str),
                deviations=_numbers(line.get("deviations", {})),
            )
        except KeyError as error:
            raise ValueError(f"{error} is missing") from None
        if record.number < 0 or any(not -(2**63) <= code < 2**63 for code in record.codes):
            raise ValueError("number or codes are out of range")
        return record


class TrialJournal:
    """Finished trials, one JSON line each, in the file before the next one starts. A torn last line is dropped.

    Each line has a hash (`Chain`): a journal that was changed is refused. A line is on the disk, safe from a loss of
    power too, half a second after it was written at the latest: waiting for the disk after each of many quick
    evaluations would take longer than they do.

    Args:
        path: The file; made where absent.
        unhashed: Whether the first lines may lack hashes (`Run.unhashed`).

    Attributes:
        made: Whether the file was made here.
        records: The trials so far.

    Raises:
        RunError: It cannot be read or written, or is damaged.
        JournalInUseError: Another process has it open.
    """

    def __init__(self, path: Path, unhashed: bool = False) -> None:
        self.path = path
        self.made = not path.exists()
        self.records: list[TrialRecord] = []
        self._chain = Chain(unhashed)
        self._synced, self._waits = 0.0, False
        try:
            self._file = LineJournal(path, _LINE)
            if not path.exists():  # whoever had it removed it again before it was locked here
                self._file.close()
                self._file = LineJournal(path, _LINE)
            self._place = _place(path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}; choose another --out") from None
        try:
            self.records = _records(path, self._file.lines, self._chain)
        except RunError:
            self._file.close()
            raise

    def append(self, record: TrialRecord) -> None:
        """Write one trial.

        Raises:
            RunError: The disk is full, or the file is gone; earlier trials are safe where it is not.
        """
        self.require_there()
        line = record.as_dict()
        text = self._chain.written(line)
        sync = time.monotonic() - self._synced >= _SYNC_S
        try:
            self._file.append(text, sync=sync)
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; the trials before this one are safe") from None
        self._waits = not sync
        if sync:
            self._synced = time.monotonic()
        self._chain.commit(line)
        self.records.append(record)

    def sync(self) -> None:
        """Wait until every trial is on the disk, safe from a loss of power too.

        Raises:
            RunError: The disk refuses it.
        """
        if not self._waits:
            return
        try:
            self._file.sync()
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}; its last trials may be lost") from None
        self._synced, self._waits = time.monotonic(), False

    def require_there(self) -> None:
        """Refuse to continue where nobody would find what is written.

        Raises:
            RunError: The file was removed or replaced since it was opened.
        """
        with suppress(OSError):
            if _place(self.path) == self._place:
                return
        raise RunError(
            f"{self.path} was removed or replaced while the search ran; restore {self.path.parent}, or choose another "
            "--out and run the search again"
        )

    def close(self) -> None:
        """Close the file."""
        if self._waits:
            with suppress(OSError, ValueError):
                self._file.sync()
        self._file.close()


def read_trials(path: Path, *, unhashed: bool = False) -> list[TrialRecord]:
    """Read a journal without locking or changing it; a torn last line is left out, and a missing file is empty.

    Args:
        path: The file.
        unhashed: Whether the first lines may lack hashes (`Run.unhashed`).

    Raises:
        RunError: It cannot be read, or is damaged.
    """
    try:
        data = read_regular(path) if path.exists() else b""
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    return _records(path, data[: data.rfind(b"\n") + 1].splitlines(), Chain(unhashed))


def damaged_line(path: Path, number: int) -> RunError:
    """Return the error for a line of a journal that cannot be read; lines count from 1."""
    return RunError(f"{path} is damaged in line {number}; restore it or choose another folder")


def _records(path: Path, lines: Iterable[bytes], chain: Chain) -> list[TrialRecord]:
    records = []
    for number, line in enumerate(read_lines(path, list(lines), chain), 1):
        try:
            records.append(TrialRecord.from_dict(line))
        except ValueError:
            raise damaged_line(path, number) from None
    return records


def _place(path: Path) -> tuple[int, int]:
    """Return what tells a file from another one of its name."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _typed(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise ValueError(f"{value!r:.40} is not of type {kind.__name__}")
    return value


def _optional(value: object, kind: type[_T]) -> _T | None:
    return None if value is None else _typed(value, kind)


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -_MOST <= value <= _MOST:
        raise ValueError(f"{value!r:.40} is not a finite number")
    return float(value)


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise ValueError("no numbers by name")
    return {str(name): _number(value) for name, value in values.items()}


def _facts(values: object) -> dict[str, dict[str, float]]:
    if not isinstance(values, Mapping):
        raise ValueError("no facts by name")
    return {str(name): _numbers(facts) for name, facts in values.items()}
