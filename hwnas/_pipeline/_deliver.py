"""Delivery: ONNX files of the winners, measured again on the device and tested as they are; then the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._costs._cost import cost_named
from hwnas._deploy import deliver_folder
from hwnas._errors import HwnasError
from hwnas._pipeline._arena import binds_arena
from hwnas._pipeline._choose import Chosen, choose_winners
from hwnas._pipeline._exhibit import exhibit
from hwnas._pipeline._expected import expected_entry
from hwnas._pipeline._export import export_onnx
from hwnas._pipeline._finalize import finalized
from hwnas._pipeline._known import known_costs
from hwnas._pipeline._measure_winners import Measurement, measure_winners
from hwnas._pipeline._original import add_original_values, add_speed_ups, original_of
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Candidates, Winner, find_candidates, nearest_outside
from hwnas._runs._agreement import agreement, doubt, statistic_of
from hwnas._runs._delivered import BESIDE, FINAL, SPEED_UP, judge, remarks, written_ms, written_test
from hwnas._runs._entries import digest_of
from hwnas._runs._metrics import Source, key_of, metric_of, value_of
from hwnas._runs._run import ORIGINAL
from hwnas._runs._watch import every
from hwnas._tables._references import machine_of
from hwnas.tasks import Part, Task
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
    run = setup.run
    chosen = choose_winners(setup, _candidates(setup, study), progress)
    if setup.task is None:
        deliver_entries(setup, chosen, progress)
    else:
        deliver_networks(finalized(setup, chosen.winners, progress, every(_LINE_S, progress)), chosen, progress)
    deliver_folder(run, progress)
    exhibit(setup, progress)
    from hwnas._report import write_report

    if why := write_report(run, study, setup.space):
        progress(why)
    run.finish(len(study.trials))


def _candidates(setup: SearchSetup, study: Study) -> Candidates:
    """Return the networks that may be delivered.

    Raises:
        HwnasError: There are none.
    """
    candidates = find_candidates(study, setup)
    if not candidates.first and study.context().outside:
        candidates = nearest_outside(study, setup)
    if not candidates.first:
        raise HwnasError(f"no architecture could be evaluated; see the reasons in {setup.journal.path}")
    return candidates


def deliver_entries(setup: SearchSetup, chosen: Chosen, progress: TextProgress) -> list[dict[str, Any]]:
    """Measure winners that nothing was trained for, and write ``pareto.json``.

    Args:
        setup: The search.
        chosen: The networks.
        progress: Receives progress lines.

    Returns:
        The entries of ``pareto.json``.
    """
    measured = measure_winners(setup, chosen.winners, None, chosen.first, progress)
    entries = []
    for winner, measurement in zip(chosen.winners, measured, strict=True):
        entry = known_costs(winner, setup.space, setup.costs.space_costs, setup.metric, setup.network_metric)
        _add_measured(setup, entry, measurement)
        entries.append(entry)
        if setup.measures:
            progress(f"{winner.id}: {_latency_text(entry)}")
    write_judged(setup, entries, progress)
    return entries


def _add_measured(setup: SearchSetup, entry: dict[str, Any], measurement: Measurement) -> None:
    """Write what was measured of a network into its entry."""
    entry["latency_ms"] |= measurement.latency_ms
    if measurement.latency_ms["measured"] is None:
        entry["latency_ms"] |= expected_entry(setup, entry["latency_ms"])
    entry["energy_mj"], entry["arena_bytes"] = measurement.energy_mj, measurement.arena_bytes
    if binds_arena(setup.run.settings):
        entry["memory_statistic"] = setup.run.settings.memory_statistic


def deliver_networks(setup: SearchSetup, chosen: Chosen, progress: TextProgress) -> list[dict[str, Any]]:
    """Export, measure and test the winners, and write ``pareto.json``, with the budgets that they meet.

    Args:
        setup: The search, with an evaluator that holds the finished networks.
        chosen: At most ten networks, from fast to slow.
        progress: Receives progress lines.

    Returns:
        The entries of ``pareto.json``.
    """
    winners = chosen.winners
    folder, delivered = setup.run.folder("models"), [*winners, *original_of(setup)]
    files = [export_onnx(folder / f"{winner.id}.onnx", winner, setup) for winner in delivered]
    measured = measure_winners(setup, delivered, files, chosen.first, progress)
    entries = []
    for winner, file, measurement in zip(delivered, files, measured, strict=True):
        entry = _tested(setup, winner, file, measurement)
        if winner.name == ORIGINAL:
            add_original_values(setup, entry, file)
        else:
            _add_trained_values(setup, entry, winner, file)
        entries.append(entry)
    entries, beside = entries[: len(winners)], entries[len(winners) :]
    for original in beside:
        add_speed_ups(entries, original)
    for entry in [*entries, *beside]:
        progress(f"{entry['id']}: test {setup.network_metric.text} {written_test(entry)}, {_latency_text(entry)}")
    write_judged(setup, entries, progress, beside)
    return entries


def _tested(setup: SearchSetup, winner: Winner, file: Path, measurement: Measurement) -> dict[str, Any]:
    """Return the entry of a network with its costs, what was measured of it, and its metric on the test part."""
    from hwnas.training import judge_onnx

    task, metric = setup.task, setup.network_metric
    assert task is not None
    entry = known_costs(winner, setup.space, setup.costs.space_costs, setup.metric, metric)
    _add_measured(setup, entry, measurement)
    scorer = judge_onnx(file, task, "test", threads=setup.run.settings.threads)
    entry[key_of(metric, "test")] = scorer.value()
    if others := dict(scorer.others()):
        entry[BESIDE] = others
    entry["images"] = {"test": task.size("test"), "validation": validation_samples(setup)}
    entry["onnx"], entry["onnx_sha256"] = f"models/{file.name}", digest_of(file.read_bytes())
    return entry


def _add_trained_values(setup: SearchSetup, entry: dict[str, Any], winner: Winner, file: Path) -> None:
    """Write into a network's entry what its weights do in torch and, after a final training, on the validation part."""
    task, settings, metric = setup.task, setup.run.settings, setup.network_metric
    assert task is not None
    if settings.finalize != "none":  # other weights than the search saw: to be chosen by what they can do
        entry[key_of(metric, FINAL)] = onnx_value(file, task, threads=settings.threads, part="validation")
        entry["images"][FINAL] = task.size("validation")
    entry[key_of(metric, "torch")] = setup.trainer.test_value(winner.arch)
    if (why := _doubt(entry, len(setup.journal.records), settings.finalize)) is not None:
        entry["doubt"] = why


