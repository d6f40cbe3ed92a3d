"""Signals in a report: the confusion matrix or predicted values, and some test signals with what a network says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._common._canvas import drawn
from hwnas._common._text import printable
from hwnas.data import SignalData
from hwnas.tasks._base import FloatArray
from hwnas.tasks._confusion import confusion_counts, confusion_matrix
from hwnas.tasks._exhibit import Exhibit
from hwnas.tasks._signal._plots import examples_plot, values_plot

_EXAMPLES = 8
_LONGEST_NAME = 16
Titles = list[tuple[str, bool]]


def class_exhibits(data: SignalData, logits: FloatArray) -> tuple[Exhibit, ...]:
    """Return which classes were taken for which, and some test signals.

    Args:
        data: The signals, with classes.
        logits: What the network says of the test part ``(n, classes)``.
    """
    labels, answers = data.test.targets.astype(np.int64), logits.argmax(1)
    counts = confusion_counts(labels, answers, len(data.classes))
    own = logits[np.arange(len(logits)), labels]
    order = np.argsort(own - logits.max(1), kind="stable")
    order = order[labels[order] != answers[order]]
    _, first = np.unique(labels[order], return_index=True)
    order = np.concatenate([order[np.sort(first)], np.delete(order, first)])  # each of another class at first
    chosen = _chosen(order, np.flatnonzero(labels == answers))
    titles = [_class_title(data, int(labels[i]), int(answers[i]), logits[i]) for i in chosen]
    return confusion_matrix(data.classes, counts, "signals"), _examples(data, chosen, titles)


def value_exhibits(data: SignalData, predictions: npt.NDArray[np.float32]) -> tuple[Exhibit, ...]:
    """Return predicted against true values, and some test signals.

    Args:
        data: The signals, with values.
        predictions: What the network says of the test part ``(n,)``, as the targets are.
    """
    targets = data.test.targets
    order = np.argsort(-np.abs(predictions.astype(np.float64) - targets), kind="stable")
    half = _EXAMPLES // 2
    chosen = _chosen(order[:half], np.sort(order[half:]))
    titles = [(f"{targets[i]:.4g}, predicted {predictions[i]:.4g}", True) for i in chosen]
    picture = drawn("", lambda: values_plot(targets, predictions))
    return Exhibit("Predicted against true values", pictures=picture), _examples(data, chosen, titles)


def _chosen(worst: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> list[int]:
    """Return indices of signals to show: up to half of the worst, then others evenly."""
    first = worst[: _EXAMPLES // 2]
    spread = np.linspace(0, len(others) - 1, _EXAMPLES - len(first)).round().astype(np.int64)
    return [int(index) for index in (*first, *(others[np.unique(spread)] if len(others) else ()))]


def _class_title(data: SignalData, label: int, answer: int, logits: npt.NDArray[Any]) -> tuple[str, bool]:
    """Return the text above a signal, and whether the prediction is right."""
    exact = logits.astype(np.float64)
    chance = float(1 / np.exp(exact - exact.max()).sum())
    name, other = (printable(data.classes[i])[:_LONGEST_NAME] for i in (label, answer))
    return f"{name}, predicted {other} ({chance:.0%})", label == answer


def _examples(data: SignalData, chosen: list[int], titles: Titles) -> Exhibit:
    signals, rate = data.test.signals[chosen], data.loading["rate"]
    note = "The label and the prediction stand above; wrong ones in orange." if data.classes else ""
    return Exhibit("Signals of the test part", note, pictures=drawn("", lambda: examples_plot(signals, titles, rate)))
