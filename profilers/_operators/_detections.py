"""Operators of detectors: maps of several sizes as one list of places, and boxes out of what a detector says of each.

The boxes are those of FCOS (Tian et al. 2019, arXiv 1904.01355): each place of each map says class scores, a
centre-ness and the distances to the four sides of its box.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import BatchNorm, Emitter, FloatArray, Primitive, constant_tensors, single_input
from profilers._operators._map_places import (
    BOX_VALUES,
    CLASS_STEP,
    DETECTION_VALUES,
    LARGEST_LOG_DISTANCE,
    levels_of,
    place_boxes,
)

if TYPE_CHECKING:
    import torch


class Join(Primitive):
    """Puts the places of feature maps of several sizes one behind the other: ``(channels, places)``."""

    kind = "join"

    def infer(self, op: Op) -> Shape:
        """Compute ``(channels, sum of all places)``; raise `OperatorError` where channels differ."""
        if not op.inputs or any(len(shape) < 2 for shape in op.inputs) or len({shape[0] for shape in op.inputs}) != 1:
            raise OperatorError(f"op {op.key}: join needs feature maps with equal numbers of channels")
        return (op.inputs[0][0], sum(math.prod(shape[1:]) for shape in op.inputs))

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write a Reshape for each map, then Concat along the places."""
        flat = [
            emit.node("Reshape", [x, emit.integers("shape", [0, shape[0], -1])])
            for x, shape in zip(inputs, op.inputs, strict=True)
        ]
        return emit.node("Concat", flat, axis=2)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Flatten the maps and concatenate them along the places."""
        import torch

        return torch.cat([x.flatten(2) for x in inputs], 2)


class Detections(Primitive):
    """The boxes that a detector finds, after non-maximum suppression: ``(most, 6)``.

    The input ``(classes + 5, places)`` holds for each place the class logits, the logarithms of the distances from its
    centre to the left, upper, right and lower side of the box, in steps of its map, and the centre-ness logit. A score
    is sqrt(class probability x centre-ness), the geometric mean of the later version of FCOS. Of all pairs of place
    and class the ``candidates`` best are decoded; of two boxes of one class whose intersection over union is more than
    ``iou`` percent only the better is kept, and boxes of less than ``score`` percent are dropped.

    A row of the result is x1, y1, x2, y2 as fractions of the image's width and height, the score and the class; rows
    are sorted by score. Rows behind the last detection are zero.

    Attributes of the op: ``levels`` (height and width of each map, one behind the other), ``candidates``, ``iou``,
    ``score``.
    """

    kind = "detections"
    post_processing = True
    float_only = True

    def infer(self, op: Op) -> Shape:
        """Return the stated ``(most, 6)``; raise `OperatorError` where sizes or attributes contradict each other."""
        shape, levels = single_input(op), levels_of(op)
        places = sum(height * width for height, width in levels)
        if len(shape) != 2 or shape[0] <= BOX_VALUES or shape[1] != places:
            raise OperatorError(
                f"op {op.key}: detections needs (classes + {BOX_VALUES}, {places}) numbers for its levels, got {shape}"
            )
        most, candidates = op.output[0], op.integer("candidates")
        pairs = (shape[0] - BOX_VALUES) * places
        if op.output[1:] != (DETECTION_VALUES,) or not 1 <= most <= candidates <= pairs:
            raise OperatorError(
                f"op {op.key}: detections needs an output (most, {DETECTION_VALUES}) with most <= candidates <= {pairs}"
            )
        if not 1 <= op.integer("iou") <= 100 or not 0 <= op.integer("score") <= 100:
            raise OperatorError(f"op {op.key}: iou must be 1 to 100 percent and score 0 to 100")
        return op.output

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write TopK, the boxes, NonMaxSuppression, and TopK of what is left."""
        from profilers._operators._detections_onnx import detections_body

        return emit.splice(detections_body(op), {"raw": inputs[0]}, {}, opset=17, batch=0)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the same, without gradients."""
        import torch

        with torch.no_grad():
            raw = inputs[0].float()
            classes = raw.shape[1] - BOX_VALUES
            scores = (raw[:, :classes].sigmoid() * raw[:, classes + 4 :].sigmoid()).sqrt().flatten(1)
            top, pairs = scores.topk(op.integer("candidates"), dim=1)
            labels = pairs // raw.shape[2]
            places = pairs - labels * raw.shape[2]
            distances = raw[:, classes : classes + 4].clamp(max=LARGEST_LOG_DISTANCE).exp().transpose(1, 2)
            centres, steps = _places(levels_of(op), str(raw.device))
            boxes = (centres + distances * steps).clamp(0.0, 1.0)
            boxes = boxes.gather(1, places[:, :, None].expand(-1, -1, 4))
            apart = boxes + (labels.float() * CLASS_STEP)[:, :, None]
            kept = top * _survivors(apart, top, op.integer("iou") / 100, op.integer("score") / 100, op.output[0])
            score, best = kept.topk(op.output[0], dim=1)
            there = score.sign()[:, :, None]
            boxes = boxes.gather(1, best[:, :, None].expand(-1, -1, 4))
            label = labels.gather(1, best).float()[:, :, None]
            return torch.cat([boxes * there, score[:, :, None], label * there], 2)


@cache  # captured graphs hold their addresses, not them
def _places(levels: tuple[tuple[int, int], ...], device: str) -> tuple[torch.Tensor, ...]:
    return constant_tensors(place_boxes(levels), device)


def _survivors(boxes: torch.Tensor, scores: torch.Tensor, iou: float, least: float, most: int) -> torch.Tensor:
    """Return 1 for each box ``(n, k, 4)`` that greedy suppression keeps, 0 for the others, ``(n, k)``.

    Boxes are sorted by their scores ``(n, k)``, best first; at most `most` are kept.
    """
    import torch

    corner = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    corner = (corner - torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])).clamp(min=0.0)
    shared = corner.prod(3)
    area = (boxes[:, :, 2:] - boxes[:, :, :2]).prod(2)
    union = area[:, :, None] + area[:, None] - shared
    overlaps = (shared > iou * union) & (union > 0) & (area > 0)[:, :, None] & (area > 0)[:, None]
    kept = scores > least
    for i in range(boxes.shape[1]):
        kept[:, i + 1 :] &= ~(overlaps[:, i, i + 1 :] & kept[:, i : i + 1])
    return (kept & (kept.cumsum(1) <= most)).float()
