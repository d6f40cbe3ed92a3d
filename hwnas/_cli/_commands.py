"""What the commands show of what the functions of `hwnas` return."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from hwnas._api._commands import SHOWN
from hwnas._cli._output import progress_lines, say, say_json, warn

if TYPE_CHECKING:
    from hwnas._api._tables import Prediction
    from latency_tables import LatencyTable

_SEARCH = {"space", "data", "evaluator", "table", "minimize", "samples", "strategy", "seed", "device"}
_SEARCH |= {"out", "workers", "ray_address", "evaluation_timeout", "track"}
"""Named arguments of `hwnas.search` that can be typed."""


def given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the typed options as keyword arguments of the command's function."""
    return {name: value for name, value in vars(options).items() if name not in (*SHOWN, "command", "action")}


def run_profile(options: argparse.Namespace) -> None:
    """Run ``hwnas profile``."""
    from hwnas._api._profile import profile

    table = profile(**given(options), progress=progress_lines())
    for line in table.report_lines():
        say(line)
    for note in table.notes:
        say(f"warning: {note}")
    say(f"{len(table.entries)} prices in {options.out or table.source}")


def run_bundle(options: argparse.Namespace) -> None:
    """Run ``hwnas bundle``."""
    from hwnas._api._profile import bundle

    models = bundle(**given(options), progress=progress_lines())
    say(f"{models} models in {options.out}; see README.txt there for the next step")


def run_draw(options: argparse.Namespace) -> None:
    """Run ``hwnas draw``."""
    from hwnas._api._profile import draw

    texts = draw(**given(options), progress=progress_lines())
    say(f"{len(texts)} networks in {options.out}; see README.txt there for the next step")


def run_fit(options: argparse.Namespace) -> None:
    """Run ``hwnas fit``."""
    from hwnas._api._profile import fit

    table = fit(**given(options), progress=progress_lines())
    for note in table.notes:
        say(note)
    say(table.grade.line())
    say(f"{len(table.entries)} prices from {len(table.networks)} networks in {options.out}")


def run_search(options: argparse.Namespace) -> None:
    """Run ``hwnas search``; exit with code 1 where no delivered network meets the budgets."""
    from hwnas._api._search import watched_search
    from hwnas._cli._live import JsonWatcher, make_watcher
    from hwnas._runs._several import FOLDER

    typed = given(options)
    named = {"budgets": None, **{name: typed.pop(name) for name in _SEARCH}}
    watcher = make_watcher(options.quiet, options.json, progress_lines())
    try:
        result = watched_search(watcher, named, typed)
    finally:
        watcher.close()
    if isinstance(watcher, JsonWatcher):
        networks = [*result.networks, *(network for each in result.devices.values() for network in each)]
        within = sum(network["within_budget"] for network in networks)
        watcher.tell("end", report=str(result.report), networks=len(networks), within_budget=within)
    else:
        say(str(result.report))
    for name, why in result.over_budgets.items():
        place = result.path / FOLDER / name if name else result.path
        advice = "raise the budget or increase --samples"
        if not name or (place / "pareto.json").exists():
            export = shlex.join(["hwnas", "export", str(place), "--allow-over-budget"])
            advice += f", or export the nearest with `{export}`"
        warn(f"hwnas: {f'{name}: ' if name else ''}{why}; {advice}")
    if result.over_budgets:
        raise SystemExit(1)


def run_export(options: argparse.Namespace) -> None:
    """Run ``hwnas export``."""
    from hwnas._api._runs import export

    exported = export(**given(options))
    say(f"{exported.path}: {exported.text}")


def run_runs(options: argparse.Namespace) -> None:
    """Run ``hwnas runs``."""
    from hwnas._api._runs import runs
    from hwnas._cli._listing import run_lines

    infos = runs(options.folder)
    if options.json:
        say_json([info.as_dict() for info in infos])
        return
    for line in run_lines(infos, options.folder):
        say(line)


def run_compare(options: argparse.Namespace) -> None:
    """Run ``hwnas compare``."""
    from hwnas._api._runs import compare
    from hwnas._runs._compare import table_lines

    comparison = compare(**given(options))
    if options.json:
        say_json(comparison.as_dict())
        return
    for line in [*table_lines(comparison), *([options.out] if options.out else [])]:
        say(line)


def run_rank(options: argparse.Namespace) -> None:
    """Run ``hwnas rank``; exit with code 1 where no file keeps the budget."""
    from hwnas._api._models import rank
    from hwnas._explain._rank_lines import ranking_lines

    ranking = rank(**given(options), progress=progress_lines())
    if options.json:
        say_json(ranking.as_dict())
    else:
        for line in [*ranking_lines(ranking), *([options.out] if options.out else [])]:
            say(line)
    if ranking.none_keeps:
        warn(f"hwnas: no file keeps the budget {options.budget}")
        raise SystemExit(1)


