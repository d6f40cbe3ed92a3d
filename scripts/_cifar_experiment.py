"""Scale full of scripts/cifar10.py: runs the jobs, and writes the table and the picture."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from _cifar_full import Experiment, Parts
from _cifar_jobs import FULL, SMOKE, FullScale, Job, core_hours, last_jobs, minutes, phases_of, settings_of
from _cifar_table import draw_full, findings, markdown, record_of
from _jobs import Phase, Results, do_phases, named, tell_plan
from _progress import say

from hwnas import HwnasError
from hwnas.data import load_data
from latency_tables import LineJournal, write_atomic

JOB_SCALES = {"full": FULL, "smoke": SMOKE}

S = TypeVar("S", bound=Any)
"""A dataclass of settings."""


def changed(scale: S, changes: list[str]) -> S:
    """Return a scale with some settings changed.

    Args:
        scale: A dataclass.
        changes: Texts like ``"epochs=3"``; values are JSON.

    Raises:
        HwnasError: An unknown setting, or a value that is no JSON.
    """
    values: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in asdict(scale):
            raise HwnasError(f"--change: unknown setting {name!r}; choose from {', '.join(asdict(scale))}")
        try:
            values[name] = text if name == "device" else json.loads(text)
            if isinstance(values[name], list):
                values[name] = tuple(values[name])
        except ValueError:
            raise HwnasError(f"--change {name}: the value must be JSON, got {text!r}") from None
    return replace(scale, **values)


def run_jobs(args: argparse.Namespace) -> None:
    """Do the jobs that are not done yet; when all are, write the table and the picture.

    Args:
        args: The command line of scripts/cifar10.py.

    Raises:
        HwnasError, LatencyTableError: One line each; also where another process does jobs in the same folder.
        SystemExit: Jobs failed, or results in the folder have other settings.
    """
    scale = changed(JOB_SCALES[args.scale], args.change)
    folder = args.workdir or Path(f"cifar10-{args.scale}")
    results = Results(folder, {"scale": settings_of(scale)}, "--workdir")
    phases = [replace(phase, jobs=named(phase.jobs, args.only)) for phase in phases_of(scale)]
    if args.so_far:
        phases = [Phase([job], alone=True) for job in last_jobs(so_far=True)]
    if args.plan:
        left = tell_plan(results, [job for phase in phases for job in phase.jobs], lambda job: minutes(job, scale))
        print(f"about {left / 60:.0f} core-hours of {core_hours(scale):.0f} are left; trainings use --workers cores")
        return
    os.environ.setdefault("HWNAS_TABLES", str(folder.resolve() / "tables"))
    folder.mkdir(parents=True, exist_ok=True)
    lock = LineJournal(folder / "running.lock")
    try:
        for job in last_jobs(so_far=True) if args.so_far else ():
            results.forget(job)  # more networks may be trained by now
        _do(args, scale, results, phases)
    finally:
        lock.close()
    if args.so_far or results.get(Job("test")):
        write_tables(scale, results, args.json, so_far=args.so_far)


def _do(args: argparse.Namespace, scale: FullScale, results: Results, phases: list[Phase[Job]]) -> None:
    if all(results.get(job) for phase in phases for job in phase.jobs):
        return
    parts = Parts.divide(load_data(args.data, limit=scale.images))
    do_phases(results, Experiment(parts, results, scale, args.device, args.workers).do, phases, args.workers)


def write_tables(scale: FullScale, results: Results, file: Path | None = None, *, so_far: bool = False) -> None:
    """Write ``table.json``, ``table.md`` and ``table.png`` of a finished experiment.

    Args:
        scale: How much was done.
        results: The files of its jobs.
        file: Where ``table.json`` is written a second time; None for nowhere.
        so_far: Whether networks that are not trained yet are left out.
    """
    record = record_of(scale, results, so_far=so_far)
    text = json.dumps(record, indent=1) + "\n"
    lines = [*markdown(record["rows"]), "", *(f"* {line}" for line in findings(record["rows"]))]
    write_atomic(results.folder / "table.json", text)
    write_atomic(results.folder / "table.md", "\n".join(lines) + "\n")
    draw_full(record, results.folder / "table.png")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text)
    say(f"wrote {results.folder / 'table.md'}, after {record['core_seconds'] / 3600:.1f} core-hours")
