"""The confusion matrix: which classes a network takes for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwnas.tasks._exhibit import Exhibit

_MOST_CLASSES = 16
"""Most classes of a matrix; of more, the most frequent confusions are listed."""
_PAIRS = 12
Counts = npt.NDArray[np.int64]


def confusion_counts(labels: npt.NDArray[np.integer], answers: npt.NDArray[np.integer], classes: int) -> Counts:
    """Return how often samples of each class (rows) get each answer (columns): ``(classes, classes)``."""
    pairs = labels.astype(np.int64) * classes + answers
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def confusion_matrix(classes: Sequence[str], counts: Counts, samples: str, *, shares: bool = False) -> Exhibit:
    """Return how often each class was taken for which.

    Args:
        classes: Class names.
        counts: Samples by class (rows) and answer (columns).
        samples: What was counted: ``clips``.
        shares: Whether cells hold shares of the class instead of counts.
    """
    if len(classes) > _MOST_CLASSES:
        return _pairs(classes, counts, samples)
    sums = counts.sum(axis=1)
    rows = []
    for i, (name, row) in enumerate(zip(classes, counts, strict=True)):
        if shares:
            rows.append((name, *(f"{value:.1%}" for value in row / max(1, sums[i]))))
        else:
            right = f"{row[i] / sums[i]:.1%}" if sums[i] else ""
            rows.append((name, *(str(n) if n else "" for n in row), right))
    head = ("class", *classes) if shares else ("class", *classes, "right")
    cells = f"shares of its {samples}" if shares else f"numbers of {samples}"
    note = f"Rows are classes, columns the network's answers; cells hold {cells}."
    return Exhibit("Confusion matrix", note, (head, *rows))


def _pairs(classes: Sequence[str], counts: Counts, samples: str) -> Exhibit:
    """Return the most frequent confusions."""
    wrong = counts * (1 - np.eye(len(classes), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    places = zip(*np.unravel_index(order, wrong.shape), strict=True)
    rows = [(classes[a], classes[b], str(wrong[a, b]), str(counts[a].sum())) for a, b in places if wrong[a, b]]
    head = ("class", "taken for", samples, f"{samples} of the class")
    return Exhibit("Most frequent confusions", "" if rows else "There are none.", (head, *rows))
