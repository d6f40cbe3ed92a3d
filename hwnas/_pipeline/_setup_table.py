"""The latency table of a search: the run's own copy, the one requested, one that fits, or one measured now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwnas._errors import HwnasError, RunError
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._setup import SearchTable
from hwnas._runs._offline import elsewhere_line, is_elsewhere, require_usable
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._tables._build import build_table, default_table_path, find_table, require_coverage
from hwnas.spaces import Space
from latency_tables import (
    UNUSABLE,
    IdentityMismatchError,
    LatencyTable,
    dump_table,
    load_table,
    parse_table,
    save_table,
)
from profilers import Backend, TextProgress

TABLE = "table.json"
"""The run's copy of its latency table."""


def resolve_table(
    run: Run, overrides: Overrides, space: Space, backend: Backend, progress: TextProgress
) -> SearchTable:
    """Find or measure the latency table of a run whose folder is locked; nothing is written into it yet.

    Args:
        run: The run.
        overrides: Objects that take the place of names in the settings.
        space: What is searched.
        backend: Measures on the device.
        progress: Receives progress lines.

    Raises:
        HwnasError, LatencyTableError, ProfilerError: There is no usable table, or it cannot be measured.
    """
    settings, copy = run.settings, run.path / TABLE
    if settings.latency_column is not None:
        return SearchTable(None, backend)
    table = _existing_table(run, overrides, space, backend) or _measured_table(space, backend, progress)
    if table.source != copy:
        for line in _facts(table, settings, backend):
            progress(line)
        require_grade(table, asked=overrides.table is not None or settings.table is not None, progress=progress)
        table = parse_table(dump_table(table), copy)  # as a later start will read it
    if settings.devices:  # each is measured by its own delivery
        return SearchTable(table, None)
    if is_elsewhere(table, settings):
        progress(elsewhere_line(table))
        return SearchTable(table, None)
    return SearchTable(table, backend)


def with_kept_table(settings: SearchSettings, out: Path, overrides: Overrides, progress: TextProgress) -> Overrides:
    """Return the overrides with the run's own copy of the latency table, where the file that the run was given is gone.

    Args:
        settings: What to search for.
        out: The run directory.
        overrides: Objects that take the place of names in the settings.
        progress: Receives a line where that is so.

    Raises:
        LatencyTableError: The copy cannot be read.
        RunError: The settings of a run that has trials cannot be read.
    """
    copy, name = out / TABLE, settings.table
    if name is None or overrides.table is not None or Path(name).exists() or not copy.is_file():
        return overrides
    if not Run(out, settings, {}).has_trials() or Run.open(out).settings.table != name:
        return overrides
    progress(f"{name} is gone; the run's own copy of it is used")
    return replace(overrides, table=load_table(copy))


def save_table_copy(run: Run, table: LatencyTable | None) -> None:
    """Give the run its copy of the latency table; to be called once nothing can be refused any more.

    Raises:
        HwnasError: It cannot be written.
    """
    copy = run.path / TABLE
    if table is None or run.keeps(TABLE):
        return
    try:
        save_table(table, copy)
    except OSError as error:
        raise HwnasError(f"cannot write {copy}: {error.strerror}") from None


def require_grade(table: LatencyTable, *, asked: bool, progress: TextProgress) -> None:
    """Refuse a table that is unusable by its own measurements, unless the user requested it.

    Raises:
        HwnasError: It was not requested.
    """
    if table.grade.level != UNUSABLE:
        return
    if not asked:
        raise HwnasError(f"{table.source}: {table.grade.line()}; to use it anyway, add --table {table.source}")
    progress(f"warning: {table.source} is unusable by its own measurements; it is used because you named it")


def _existing_table(run: Run, overrides: Overrides, space: Space, backend: Backend) -> LatencyTable | None:
    """Return the run's own copy of a table, the one requested, or one that fits; None where one must be measured."""
    copy, name = run.path / TABLE, run.settings.table
    asked = overrides.table or (load_table(Path(name)) if name is not None else None)
    if run.keeps(TABLE):
        table = load_table(copy)
        if asked is not None and dump_table(asked) != dump_table(table):
            raise RunError(f"{run.path} was started with another latency table than {name}; choose another --out")
        _require_usable(table, run.settings, space, backend)
        return table
    if asked is None:
        return find_table(space, backend)
    _require_usable(asked, run.settings, space, backend)
    return asked


def _measured_table(space: Space, backend: Backend, progress: TextProgress) -> LatencyTable:
    path = default_table_path(space, backend)
    progress(f"no latency table fits this device: measuring one into {path}")
    table = build_table(space, backend, path, progress=progress)
    require_coverage(table, space)
    return table


def _require_usable(table: LatencyTable, settings: SearchSettings, space: Space, backend: Backend) -> None:
    """Refuse another device's table, unless that device need not be available here."""
    if is_elsewhere(table, settings) or settings.devices:
        require_usable(table, settings, space)
        return
    try:
        table.require_identity(backend.identity())
    except IdentityMismatchError as error:
        try:
            require_usable(table, settings, space)  # what --offline would say
        except HwnasError:
            raise error from None
        raise IdentityMismatchError(f"{error}, or search on its predictions alone with --offline") from None
    require_coverage(table, space)


def _facts(table: LatencyTable, settings: SearchSettings, backend: Backend) -> list[str]:
    """Return lines on a table's quality, and on what has changed on its device."""
    lines = [f"latency table: {table.source}"]
    if is_elsewhere(table, settings):
        lines += [f"note: {line}" for line in table.notes]
    else:
        lines += [f"warning: {line}" for line in (*table.environment_changes(backend.environment()), *table.notes)]
    return lines + table.report_lines()
