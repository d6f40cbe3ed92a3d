"""The model that a search started from, delivered beside the networks that it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner
from hwnas._runs._delivered import FINAL, SEARCHED, SPEED_UP, latency_of
from hwnas._runs._metrics import key_of
from hwnas._runs._run import ORIGINAL
from hwnas.evaluators._base import Weights
from hwnas.spaces import DerivedSpace, float_form, without_precision


def original_of(setup: SearchSetup) -> list[Winner]:
    """Return the model of `--model` as a network to deliver; empty where the search started from none."""
    inner = without_precision(setup.space)
    if setup.run.settings.model is None or not isinstance(inner, DerivedSpace):
        return []
    return [Winner(0, float_form(setup.space, inner.largest), {}, ORIGINAL)]


def weights_of(setup: SearchSetup, winner: Winner) -> Weights:
    """Return the weights that a network is delivered with: the original's are those of its file."""
    if winner.name == ORIGINAL:
        assert setup.start.initial is not None
        return dict(setup.start.initial)
    return setup.trainer.trained_weights(winner.arch)


def add_original_values(setup: SearchSetup, entry: dict[str, Any], file: Path) -> None:
    """Write the original's metric on the validation part into its entry: no trial says it."""
    from hwnas.training import score_onnx

    task, settings = setup.task, setup.run.settings
    assert task is not None
    value, samples = score_onnx(file, task, "validation", threads=settings.threads), task.size("validation")
    for source in (SEARCHED, *([FINAL] if settings.finalize != "none" else [])):
        entry[key_of(setup.network_metric, source)] = value
        entry["images"][source] = samples
    del entry["trial"]


def add_speed_ups(entries: Sequence[dict[str, Any]], original: Mapping[str, Any]) -> None:
    """Write into entries how many times as fast as the original they are, where both were measured."""
    if original["latency_ms"]["measured"] is None:
        return
    for entry in entries:
        if entry["latency_ms"]["measured"] is not None:
            entry[SPEED_UP] = float(f"{latency_of(original) / latency_of(entry):.4g}")
