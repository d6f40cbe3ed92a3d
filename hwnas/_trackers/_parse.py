"""From what ``--track`` says to trackers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from hwnas._errors import HwnasError
from hwnas._runs._watch import Watcher
from hwnas._runs._watchers import Watchers, without_passwords
from hwnas._trackers._base import Tracker
from hwnas._trackers._mlflow import MlflowTracker
from hwnas._trackers._optuna import OptunaTracker
from hwnas._trackers._tensorboard import TensorBoardTracker


def connected_trackers(texts: Sequence[str]) -> list[Tracker]:
    """Return the trackers that ``--track`` asks for, each with its tool in reach.

    Args:
        texts: Each ``"tensorboard"``, ``"mlflow"``, ``"mlflow:URI"`` or ``"optuna:URL"``.

    Raises:
        HwnasError: A text cannot be read, a package is not installed, or a tool cannot be reached.
    """
    trackers = [_tracker(text) for text in texts]
    for text in texts:
        if texts.count(text) > 1:
            raise HwnasError(f"--track {without_passwords(text)} is given twice; leave one out")
    try:
        for tracker in trackers:
            tracker.connect()
    except BaseException:
        Watchers(Watcher(), trackers).close_recorders()
        raise
    return trackers


def _tracker(text: str) -> Tracker:
    tool, colon, place = text.partition(":")
    if text == "tensorboard":
        _require("tensorboard", "tensorboard")
        return TensorBoardTracker()
    if tool == "mlflow" and bool(colon) == bool(place):
        _require("mlflow", "mlflow")
        return MlflowTracker(place or None)
    if tool == "optuna" and place:
        _require("optuna", "optuna")
        return OptunaTracker(place)
    raise HwnasError(
        f"--track must be tensorboard, mlflow, mlflow:URI or optuna:URL (like optuna:sqlite:///study.db), got "
        f"{without_passwords(text)!r}"
    )


def _require(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise HwnasError(f"--track {package} needs {package}, which is not installed: pip install 'hwnas[{extra}]'")
