"""``trials.csv``: the journal as a table, for spreadsheets and ``pandas.read_csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from hwnas._common._pace import Pace
from hwnas._common._text import printable
from hwnas._runs._journal import TrialRecord
from hwnas._runs._watch import Status
from hwnas._runs._watched import OWN_COLUMNS, WatchedSearch, column_of, trial_numbers
from hwnas._runs._watchers import Recorder

TRIALS_CSV = "trials.csv"
_FORMULA = "=+-@＝＋－＠"
"""How a formula of a spreadsheet may begin, also in the full width of East Asian keyboards."""
_FIRST, _LAST = OWN_COLUMNS[:2], OWN_COLUMNS[2:]
_EVERY_S, _SHARE = 5.0, 0.02


class TrialTable(Recorder):
    """Writes ``trials.csv`` while a search runs, at most every five seconds and for 2 % of the time, and at its end.

    Args:
        pace: When to write while the search runs; None for the usual one.
    """

    name = TRIALS_CSV

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace(_EVERY_S, _SHARE)
        self._search: WatchedSearch | None = None
        self._rows: TrialRows | None = None

    def begin(self, search: WatchedSearch) -> None:
        """Take up the search."""
        self._search, self._rows = search, TrialRows(search)

    def trial(self, record: TrialRecord, status: Callable[[], Status]) -> None:
        """Write the table where that is due."""
        if self._pace.due:
            with self._pace.spend():
                self._write()

    def end(self, finished: bool) -> None:
        """Write the whole table."""
        self._write()

    def _write(self) -> None:
        """Write what the journal holds; a search without trials has no table.

        Raises:
            RunError: It cannot be written.
        """
        if self._search is not None and self._rows is not None and self._search.records:
            self._search.run.write(TRIALS_CSV, self._rows.text())


class TrialRows:
    """The lines of the table. Each trial is written as text once, unless a later one brings a new column.

    Args:
        search: The search, whose list of records grows.
    """

    def __init__(self, search: WatchedSearch) -> None:
        self._search = search
        self._numbers = dict.fromkeys(objective.name for objective in search.objectives)
        self._lines: list[str] = []

    def text(self) -> str:
        """Return the table: lines that end as RFC 4180 says, the names of the columns first."""
        records = self._search.records
        fresh = records[len(self._lines) :]
        names = {name for record in fresh for name in trial_numbers(record)}
        if not names <= self._numbers.keys():
            for record in fresh:
                self._numbers.update(dict.fromkeys(trial_numbers(record)))
            self._lines, fresh = [], records
        self._lines += [_line(self._cells(record)) for record in fresh]
        return "".join([_line(self._header()), *self._lines])

    def _header(self) -> list[str]:
        numbers = [column_of(name) for name in self._numbers]
        taken = {*OWN_COLUMNS, *numbers}
        choices = [choice.name for choice in self._search.space.choices]
        return [*_FIRST, *(f"choice_{name}" if name in taken else name for name in choices), *numbers, *_LAST]

    def _cells(self, record: TrialRecord) -> list[float | str | None]:
        numbers = trial_numbers(record)
        return [
            record.number,
            record.arch,
            *self._search.chosen(record),
            *(numbers.get(name) for name in self._numbers),
            record.failed,
            "true" if record.low_fidelity else "false",
            record.seconds,
            record.seed,
            record.source,
        ]


def _line(cells: Sequence[float | str | None]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return buffer.getvalue()


def _cell(value: float | str | None) -> float | str | None:
    """Return a cell; a text that a spreadsheet would compute gets an apostrophe in front, which makes it text."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(tuple(_FORMULA)) else text
