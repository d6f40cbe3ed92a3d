"""Delivery: ONNX files of the winners, measured again on the device and tested as they are; then the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._costs._cost import COSTS, cost_named, written_budgets
from hwnas._costs._space_costs import SpaceCosts
from hwnas._deploy import deliver_folder
from hwnas._errors import HwnasError
from hwnas._pipeline._export import export_onnx
from hwnas._pipeline._finalize import finalized
from hwnas._pipeline._measure_winners import measure_winners, rounded
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner, pick_winners
from hwnas._runs._agreement import agreement, doubt
from hwnas._runs._delivered import FINAL, judge, remarks, written_ms, written_test
from hwnas._runs._entries import digest_of
from hwnas._runs._metrics import METRIC, SCORE, SCORE_METRIC, key_of, metric_of, value_of
from hwnas._runs._watch import every
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric, Part, Task, metric_named
from profilers import TextProgress
from search import Study

_LINE_S = 10.0
"""Seconds between two lines of progress."""


def deliver(setup: SearchSetup, study: Study, progress: TextProgress) -> None:
    """Train the winners to the end where requested, export, measure and test them, and write the report.

    Args:
        setup: The search; the test part of its data is used here and nowhere else.
        study: What it found.
        progress: Receives progress lines.

    Raises:
        HwnasError: There is nothing to deliver, or a file cannot be written.
    """
    run, settings = setup.run, setup.run.settings
    winners = pick_winners(study, setup)
    if not winners and study.context().outside:
        raise HwnasError(f"no trial so far meets the budgets ({written_budgets(settings.budgets)}); increase --samples")
    if not winners:
        raise HwnasError(f"no architecture could be evaluated; see the reasons in {setup.journal.path}")
    if setup.task is None:
        costs, metrics = setup.costs.space_costs, (setup.metric, setup.network_metric)
        entries = [known_costs(winner, setup.space, costs, *metrics) for winner in winners]
        write_judged(setup, entries, progress)
    else:
        deliver_networks(finalized(setup, winners, progress, every(_LINE_S, progress)), winners, progress)
    deliver_folder(run, progress)
    from hwnas._report import write_report

    if why := write_report(run, study, setup.space):
        progress(why)
    run.finish(len(study.trials))


def deliver_networks(setup: SearchSetup, winners: Sequence[Winner], progress: TextProgress) -> list[dict[str, Any]]:
    """Export, measure and test the winners, and write ``pareto.json``, with the budgets that they meet.

    Args:
        setup: The search, with an evaluator that holds the finished networks.
        winners: At most ten, from fast to slow.
        progress: Receives progress lines.

    Returns:
        The entries of ``pareto.json``.
    """
    run, task = setup.run, setup.task
    assert task is not None
    folder = run.folder("models")
    files = [export_onnx(folder / f"{winner.id}.onnx", winner, setup) for winner in winners]
    measured = measure_winners(setup, winners, files, progress)
    entries = []
    for winner, file, measurement in zip(winners, files, measured, strict=True):
        entry = known_costs(winner, setup.space, setup.costs.space_costs, setup.metric, task.metric)
        entry["latency_ms"] |= measurement.latency_ms
        entry["energy_mj"] = measurement.energy_mj
        entry["arena_bytes"] = measurement.arena_bytes
        metric, threads = task.metric, run.settings.threads
        entry[key_of(metric, "test")] = onnx_value(file, task, threads=threads)
        entry["images"] = {"test": task.size("test"), "validation": validation_samples(setup)}
        if run.settings.finalize != "none":  # other weights than the search saw: to be chosen by what they can do
            entry[key_of(metric, FINAL)] = onnx_value(file, task, threads=threads, part="validation")
            entry["images"][FINAL] = task.size("validation")
        entry[key_of(metric, "torch")] = setup.trainer.test_value(winner.arch)
        if (why := _doubt(entry, len(setup.journal.records), run.settings.finalize)) is not None:
            entry["doubt"] = why
        entry["onnx"], entry["onnx_sha256"] = f"models/{file.name}", digest_of(file.read_bytes())
        entries.append(entry)
        progress(f"{winner.id}: test {task.metric.name} {written_test(entry)}, {_latency_text(entry['latency_ms'])}")
    write_judged(setup, entries, progress)
    return entries


def write_judged(setup: SearchSetup, entries: Sequence[dict[str, Any]], progress: TextProgress) -> None:
    """Write ``pareto.json`` with the budgets that each network meets and the one that dominates it, and report both."""
    settings = setup.run.settings
    judge(entries, settings.budgets, [cost_named(word).key for word in settings.minimize])
    setup.run.write_pareto(entries)
    for line in remarks(entries, settings.budgets):
        progress(line)
    if (agreed := agreement(entries)) is not None:
        progress(agreed)


def _doubt(entry: Mapping[str, Any], trials: int, finalize: str) -> str | None:
    """Return a warning where a network that was not trained any further does worse or better than in the search."""
    samples, searched, tested = entry["images"], value_of(entry, "validation"), value_of(entry, "torch")
    if finalize != "none" or searched is None or tested is None or samples["validation"] is None:
        return None
    return doubt(entry["id"], metric_of(entry), searched, tested, samples["validation"], samples["test"], trials)


def validation_samples(setup: SearchSetup) -> int | None:
    """Return how many samples the search's values come from; None where its evaluator has them from elsewhere."""
    task, evaluator = setup.task, setup.run.identity.get("evaluator")
    own = task is not None and isinstance(evaluator, dict) and evaluator.get("data") == task.fingerprint
    return task.size("validation") if task is not None and own else None


