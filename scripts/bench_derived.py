"""Compare networks of spaces derived from trained models with pruned and with narrowed ones, at equal latency.

    scripts/train_bases.py --data CIFAR10 --out bases
    scripts/bench_derived.py --data CIFAR10 --bases bases --out derived --plan
    scripts/bench_derived.py --data CIFAR10 --bases bases --out derived
    scripts/bench_derived.py --data CIFAR10 --bases bases --out derived --so-far

For each base and at each budget (a share of the base's measured latency):

* ours: `hwnas.search(model=..., latency_budget=...)`, then its best network is fine-tuned, alone;
* pruned: torch-pruning's dependency groups, tuned until the *measured* latency keeps the budget, then fine-tuned;
* sparse: the same after training with torch-pruning's group-sparsity regulariser;
* narrow: the family with all channels scaled, tuned in the same way and trained from scratch; with ``--long`` also for
  so long that it has seen the images of the base too (narrow-long).

After the base all see the same number of train images (but narrow-long), with the same augmentation, schedule and
optimiser; ours and the pruned ones have the base as teacher. A step of the elastic model passes its images through four
networks: the table says how many passes there were.

Every job has a file of its own under ``--out``, and trainings continue after their last epoch: the script can be killed
at any moment and started again; ``--so-far`` measures what is trained. ``--device cuda`` trains on a GPU; what is
measured is measured where the networks are to be fast, so the trainings can run on one machine (``--only elastic
--device cuda --workers 8``) and all else on another, with the folder carried between them. ``--smoke`` does everything
once on few images, in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from _derived_jobs import DEVICES, RATES, SMOKE, TRAININGS, Job, Scale, jobs_of, minutes
from _derived_table import leads, markdown, misleading, rows_of
from _derived_work import Bench, bases_in
from _jobs import Results, do_at_once, do_job, named, tell_plan
from _progress import say

from hwnas import make_task
from latency_tables import write_atomic

SCALED = ("elastic_epochs", "tune_epochs", "samples", "seeds")
"""Numbers of a scale that options change."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    scale = Scale()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10, as of hwnas search: its files or a folder of images")
    parser.add_argument("--bases", type=Path, default=Path("bases"), help="folder of train_bases.py (default: bases)")
    parser.add_argument("--out", type=Path, default=Path("derived"), help="folder for the results (default: derived)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="only jobs whose name contains it ($: its end)"
    )
    parser.add_argument("--plan", action="store_true", help="list the jobs with estimated minutes, and do nothing")
    parser.add_argument("--smoke", action="store_true", help="everything once on few images: a test, no result")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads in trainings (default 2)")
    parser.add_argument("--device", default="cpu", help="what trainings run on: cpu or cuda (default cpu)")
    parser.add_argument("--workers", type=int, default=1, help="jobs at once; only for jobs that measure nothing")
    parser.add_argument(
        "--so-far", action="store_true", help="measure the networks that are trained, and write the table"
    )
    parser.add_argument("--long", action="store_true", help="train narrowed networks for the images of the base too")
    parser.add_argument(
        "--space-option", action="append", metavar="NAME=VALUE", help="of the derived space, as of hwnas search"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there, too")
    for name in SCALED:
        default = getattr(scale, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default {default}")
    return parser.parse_args()


def scale_of(options: argparse.Namespace, bases: dict[str, dict[str, Any]]) -> Scale:
    """Return how much is done."""
    given = {name: getattr(options, name) for name in SCALED}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    chosen |= {"long": True} if options.long else {}
    chosen |= {"space": tuple(options.space_option)} if options.space_option else {}
    if options.smoke:
        return replace(SMOKE, **chosen)
    return replace(Scale(base_epochs=max(base["epochs"] for base in bases.values())), **chosen)


def write_tables(results: Results, jobs: list[Job], bases: list[str], file: Path | None = None) -> None:
    """Write ``table.md`` and ``table.json`` of the bases that are measured; the latter also to another file."""
    measured = {job.base: result for job in jobs if job.kind == "measure" and (result := results.get(job))}
    if not measured:
        return
    networks = [network for name in bases for network in measured.get(name, {}).get("networks", [])]
    shown, rows = {name: result["base"] for name, result in measured.items()}, rows_of(networks)
    table = {
        "bases": shown,
        "networks": networks,
        "rows": rows,
        "leads": leads(rows),
        "misleading_macs": misleading(networks),
        "left": sum(result["left"] for result in measured.values()),
        "core_hours": core_hours(results, [job for job in jobs if job.base in measured]),
        "cpu": next(iter(measured.values()))["cpu"],
        "settings": json.loads((results.folder / "settings.json").read_text(encoding="utf-8")),
    }
    for path in (results.folder / "table.json", *([] if file is None else [file])):
        write_atomic(path, json.dumps(table, indent=1) + "\n")
    write_atomic(results.folder / "table.md", markdown(shown, networks))
    say(f"wrote {results.folder / 'table.md'}")


def core_hours(results: Results, jobs: list[Job]) -> dict[str, float]:
    """Return the core-hours of the jobs of each kind that are done."""
    hours: dict[str, float] = {}
    for job in jobs:
        if result := results.get(job):
            hours[job.kind] = hours.get(job.kind, 0.0) + result.get("core_seconds", 0.0) / 3600
    return hours


def chosen_of(results: Results, jobs: list[Job], options: argparse.Namespace) -> list[Job]:
    """Return the jobs that the options choose."""
    if not options.so_far:
        return named(jobs, options.only)
    trained = {job.base for job in jobs if job.kind in TRAININGS and results.get(job)}
    return [job for job in jobs if job.kind == "measure" and job.base in trained]


def outdated(results: Results, job: Job, options: argparse.Namespace) -> bool:
    """Return whether a job is not done, or measured fewer networks than there are now."""
    result = results.get(job)
    return result is None or (job.kind == "measure" and (options.so_far or bool(result["left"])))


def main() -> None:
    """Do all jobs that are not done yet, then write the table."""
    options = parse()
    bases = bases_in(options.bases)
    scale, names = scale_of(options, bases), list(bases)
    facts = {"scale": scale.as_dict(), "bases": {name: base["sha256"] for name, base in bases.items()}}
    results = Results(options.out / "smoke" if options.smoke else options.out, facts, growing=("bases",))
    jobs = jobs_of(names, scale)
    chosen = chosen_of(results, jobs, options)
    if options.plan:
        images = scale.data_limit or 40_000
        left = tell_plan(results, chosen, lambda job: minutes(job, scale, images, RATES))
        print(f"{left / 60:.1f} hours are left, on two cores like those that the rates were measured on")
        return
    torch.set_num_threads(options.threads)
    os.environ["HWNAS_TABLES"] = str(results.folder / "tables")
    todo = [job for job in chosen if outdated(results, job, options)]
    if options.workers > 1 and (measured := [job.name for job in todo if job.kind not in DEVICES]):
        raise SystemExit(f"--workers {options.workers}: {measured[0]} measures; choose trainings with --only")
    if todo:
        task = make_task(None, options.data, limit=scale.data_limit)
        bench = Bench(
            options.data,
            task,
            options.bases,
            results,
            scale,
            options.threads,
            options.device,
            say,
            so_far=options.so_far,
        )
        if options.workers > 1:
            do_at_once(results, bench.do, todo, options.workers)
        else:
            for job in todo:
                do_job(results, bench.do, job)
    write_tables(results, jobs, names, options.json)


if __name__ == "__main__":
    main()
