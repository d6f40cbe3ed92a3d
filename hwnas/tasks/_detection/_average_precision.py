"""Average precision of boxes as COCO defines it: equal to pycocotools for all areas and up to 100 boxes an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Intersections over union from which a box counts as found."""
_RECALLS = np.linspace(0.0, 1.0, 101)
X1, Y1, X2, Y2, SCORE, LABEL = range(6)
"""Columns of detections; targets have the same, with whether a box is a crowd in place of the score."""
MOST = 100
"""Detections of one class in one image that count."""


@dataclass(frozen=True)
class Matches:
    """The detections of one class in one image, best first.

    Attributes:
        scores: ``(d,)``.
        found: ``(thresholds, d)``, whether a detection has found a box.
        ignored: ``(thresholds, d)``, whether it lies in a crowd and counts neither way.
        boxes: Number of boxes to be found.
    """

    scores: FloatArray
    found: BoolArray
    ignored: BoolArray
    boxes: int


def overlaps(detections: FloatArray, boxes: FloatArray, crowd: BoolArray) -> FloatArray:
    """Return intersections over union ``(d, g)`` of boxes ``(d, 4)`` and ``(g, 4)``.

    In the place of the union stands the area of the detection where a box is a crowd ``(g,)``.
    """
    low = np.maximum(detections[:, None, :2], boxes[None, :, :2])
    high = np.minimum(detections[:, None, 2:4], boxes[None, :, 2:4])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    own, others = ((b[:, 2:4] - b[:, :2]).prod(axis=1) for b in (detections, boxes))
    union = np.where(crowd[None, :], own[:, None], own[:, None] + others[None, :] - shared)
    ious: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ious


def match(detections: FloatArray, boxes: FloatArray, crowd: BoolArray) -> Matches:
    """Give each detection of one class in one image the best box that no better detection has taken.

    Detections beyond the best `MOST` do not count, as in COCO's evaluation.

    Args:
        detections: ``(d, 5)``: corners and score.
        boxes: ``(g, 4)``: corners.
        crowd: ``(g,)``.
    """
    ranked = detections[np.argsort(-detections[:, SCORE], kind="stable")][:MOST]
    order = np.argsort(crowd, kind="stable")  # crowds last: a detection lies in one where it has found no box
    boxes, crowd = boxes[order], crowd[order]
    count, single = len(THRESHOLDS), int((~crowd).sum())
    found = np.zeros((count, len(ranked)), dtype=np.bool_)
    ignored = np.zeros_like(found)
    taken = np.zeros((count, single), dtype=np.bool_)
    rows = np.arange(count)
    for d, ious in enumerate(overlaps(ranked, boxes, crowd)):
        fits = ious[None, :] >= np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
        if single:
            open_ious = np.where(fits[:, :single] & ~taken, ious[None, :single], -1.0)
            best = single - 1 - open_ious[:, ::-1].argmax(axis=1)  # of equal ones the last, as pycocotools does
            found[:, d] = open_ious[rows, best] >= 0
            taken[rows[found[:, d]], best[found[:, d]]] = True
        ignored[:, d] = ~found[:, d] & fits[:, single:].any(axis=1)
    return Matches(ranked[:, SCORE], found, ignored, single)


def average_precision(images: list[Matches]) -> FloatArray | None:
    """Return the average precision of one class at each threshold ``(thresholds,)``; None without boxes to find.

    Precision is made monotone and averaged over 101 recalls.
    """
    boxes = sum(image.boxes for image in images)
    if boxes == 0:
        return None
    scores = np.concatenate([image.scores for image in images])
    order = np.argsort(-scores, kind="stable")
    found = np.concatenate([image.found for image in images], axis=1)[:, order]
    counted = ~np.concatenate([image.ignored for image in images], axis=1)[:, order]
    right = np.cumsum(found & counted, axis=1, dtype=np.float64)
    wrong = np.cumsum(~found & counted, axis=1, dtype=np.float64)
    values = np.zeros(len(THRESHOLDS))
    for t, (tp, fp) in enumerate(zip(right, wrong, strict=True)):
        precision = tp / (tp + fp + np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(tp / boxes, _RECALLS, side="left")
        values[t] = precision[places[places < len(precision)]].sum() / len(_RECALLS)
    return values
