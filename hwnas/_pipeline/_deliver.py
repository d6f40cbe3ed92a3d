"""The hand-over: ONNX files of the winners, measured again on the device and tested as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._costs._cost import COSTS, cost_named
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import RunError
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner
from hwnas._runs._agreement import doubt
from hwnas._runs._delivered import judge, remarks, written_ms, written_test
from hwnas._runs._entries import digest_of
from hwnas._runs._watch import Progress
from hwnas.data import ImageData
from hwnas.spaces import Space
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
    run, data = setup.run, setup.data
    assert data is not None
    folder = run.folder("models")
    files = [export_onnx(folder / f"{winner.id}.onnx", winner, setup) for winner in winners]
    runnables = load_winners(setup, winners, files, progress)
    measured = Sampler(runnables, VERIFICATION).run() if runnables else {}
    energies = measure_energies(setup, runnables, progress)
    arenas = setup.backend.arena_bytes(files) if setup.backend is not None else [None] * len(files)
    entries = []
    for winner, file, arena in zip(winners, files, arenas, strict=True):
        entry = known_costs(winner, setup.space, setup.costs)
        entry["latency_ms"] |= _measured_latency(measured.get(str(file)))
        entry["energy_mj"] = energies.get(str(file))
        entry["arena_bytes"] = arena
        entry["accuracy"] = onnx_accuracy(file, data, threads=run.settings.threads)
        entry["images"] = {"test": len(data.test), "validation": validation_images(setup)}
        if run.settings.finalize != "none":  # other weights than the search saw: to be chosen by what they can do
            found = onnx_accuracy(file, data, threads=run.settings.threads, part="validation")
            entry["final_validation_accuracy"] = found
            entry["images"]["final_validation"] = len(data.validation)
        entry["torch_accuracy"] = setup.evaluator.test_accuracy(winner.arch)
        if (why := _doubt(entry, len(setup.journal.records), run.settings.finalize)) is not None:
            entry["doubt"] = why
        entry["onnx"], entry["onnx_sha256"] = f"models/{file.name}", digest_of(file.read_bytes())
        entries.append(entry)
        progress(f"{winner.id}: test accuracy {written_test(entry)}, {_told(entry['latency_ms'])}")
    write_judged(setup, entries, progress)
    return entries


def write_judged(setup: SearchSetup, entries: Sequence[dict[str, Any]], progress: Progress) -> None:
    """Write ``pareto.json`` with what each network keeps of the budgets and which other one beats it, and say so."""
    settings = setup.run.settings
    judge(entries, settings.budgets, [cost_named(word).key for word in settings.minimize])
    setup.run.write_pareto(entries)
    for line in remarks(entries, settings.budgets):
        progress(line)


def _doubt(entry: Mapping[str, Any], trials: int, finalize: str) -> str | None:
    """Why a network that was not trained any further is not believed to do what it did in the search."""
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

    Without a latency table the predicted latency is the one that the search was told.
    """
    codes = space.encode(winner.arch)[None]
    graph_costs = [cost for cost in COSTS.values() if cost.of_graph is not None]
    known = {cost.key for cost in COSTS.values()}
    score = {name: value for name, value in winner.values.items() if name not in ("accuracy", *known)}
    latency: dict[str, float | None] = {"predicted": winner.values.get("latency_ms"), "low": None, "high": None}
    if costs.table is not None:
        price = costs.table.calibrated_price(float(costs.unfitted_ms(codes)[0]))
        found = {"predicted": price.value_ms, "low": price.low_ms, "high": price.high_ms}
        latency = {name: None if value is None else _rounded(value) for name, value in found.items()}
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


def export_onnx(path: Path, winner: Winner, setup: SearchSetup) -> Path:
    """Write the network with its trained weights; the file's metadata say how to prepare images for it.

    Raises:
        RunError: the file cannot be written, or its network not be quantised.
    """
    from latency_tables import write_atomic
    from profilers import OperatorError, build_onnx

    data, settings = setup.data, setup.run.settings
    assert data is not None
    graph = setup.space.graph(winner.arch)
    steps = ["divide pixels by 255", "subtract mean", "divide by std", "resize bilinearly (antialiased) to size"]
    if settings.image_size is not None:
        steps.insert(0, f"scale the shorter side to {settings.image_size} pixels and cut out the centre")
    metadata = {
        "hwnas.arch": setup.space.format(winner.arch),
        "hwnas.space": json.dumps({"name": setup.space.name, "settings": setup.space.settings}),
        "hwnas.preprocessing": json.dumps(
            {"layout": "NCHW", "steps": steps, "size": graph.input_shape[1], "mean": data.mean, "std": data.std}
        ),
        "hwnas.classes": json.dumps(data.classes),
    }
    weights = setup.evaluator.trained_weights(winner.arch)
    model = build_onnx(graph, weights, batch=settings.batch, metadata=metadata)
    if settings.precision == "int8":
        from hwnas.training import quantized

        try:
            model = quantized(model, data, graph.input_shape[1])
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
            setup.space.graph(winner.arch), setup.evaluator.trained_weights(winner.arch), str(file)
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


def onnx_accuracy(file: Path, data: ImageData, *, threads: int, part: str = "test") -> float:
    """Accuracy of an ONNX file on the test part (or the ``"validation"`` part), through ONNX Runtime."""
    from hwnas.training import evaluate_onnx

    return evaluate_onnx(file, data, data.test if part == "test" else data.validation, threads=threads)


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
