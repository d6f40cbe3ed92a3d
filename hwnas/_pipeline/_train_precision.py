"""In which number format a search trains: `--train-precision`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hwnas._pipeline._overrides import NO_DATA
from hwnas._runs._record import SETTINGS, read_record
from hwnas._runs._settings import SearchSettings
from hwnas.training import native_precision, usual_precision

_AUTO = "auto"
TRAINS = ("supernet", "train")
"""Evaluators that train with a recipe, and take initial weights."""


def with_train_precision(settings: SearchSettings, out: Path, *, own_evaluator: bool) -> SearchSettings:
    """Return the settings with a number format in the place of ``"auto"``, where something may be trained.

    A run that began goes on in its format, on any machine: earlier versions trained in float32 on a CPU.

    Args:
        settings: What to search for.
        out: The run directory.
        own_evaluator: Whether the evaluator is an object, which has its settings already.

    Raises:
        RunError: The folder holds settings that cannot be read.
    """
    if settings.train_precision != _AUTO or not _may_train(settings, own_evaluator=own_evaluator):
        return settings
    before = _AUTO
    if (out / SETTINGS).exists():
        before = SearchSettings.from_dict(read_record(out)["settings"]).train_precision
    return replace(settings, train_precision=native_precision(training_device(settings)) if before == _AUTO else before)


def recipe_changes(settings: SearchSettings) -> dict[str, str]:
    """Return the number format as a setting of a recipe; nothing where it is the only one that once was."""
    usual = usual_precision(training_device(settings))
    return {} if settings.train_precision in (_AUTO, usual) else {"train_precision": settings.train_precision}


def training_device(settings: SearchSettings) -> str:
    """Return where a search trains: on the GPU that it measures, or on this machine's CPU."""
    return settings.device if settings.device.startswith("cuda") else "cpu"


def _may_train(settings: SearchSettings, *, own_evaluator: bool) -> bool:
    if settings.finalize != "none" or settings.low_fidelity in TRAINS:
        return True
    return settings.data != NO_DATA and not own_evaluator and settings.evaluator in TRAINS
