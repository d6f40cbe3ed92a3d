"""Delivery: ONNX files of the winners, measured again on the device and tested as they are; then the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._costs._cost import COSTS, cost_named, written_budgets
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import HwnasError
from hwnas._pipeline._export import export_onnx
from hwnas._pipeline._finalize import finalized
from hwnas._pipeline._measure_winners import measure_winners, rounded
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner, pick_winners
from hwnas._runs._agreement import doubt
from hwnas._runs._delivered import judge, remarks, written_ms, written_test
from hwnas._runs._entries import digest_of
from hwnas._runs._watch import TextProgress, every
from hwnas.data import ImageData
from hwnas.spaces import Space
from search import Study

_LINE_S = 10.0
"""Seconds between two lines of progress."""


def deliver(setup: SearchSetup, study: Study, progress: TextProgress) -> None:
    """Train the winners to the end where asked for, export, measure and test them, and write the report.

    Args:
        setup: The search; the test part of its data is used here and nowhere else.
        study: What it found.
        progress: Receives lines for people.

    Raises:
        HwnasError: there is nothing to deliver, or a file cannot be written.
    """
    run, settings = setup.run, setup.run.settings
    winners = pick_winners(study, setup)
    if not winners and study.context().outside:
        raise HwnasError(
            f"no trial so far meets the budgets ({written_budgets(settings.budgets)}); ask for more --samples"
        )
    if not winners:
        raise HwnasError(f"no architecture could be evaluated; see the reasons in {setup.journal.path}")
    if setup.data is None:
        entries = [known_costs(winner, setup.space, setup.costs.space_costs) for winner in winners]
        write_judged(setup, entries, progress)
    else:
        deliver_networks(finalized(setup, winners, progress, every(_LINE_S, progress)), winners, progress)
    from hwnas._report import write_report

    if why := write_report(run, study, setup.space):
        progress(why)
    run.finish(len(study.trials))


def deliver_networks(setup: SearchSetup, winners: Sequence[Winner], progress: TextProgress) -> list[dict[str, Any]]:
    """Export, measure and test the winners, and write ``pareto.json``, with the budgets that they meet.

    Args:
        setup: The search, with an evaluator that holds the finished networks.
        winners: At most ten, from fast to slow.
        progress: Receives lines for people.

    Returns:
        The entries of ``pareto.json``.
    """
    run, data = setup.run, setup.data
    assert data is not None
    folder = run.folder("models")
    files = [export_onnx(folder / f"{winner.id}.onnx", winner, setup) for winner in winners]
    measured = measure_winners(setup, winners, files, progress)
    entries = []
    for winner, file, measurement in zip(winners, files, measured, strict=True):
        entry = known_costs(winner, setup.space, setup.costs.space_costs)
        entry["latency_ms"] |= measurement.latency_ms
        entry["energy_mj"] = measurement.energy_mj
        entry["arena_bytes"] = measurement.arena_bytes
        entry["accuracy"] = onnx_accuracy(file, data, threads=run.settings.threads)
        entry["images"] = {"test": len(data.test), "validation": validation_images(setup)}
        if run.settings.finalize != "none":  # other weights than the search saw: to be chosen by what they can do
            final = onnx_accuracy(file, data, threads=run.settings.threads, part="validation")
            entry["final_validation_accuracy"] = final
            entry["images"]["final_validation"] = len(data.validation)
        entry["torch_accuracy"] = setup.evaluator.test_accuracy(winner.arch)
        if (why := _doubt(entry, len(setup.journal.records), run.settings.finalize)) is not None:
            entry["doubt"] = why
        entry["onnx"], entry["onnx_sha256"] = f"models/{file.name}", digest_of(file.read_bytes())
        entries.append(entry)
        progress(f"{winner.id}: test accuracy {written_test(entry)}, {_latency_text(entry['latency_ms'])}")
    write_judged(setup, entries, progress)
    return entries


def write_judged(setup: SearchSetup, entries: Sequence[dict[str, Any]], progress: TextProgress) -> None:
    """Write ``pareto.json`` with the budgets that each network meets and the one that dominates it, and report both."""
    settings = setup.run.settings
    judge(entries, settings.budgets, [cost_named(word).key for word in settings.minimize])
    setup.run.write_pareto(entries)
    for line in remarks(entries, settings.budgets):
        progress(line)


def _doubt(entry: Mapping[str, Any], trials: int, finalize: str) -> str | None:
    """A warning where a network that was not trained any further does worse or better than in the search."""
    images, searched = entry["images"], entry["validation_accuracy"]
    if finalize != "none" or searched is None or images["validation"] is None:
        return None
    return doubt(entry["id"], searched, entry["torch_accuracy"], images["validation"], images["test"], trials)


def validation_images(setup: SearchSetup) -> int | None:
    """How many images the search's accuracies come from; None where its evaluator has them from elsewhere."""
    data, evaluator = setup.data, setup.run.identity.get("evaluator")
    own = data is not None and isinstance(evaluator, dict) and evaluator.get("data") == data.fingerprint
    return len(data.validation) if data is not None and own else None


def known_costs(winner: Winner, space: Space, costs: SpaceCosts) -> dict[str, Any]:
    """An entry of ``pareto.json`` with what needs no measurement; the rest is None.

    Without a latency table the predicted latency is the one that the search used.
    """
    codes = space.encode(winner.arch)[None]
    graph_costs = [cost for cost in COSTS.values() if cost.of_graph is not None]
    known = {cost.key for cost in COSTS.values()}
    score = {name: value for name, value in winner.values.items() if name not in ("accuracy", *known)}
    latency: dict[str, float | None] = {"predicted": winner.values.get("latency_ms"), "low": None, "high": None}
    if costs.table is not None:
        price = costs.table.corrected_price(float(costs.unfitted_ms(codes)[0]))
        interval = {"predicted": price.value_ms, "low": price.low_ms, "high": price.high_ms}
        latency = {name: None if value is None else rounded(value) for name, value in interval.items()}
    return {
        "id": winner.id,
        "trial": winner.trial,
        "arch": space.format(winner.arch),
        "accuracy": None,
        "validation_accuracy": winner.values.get("accuracy"),
        **({"score": score} if score else {}),
        "latency_ms": {**latency, "measured": None},
        **{cost.key: cost.stored(float(costs.cost(cost.key)(codes)[0])) for cost in graph_costs},
        "energy_mj": None,
        "arena_bytes": None,
        "onnx": None,
    }


def onnx_accuracy(file: Path, data: ImageData, *, threads: int, part: str = "test") -> float:
    """Accuracy of an ONNX file on the test part (or the ``"validation"`` part), through ONNX Runtime."""
    from hwnas.training import evaluate_onnx

    return evaluate_onnx(file, data, data.test if part == "test" else data.validation, threads=threads)


def _latency_text(latency: Mapping[str, Any]) -> str:
    """A network's latency for people."""
    text = f"predicted {latency['predicted']:.4g} ms"
    if latency["measured"] is None:
        return text
    return f"{text}, measured {written_ms(latency['measured'], latency['measured_half_width'])}"