def run_derive(options: argparse.Namespace) -> None:
    """Run ``hwnas derive``."""
    from hwnas._api._derive import as_dict, derive

    lines: list[str] = []
    derived = derive(**given(options), progress=lines.append if options.json else say)
    if options.json:
        say_json(as_dict(derived, lines))


def run_predict(options: argparse.Namespace) -> None:
    """Run ``hwnas predict``."""
    from hwnas._api._tables import predict

    prediction = predict(**given(options))
    if options.json:
        say_json(prediction.as_dict())
        return
    for line in _prediction_lines(prediction):
        say(line)


def _prediction_lines(prediction: Prediction) -> list[str]:
    from hwnas._costs._cost import cost_of_key
    from hwnas._tables._validate import batch_of

    identity, low, high = prediction.table.identity, prediction.low_ms, prediction.high_ms
    interval = f" (q10; 90 % interval {low:.4g}-{high:.4g} ms)" if low and high else " (q10)"
    device = identity.get("device", "an unnamed device")
    setting = f"{device}, {identity.get('threads', 1)} thread(s), batch {batch_of(prediction.table)}"
    costs = [(cost, value) for key, value in prediction.costs.items() if (cost := cost_of_key(key)) is not None]
    lines = [
        f"latency {prediction.latency_ms:.4g} ms{interval} on {setting}",
        ", ".join(f"{value:,} {f'{c.unit} of {c.title}' if c.unit else c.heading}" for c, value in costs),
    ]
    return [*lines, *_grade_lines(prediction.table)]


def _grade_lines(table: LatencyTable) -> list[str]:
    """Return a warning where the table's grade is not good."""
    from latency_tables import GOOD

    return [] if table.grade.level == GOOD else [f"warning: {table.grade.line()}"]


def run_validate(options: argparse.Namespace) -> None:
    """Run ``hwnas validate``."""
    from hwnas._api._tables import validate
    from hwnas._tables._references import machine_of
    from hwnas._tables._validate import speed_lines, validation_record

    table = validate(**given(options), progress=progress_lines())
    if options.json:
        say_json(validation_record(table))
        return
    for line in [*speed_lines(table, machine_of(options.device)), *table.report_lines()]:
        say(line)


def run_verify(options: argparse.Namespace) -> None:
    """Run ``hwnas verify``; exit with code 1 where the table is no longer valid, 3 where noise hides it."""
    from hwnas._api._tables import verify

    verification = verify(**given(options), progress=progress_lines())
    if options.json:
        say_json(verification.as_dict())
    else:
        lines = [f"warning: {warning}" for warning in verification.warnings]
        lines += [
            verification.table.grade.line(),
            *verification.result.lines(verification.machine),
            verification.verdict_line(),
        ]
        for line in lines:
            say(line)
    if verification.exit_code:
        raise SystemExit(verification.exit_code)


def run_merge(options: argparse.Namespace) -> None:
    """Run ``hwnas merge``."""
    from hwnas._api._tables import merge

    merged = merge(**given(options))
    say(f"{len(merged.entries)} prices and {len(merged.networks)} networks in {options.out}")
    for line in _grade_lines(merged):
        say(line)


def run_table(options: argparse.Namespace) -> None:
    """Run ``hwnas table show``."""
    from hwnas._api._tables import show_table

    for line in show_table(options.table):
        say(line)


def run_explain(options: argparse.Namespace) -> None:
    """Run ``hwnas explain``."""
    from hwnas._api._explain import explain
    from hwnas._cli._explained import explained_lines

    explanation = explain(**given(options), progress=progress_lines())
    if options.json:
        say_json(explanation.as_dict())
        return
    for line in [*explained_lines(explanation), *([options.out] if options.out else [])]:
        say(line)


def run_devices(options: argparse.Namespace) -> None:
    """Run ``hwnas devices``."""
    from hwnas._api._machine import devices

    for info in devices():
        say(f"{info.name:8s} {info.description}" + ("" if info.usable else f" - not usable: {info.hint}"))


def run_plugins(options: argparse.Namespace) -> None:
    """Run ``hwnas plugins``."""
    from hwnas._api._machine import plugins

    for entry in plugins():
        say(entry.line)


def run_doctor(options: argparse.Namespace) -> None:
    """Run ``hwnas doctor``."""
    from dataclasses import asdict

    from hwnas._api._machine import doctor

    findings = doctor()
    if options.json:
        say_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        say(f"{finding.status:8s} {finding.check}: {finding.text}" + (f" -> {finding.fix}" if finding.fix else ""))
    warnings = sum(finding.status == "warning" for finding in findings)
    if warnings:
        say(f"{warnings} of {len(findings)} findings disturb measurements")
    else:
        say("nothing on this machine disturbs measurements")


def run_device(options: argparse.Namespace) -> None:
    """Run ``hwnas device clean``."""
    from hwnas._api._machine import clean_device

    removed, folder = clean_device(options.device)
    say(f"{folder} removed from {options.device}" if removed else f"{options.device} has no {folder}: it is clean")