def known_costs(
    winner: Winner,
    space: Space,
    costs: SpaceCosts,
    searched: Metric = DEFAULT_METRIC,
    tested: Metric = DEFAULT_METRIC,
) -> dict[str, Any]:
    """Return an entry of ``pareto.json`` with what needs no measurement; the rest is None.

    Without a latency table the predicted latency is the one that the search used.

    Args:
        winner: The network.
        space: Its space.
        costs: Costs of the space's networks.
        searched: The metric that the search saw.
        tested: The metric that networks are tested by.
    """
    codes = space.encode(winner.arch)[None]
    graph_costs = [cost for cost in COSTS.values() if cost.of_graph is not None]
    latency: dict[str, float | None] = {"predicted": winner.values.get("latency_ms"), "low": None, "high": None}
    if costs.table is not None:
        price = costs.table.corrected_price(float(costs.unfitted_ms(codes)[0]))
        interval = {"predicted": price.value_ms, "low": price.low_ms, "high": price.high_ms}
        latency = {name: None if value is None else rounded(value) for name, value in interval.items()}
    return {
        "id": winner.id,
        "trial": winner.trial,
        "arch": space.format(winner.arch),
        **({} if tested == DEFAULT_METRIC else {METRIC: tested.as_dict()}),
        key_of(tested, "test"): None,
        key_of(tested, "validation"): winner.values.get(tested.name) if searched == tested else None,
        **({} if searched == tested else _score(winner, searched)),
        "latency_ms": {**latency, "measured": None},
        **{cost.key: cost.stored(float(costs.cost(cost.key)(codes)[0])) for cost in graph_costs},
        "energy_mj": None,
        "arena_bytes": None,
        "onnx": None,
    }


def _score(winner: Winner, metric: Metric) -> dict[str, Any]:
    """Return what the search saw of a network, where that is another metric than the one it is tested by."""
    costs = {cost.key for cost in COSTS.values()}
    score = {name: value for name, value in winner.values.items() if name not in costs}
    return {SCORE: score, **({} if metric == metric_named(metric.name) else {SCORE_METRIC: metric.as_dict()})}


def onnx_value(file: Path, task: Task, *, threads: int, part: Part = "test") -> float:
    """Return the task's metric of an ONNX file on a part of the data, through ONNX Runtime."""
    from hwnas.training import score_onnx

    return score_onnx(file, task, part, threads=threads)


def _latency_text(latency: Mapping[str, Any]) -> str:
    """Return a network's latency for people."""
    text = f"predicted {latency['predicted']:.4g} ms"
    if latency["measured"] is None:
        return text
    return f"{text}, measured {written_ms(latency['measured'], latency['measured_half_width'])}"