def write_judged(
    setup: SearchSetup, entries: Sequence[dict[str, Any]], progress: TextProgress, beside: Sequence[dict[str, Any]] = ()
) -> None:
    """Write ``pareto.json`` with the budgets that each network meets and the one that dominates it, and report both.

    Args:
        setup: The search.
        entries: The networks.
        progress: Receives lines for people.
        beside: Networks that are shown beside them and judged by themselves: the original model.
    """
    settings = setup.run.settings
    costs = [cost_named(word).key for word in settings.minimize]
    judge(entries, settings.budgets, costs)
    judge(beside, settings.budgets, costs)
    setup.run.write_pareto([*entries, *beside])
    for line in remarks(entries, settings.budgets):
        progress(line)
    if (agreed := agreement(entries, machine_of(settings.device))) is not None:
        progress(agreed)


def _doubt(entry: Mapping[str, Any], trials: int, finalize: str) -> str | None:
    """Return a warning where a network that was not trained any further does worse or better than in the search."""
    shipped: Source = "torch" if metric_of(entry).precision is None else "test"  # what the search saw, on other samples
    samples, searched, tested = entry["images"], value_of(entry, "validation"), value_of(entry, shipped)
    if finalize != "none" or searched is None or tested is None or samples["validation"] is None:
        return None
    return doubt(entry["id"], metric_of(entry), searched, tested, samples["validation"], samples["test"], trials)


def validation_samples(setup: SearchSetup) -> int | None:
    """Return how many samples the search's values come from; None where its evaluator has them from elsewhere."""
    task, evaluator = setup.task, setup.run.identity.get("evaluator")
    own = task is not None and isinstance(evaluator, dict) and evaluator.get("data") == task.fingerprint
    return task.size("validation") if task is not None and own else None


def onnx_value(file: Path, task: Task, *, threads: int, part: Part = "test") -> float:
    """Return the task's metric of an ONNX file on a part of the data, through ONNX Runtime."""
    from hwnas.training import score_onnx

    return score_onnx(file, task, part, threads=threads)


def _latency_text(entry: Mapping[str, Any]) -> str:
    """Return a network's latency for people."""
    latency = entry["latency_ms"]
    text = f"predicted {latency['predicted']:.4g} ms (q10)"
    if latency["measured"] is None:
        return text
    measured = written_ms(latency["measured"], latency.get("measured_half_width"))
    speed_up = f", {entry[SPEED_UP]:.3g} times as fast as the original" if SPEED_UP in entry else ""
    return f"{text}, measured {measured} ({statistic_of(latency)}){speed_up}"
