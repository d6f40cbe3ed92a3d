"""Latency tables for a space on a device: build one, or find one that fits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from hwnas._common._seeds import require_seed
from hwnas._costs._draw import draw_networks
from hwnas._errors import HwnasError
from hwnas._tables._references import with_reference_tails
from hwnas.spaces import workload_identity
from latency_tables import (
    UNUSABLE,
    LatencyTable,
    NotAFileError,
    Op,
    TableFormatError,
    UnmeasuredOpError,
    load_table,
    rename,
    require_place,
    save_table,
)
from profilers import Backend, SamplingSettings, Workload, profile_ops

HELD_OUT_NETWORKS = 50
_REMEDY = "set HWNAS_TABLES to a folder, or name the table's file (-o for profile, --table for search)"
MOST_NETWORKS = 10_000
"""Whole networks that are loaded to be measured: each keeps its session in memory."""


def table_folder() -> Path:
    """Return the folder where tables are stored and searched: ``$HWNAS_TABLES``, else the user's data folder.

    Raises:
        HwnasError: The user has no home folder.
    """
    if chosen := os.environ.get("HWNAS_TABLES"):
        return Path(chosen)
    if base := os.environ.get("XDG_DATA_HOME"):
        return Path(base) / "hwnas" / "tables"
    try:
        return Path.home() / ".local" / "share" / "hwnas" / "tables"
    except RuntimeError:
        raise HwnasError(f"this user has no home folder to keep latency tables in; {_REMEDY}") from None


def default_table_path(workload: Workload, backend: Backend) -> Path:
    """Return the file of a workload's table: one name for each workload on each identity.

    Raises:
        HwnasError: There is no folder for it that can be written, and it is not there yet.
    """
    identity, mark = backend.identity(), workload_identity(workload).get("fingerprint")
    text = json.dumps([identity, workload.name, workload.settings, *([mark] if mark else [])], sort_keys=True)
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()[:10]
    path = table_folder() / f"{workload.name}-{identity['device']}-{digest}.json"
    there = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not os.access(path, os.R_OK) and not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise HwnasError(f"cannot write latency tables into {path.parent}; {_REMEDY}")
    return path


def build_table(
    workload: Workload,
    backend: Backend,
    path: Path,
    *,
    seed: int = 0,
    networks: int = HELD_OUT_NETWORKS,
    settings: SamplingSettings | None = None,
    force: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> LatencyTable:
    """Profile every op of a workload, validate on networks that it draws, and write the table.

    Raw samples are appended to a journal beside the table, from which an interrupted call continues. A finished
    table of the same workload and device is returned as it is.

    Args:
        workload: A space, or other networks.
        backend: Device and runtime.
        path: The table file.
        seed: Random seed of the networks that are drawn.
        networks: Held-out networks; ten more are drawn for the correction and sixty for the intervals.
        settings: Settings of the sampling.
        force: Measure again; an existing table is kept until the new one takes its place.
        progress: Receives progress lines.

    Raises:
        HwnasError: The file cannot be written.
        ProfilerError: A graph cannot be measured, or the journal belongs to another profile.
    """
    if path.exists() and not force:
        table = load_table(path)
        table.require_identity(backend.identity())
        if _unpriced(table, workload):
            raise HwnasError(f"{path} holds the table of another space; choose another -o, or --force to replace it")
        progress(f"{path} is already measured")
        return table
    require_writable(path)
    drawn = draw_networks(workload, networks, seed)
    table = profile_ops(
        backend,
        workload.ops(),
        drawn,
        journal_path(path),
        space={"name": workload.name, "settings": workload.settings},
        settings=settings,
        progress=progress,
    )
    table = with_reference_tails(table, workload, backend, progress)
    try:
        save_table(table, path)
    except OSError as error:
        raise HwnasError(
            f"cannot write {path}: {error.strerror}; the samples are safe in {journal_path(path)}, run it again"
        ) from None
    rename(journal_path(path), samples_path(path))
    return load_table(path)


def require_drawing(networks: int, seed: int) -> None:
    """Refuse what no networks can be drawn by.

    Raises:
        HwnasError: Fewer than two or more than `MOST_NETWORKS`, or no seed.
    """
    if networks < 2:
        raise HwnasError(f"--networks must be 2 or more, got {networks}")
    if networks > MOST_NETWORKS:
        raise HwnasError(f"--networks must be at most {MOST_NETWORKS:,}, got {float(min(networks, 10**300)):.3g}")
    require_seed(seed)


def samples_path(path: Path) -> Path:
    """Return the raw samples of a finished table, beside it."""
    return path.with_name(f"{path.name}.samples.jsonl")


def journal_path(path: Path) -> Path:
    """Return the raw samples of a profile in progress."""
    return path.with_name(f"{path.name}.unfinished.samples.jsonl")


def require_coverage(table: LatencyTable, workload: Workload) -> None:
    """Refuse a table that cannot price every network of a workload.

    Raises:
        UnmeasuredOpError: Naming ops without a price.
    """
    missing = _unpriced(table, workload)
    if missing:
        raise UnmeasuredOpError([op.key for op in missing])


def find_table(workload: Workload, backend: Backend, folder: Path | None = None) -> LatencyTable | None:
    """Return the newest table that fits this device, runtime and setting and prices every op of the workload.

    The user's folder is searched first, then the tables that come with the package. Tables that are unusable by
    their own measurements are skipped.
    """
    import latency_tables

    shipped = Path(latency_tables.__file__).parent / "data"
    identity = backend.identity()
    for place in (folder or _own_folder(), shipped):
        fitting = []
        for path in _tables_in(place):
            try:
                table = load_table(path)
            except TableFormatError:
                continue
            fits = dict(table.identity) == identity and not _unpriced(table, workload)
            if fits and table.grade.level != UNUSABLE:  # grading takes longest
                fitting.append(table)
        if fitting:
            return max(fitting, key=lambda table: table.created)
    return None


def _own_folder() -> Path | None:
    """Return the user's folder; None for one without a home, who may find a shipped table."""
    try:
        return table_folder()
    except HwnasError:
        return None


def _tables_in(folder: Path | None) -> list[Path]:
    """Return files that may be tables; none where there is no folder, or one that cannot be read."""
    try:
        return sorted(folder.glob("*.json")) if folder is not None else []
    except OSError:
        return []


def _unpriced(table: LatencyTable, workload: Workload) -> list[Op]:
    """Return the ops of the workload that the table has no price for."""
    entries = table.entries
    return [op for op in workload.ops() if op not in entries or not entries[op].priced]


def require_writable(path: Path) -> None:
    """Create the folder of `path` and try to write there.

    Raises:
        HwnasError: It cannot be written.
    """
    try:
        for place in (path, journal_path(path), samples_path(path)):
            require_place(place)
    except NotAFileError as error:
        raise HwnasError(f"cannot write {error.filename}: {error.strerror}; choose another place") from None
    except OSError as error:
        raise HwnasError(f"cannot write into {path.parent}: {error.strerror}; choose another place") from None
