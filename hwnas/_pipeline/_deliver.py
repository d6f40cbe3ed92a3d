"""The hand-over: ONNX files of the winners, measured again on the device and tested as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._costs._space_costs import COSTS, SpaceCosts
from hwnas._errors import RunError
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner
from hwnas._runs._agreement import doubt
from hwnas._runs._delivered import FINAL, judge, remarks, written_ms, written_test
from hwnas._runs._entries import digest_of
from hwnas._runs._metrics import METRIC, SCORE, SCORE_METRIC, key_of, metric_of, value_of
from hwnas._runs._settings import OBJECTIVES
from hwnas._runs._watch import Progress
from hwnas.spaces import Space
from hwnas.tasks import DEFAULT_METRIC, Metric, Part, Task, metric_named
from profilers import (
    EnergyUnavailableError,
    Runnable,
    Sampler,
    SampleSet,
    SamplingSettings,
    energy_mj,
    relative_half_width,
)

VERIFICATION = SamplingSettings(min_rounds=30, max_rounds=90, inner_seconds=1e-3)
"""Sampling of the winners: longer than in a profile, since they are few."""


def hand_over(setup: SearchSetup, winners: Sequence[Winner], progress: Progress) -> list[dict[str, Any]]:
    """Export, measure and test the winners, and write ``pareto.json``, with what they keep of the budgets.

    Args:
        setup: of the search; the test part of its data is touched here and nowhere else.
        winners: at most ten, from fast to slow.
        progress: receives lines for people.

    Returns:
        The entries of ``pareto.json``.
    """
    run, task = setup.run, setup.task
    assert task is not None
    folder = run.folder("models")
    files = [export_onnx(folder / f"{winner.id}.onnx", winner, setup) for winner in winners]
    runnables = load_winners(setup, winners, files, progress)
    measured = Sampler(runnables, VERIFICATION).run() if runnables else {}
    energies = measure_energies(setup, runnables, progress)
    arenas = setup.backend.arena_bytes(files) if setup.backend is not None else [None] * len(files)
    entries = []
    for winner, file, arena in zip(winners, files, arenas, strict=True):
        entry = known_costs(winner, setup.space, setup.costs, setup.metric, task.metric)
        entry["latency_ms"] |= _measured_latency(measured.get(str(file)))
        entry["energy_mj"] = energies.get(str(file))
        entry["arena_bytes"] = arena
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
        progress(f"{winner.id}: test {task.metric.name} {written_test(entry)}, {_told(entry['latency_ms'])}")
    write_judged(setup, entries, progress)
    return entries


def write_judged(setup: SearchSetup, entries: Sequence[dict[str, Any]], progress: Progress) -> None:
    """Write ``pareto.json`` with what each network keeps of the budgets and which other one beats it, and say so."""
    settings = setup.run.settings
    judge(entries, settings.budgets, [OBJECTIVES[word] for word in settings.minimize])
    setup.run.write_pareto(entries)
    for line in remarks(entries, settings.budgets):
        progress(line)


def _doubt(entry: Mapping[str, Any], trials: int, finalize: str) -> str | None:
    """Why a network that was not trained any further is not believed to do what it did in the search."""
    samples, searched, tested = entry["images"], value_of(entry, "validation"), value_of(entry, "torch")
    if finalize != "none" or searched is None or tested is None or samples["validation"] is None:
        return None
    return doubt(entry["id"], metric_of(entry), searched, tested, samples["validation"], samples["test"], trials)


def validation_samples(setup: SearchSetup) -> int | None:
    """How many samples the search's values come from; None where its evaluator has them from elsewhere."""
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
    """An entry of ``pareto.json`` with what needs no measurement; the rest is None.

    Without a latency table the predicted latency is the one that the search was told.

    Args:
        winner: the network.
        space: its space.
        costs: of the space's networks.
        searched: the metric that the search saw.
        tested: the metric that networks are tested by.
    """
    codes = space.encode(winner.arch)[None]
    latency: dict[str, float | None] = {"predicted": winner.values.get("latency_ms"), "low": None, "high": None}
    if costs.table is not None:
        price = costs.table.calibrated_price(float(costs.unfitted_ms(codes)[0]))
        prices = {"predicted": price.value_ms, "low": price.low_ms, "high": price.high_ms}
        latency = {name: None if value is None else _rounded(value) for name, value in prices.items()}
    return {
        "id": winner.id,
        "trial": winner.trial,
        "arch": space.format(winner.arch),
        **({} if tested == DEFAULT_METRIC else {METRIC: tested.as_dict()}),
        key_of(tested, "test"): None,
        key_of(tested, "validation"): winner.values.get(tested.name) if searched == tested else None,
        **({} if searched == tested else _score(winner, searched)),
        "latency_ms": {**latency, "measured": None},
        "macs": int(costs.macs(codes)[0]),
        "params": int(costs.params(codes)[0]),
        "peak_memory_bytes": int(costs.peak_memory_bytes(codes)[0]),
        "energy_mj": None,
        "arena_bytes": None,
        "onnx": None,
    }


