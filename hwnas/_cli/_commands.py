"""What the commands do."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hwnas._api._options import search_option_names, search_settings, space_settings
from hwnas._cli._output import progress_lines, save, say, say_json, write_file
from hwnas._errors import HwnasError


def run_fit(options: argparse.Namespace) -> None:
    """``hwnas fit``."""
    from hwnas._tables._fit import fit_table
    from hwnas.spaces import make_space

    table = fit_table(
        make_space(options.space, **space_settings(vars(options))),
        options.csv,
        latency_column=options.latency_column,
        device=options.device,
        unit=options.unit,
        batch=options.batch,
        dead_code=options.dead_code,
        seed=options.seed,
        progress=progress_lines(),
    )
    save(table, options.output)
    for note in table.notes:
        say(note)
    say(table.grade.line())
    say(f"{len(table.entries)} prices from {len(table.networks)} networks in {options.output}")


def run_search(options: argparse.Namespace) -> None:
    """``hwnas search``."""
    from hwnas._cli._live import JsonWatcher, make_watcher
    from hwnas._pipeline._search import run_search as search
    from hwnas._workers import parse_workers

    names = search_option_names()
    settings = search_settings({name: value for name, value in vars(options).items() if name in names})
    workers = parse_workers(options.workers, options.ray_address, options.evaluation_timeout)
    watcher = make_watcher(options.quiet, options.json, progress_lines())
    try:
        run = search(settings, Path(options.out), watcher=watcher, workers=workers)
    finally:
        watcher.close()
    if isinstance(watcher, JsonWatcher):
        networks = run.pareto()
        within = sum(network["within_budget"] for network in networks)
        watcher.tell("end", report=str(run.path / "report.html"), networks=len(networks), within_budget=within)
    else:
        say(str(run.path / "report.html"))


def run_export(options: argparse.Namespace) -> None:
    """``hwnas export``."""
    from hwnas._runs._delivered import described
    from hwnas._runs._entries import read_network
    from hwnas._runs._front import pick_network
    from hwnas._runs._run import Run

    run = Run.open(Path(options.run))
    budgets = run.settings.budgets
    network = pick_network(run.pareto(), options.pick, budgets, allow_over_budget=options.allow_over_budget)
    if network["onnx"] is None:
        name, _, table = run.settings.evaluator.partition(":")
        why = "its values came from a table" if table else f"evaluator {name} has no weights"
        raise HwnasError(f"{options.run} has no ONNX files: {why}")
    target = write_file(options.output, f"{network['id']}.onnx", read_network(run.path, network))
    say(f"{target}: {described(network, budgets)}")


def run_runs(options: argparse.Namespace) -> None:
    """``hwnas runs``."""
    from hwnas._cli._listing import run_lines
    from hwnas._runs._list import find_runs

    found = find_runs(Path(options.folder))
    if options.json:
        say_json([info.as_dict() for info in found])
        return
    for line in run_lines(found, options.folder):
        say(line)


def run_compare(options: argparse.Namespace) -> None:
    """``hwnas compare``."""
    from hwnas._report import write_comparison
    from hwnas._runs._compare import compare_runs, table_lines

    found = compare_runs([Path(name) for name in options.runs])
    if options.output:
        write_comparison(found, Path(options.output))
    if options.json:
        say_json(found.as_dict())
        return
    for line in [*table_lines(found), *([options.output] if options.output else [])]:
        say(line)


def run_predict(options: argparse.Namespace) -> None:
    """``hwnas predict``."""
    from hwnas._tables._fit import written_price
    from hwnas._tables._validate import batch_of, space_of
    from latency_tables import GOOD, load_table
    from profilers import graph_macs, graph_params, peak_memory_bytes

    table = load_table(Path(options.table))
    space = space_of(table)
    arch = space.parse(options.arch)
    graph, batch = space.graph(arch), batch_of(table)
    price = written_price(table, space, arch)
    found: dict[str, Any] = {
        "arch": space.format(arch),
        "latency_ms": {"predicted": price.value_ms, "low": price.low_ms, "high": price.high_ms},
        "macs": graph_macs(graph),
        "params": graph_params(graph),
        "peak_memory_bytes": peak_memory_bytes(graph, batch=batch),
        "table": {"quality": table.grade.level, "reasons": list(table.grade.reasons)},
    }
    if options.json:
        say_json(found)
        return
    interval = f" (90 % interval {price.low_ms:.4g}-{price.high_ms:.4g} ms)" if price.low_ms and price.high_ms else ""
    device = table.identity.get("device", "an unnamed device")
    setting = f"{device}, {table.identity.get('threads', 1)} thread(s), batch {batch}"
    say(f"latency {price.value_ms:.4g} ms{interval} on {setting}")
    say(f"{found['macs']:,} MACs, {found['params']:,} parameters, {found['peak_memory_bytes']:,} bytes of activations")
    if table.grade.level != GOOD:
        say(f"warning: {table.grade.line()}")


def run_validate(options: argparse.Namespace) -> None:
    """``hwnas validate``."""
    from hwnas._tables._build import require_drawing
    from hwnas._tables._validate import validate_table, validation_record
    from latency_tables import load_table

    require_drawing(options.networks, options.seed)
    table = load_table(Path(options.table))
    found = validate_table(
        table, device=options.device, networks=options.networks, seed=options.seed, progress=progress_lines()
    )
    if options.json:
        say_json(validation_record(found))
        return
    for line in found.report_lines():
        say(line)


def run_verify(options: argparse.Namespace) -> None:
    """``hwnas verify``: leaves with exit code 1 where the table does not hold."""
    from hwnas._tables._validate import backend_of, space_of
    from hwnas._tables._verify import verify_table
    from latency_tables import load_table

    table = load_table(Path(options.table))
    space = space_of(table)
    progress = progress_lines()
    backend = backend_of(table, space, options.device, progress)
    for warning in table.environment_changes(backend.environment()):
        say(f"warning: {warning}")
    say(table.grade.line())
    checks = verify_table(table, space, backend, seed=options.seed, progress=progress)
    for check in checks:
        change = check.measured_ms / check.table_ms - 1 if check.table_ms else 0.0
        verdict = "ok" if check.holds else "MOVED"
        say(f"{verdict:5s} {check.name}: {check.table_ms:.4g} ms then, {check.measured_ms:.4g} ms now ({change:+.1%})")
    moved = sum(not check.holds for check in checks)
    if moved:
        say(f"{options.table} does not hold here: {moved} of {len(checks)} moved; run `hwnas profile --force`")
        raise SystemExit(1)
    say(f"{options.table} holds here")


def run_merge(options: argparse.Namespace) -> None:
    """``hwnas merge``."""
    from functools import reduce

    from latency_tables import GOOD, load_table, merge_tables

    merged = reduce(merge_tables, [load_table(Path(name)) for name in options.tables])
    save(merged, options.output)
    say(f"{len(merged.entries)} prices and {len(merged.networks)} networks in {options.output}")
    if merged.grade.level != GOOD:
        say(f"warning: {merged.grade.line()}")


def run_table(options: argparse.Namespace) -> None:
    """``hwnas table show``."""
    from hwnas._tables._validate import show_table
    from latency_tables import load_table

    for line in show_table(load_table(Path(options.table))):
        say(line)


def run_devices(options: argparse.Namespace) -> None:
    """``hwnas devices``."""
    from hwnas._devices._make import list_devices

    for info in list_devices():
        say(f"{info.name:8s} {info.description}" + ("" if info.usable else f" - not usable: {info.hint}"))


def run_plugins(options: argparse.Namespace) -> None:
    """``hwnas plugins``."""
    from hwnas._common._plugins import plugin_lines
    from hwnas.evaluators import evaluator_names
    from hwnas.spaces import space_names
    from hwnas.tasks import task_names
    from search import STRATEGIES

    own = {"space": space_names(), "task": task_names(), "strategy": STRATEGIES, "evaluator": evaluator_names()}
    for line in plugin_lines({**own, "device": ["cpu", "cuda", "cuda:N", "ssh://"]}):
        say(line)


def run_doctor(options: argparse.Namespace) -> None:
    """``hwnas doctor``."""
    from dataclasses import asdict

    from hwnas._devices._doctor import examine

    found = examine()
    if options.json:
        say_json([asdict(finding) for finding in found])
        return
    for finding in found:
        say(f"{finding.status:8s} {finding.check}: {finding.text}" + (f" -> {finding.fix}" if finding.fix else ""))
    warnings = sum(finding.status == "warning" for finding in found)
    say(f"{warnings} of {len(found)} findings spoil measurements" if warnings else "nothing spoils measurements here")