def _score(winner: Winner, metric: Metric) -> dict[str, Any]:
    """What the search saw of a network, where that is another metric than the one it is tested by."""
    score = {name: value for name, value in winner.values.items() if name not in COSTS}
    return {SCORE: score, **({} if metric == metric_named(metric.name) else {SCORE_METRIC: metric.as_dict()})}


def export_onnx(path: Path, winner: Winner, setup: SearchSetup) -> Path:
    """Write the network with its trained weights; the file's metadata say how to prepare samples for it.

    Raises:
        RunError: the file cannot be written, or its network not be quantised.
    """
    from latency_tables import write_atomic
    from profilers import OperatorError, build_onnx

    task, settings = setup.task, setup.run.settings
    assert task is not None
    graph = setup.space.graph(winner.arch)
    metadata = {
        "hwnas.arch": setup.space.format(winner.arch),
        "hwnas.space": json.dumps({"name": setup.space.name, "settings": setup.space.settings}),
        **{f"hwnas.{name}": json.dumps(value) for name, value in task.metadata(graph.input_shape).items()},
    }
    weights = setup.trainer.trained_weights(winner.arch)
    model = build_onnx(graph, weights, batch=settings.batch, metadata=metadata)
    if settings.precision == "int8":
        from hwnas.training import quantized

        try:
            model = quantized(model, task, graph.input_shape)
        except OperatorError as error:
            raise RunError(f"{winner.id} cannot be quantised: {error}; the trials so far are safe") from None
    try:
        write_atomic(path, model.SerializeToString())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; the trials so far are safe") from None
    return path


def load_winners(
    setup: SearchSetup, winners: Sequence[Winner], files: Sequence[Path], progress: Progress
) -> dict[str, Runnable]:
    """The finished networks by file name, ready to be measured; none where their device is not here."""
    if setup.backend is None:
        progress(f"{len(files)} networks written; they are not measured, since their device is not here")
        return {}
    progress(f"measuring {len(files)} networks on {setup.run.settings.device}")
    return {
        str(file): setup.backend.load_trained(
            setup.space.graph(winner.arch), setup.trainer.trained_weights(winner.arch), str(file)
        )
        for winner, file in zip(winners, files, strict=True)
    }


def measure_energies(setup: SearchSetup, runnables: Mapping[str, Runnable], progress: Progress) -> dict[str, float]:
    """Millijoules of one inference by file name; none, and one line that says why, where they cannot be had."""
    if setup.backend is None:
        return {}
    try:
        counter = setup.backend.energy_counter()
        return {name: _rounded(energy_mj(runnable, counter)) for name, runnable in runnables.items()}
    except EnergyUnavailableError as error:
        progress(str(error))
        return {}


def onnx_value(file: Path, task: Task, *, threads: int, part: Part = "test") -> float:
    """The task's metric of an ONNX file on a part of the data, through ONNX Runtime."""
    from hwnas.training import score_onnx

    return score_onnx(file, task, part, threads=threads)


def _measured_latency(samples: SampleSet | None) -> dict[str, float | None]:
    """What was measured of one network, in milliseconds."""
    if samples is None:
        return {"measured": None}
    value = samples.quantile() * 1e3
    half_width = relative_half_width(samples.seconds, np.random.default_rng(0)) * value
    return {"measured": _rounded(value), "measured_half_width": _rounded(half_width)}


def _told(latency: Mapping[str, Any]) -> str:
    """Latencies for people."""
    text = f"predicted {latency['predicted']:.4g} ms"
    if latency["measured"] is None:
        return text
    return f"{text}, measured {written_ms(latency['measured'], latency['measured_half_width'])}"


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
