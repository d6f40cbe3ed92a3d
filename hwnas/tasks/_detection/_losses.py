"""The loss of FCOS (Tian et al. 2019, arXiv 1904.01355, equation 2), and learning from another detector."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.tasks._detection._places import Levels, assign, levels_of_places
from profilers import BOX_VALUES

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al. 2017, arXiv 1708.02002, equation 5)."""


def detection_loss(raw: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the class, box and centre-ness losses.

    Classes: focal loss, divided by the number of places that should find a box. Boxes: 1 - GIoU (Rezatofighi et al.
    2019, arXiv 1902.09630), weighted by the centre-ness. Centre-ness: binary cross-entropy.

    Args:
        raw: ``(N, classes + 5, places)``, as `profilers.ops.detections` reads it.
        targets: Boxes ``(N, g, 6)``, see `assign`.
    """
    classes = raw.shape[1] - BOX_VALUES
    wanted = assign(levels_of_places(raw.shape[2]), targets)
    there = wanted.labels >= 0
    count = there.sum().clamp(min=1)
    hot = f.one_hot(wanted.labels.clamp(min=0), classes).float() * there[:, :, None]
    class_loss = focal_loss(raw[:, :classes].transpose(1, 2), hot) / count
    logs, logit = raw[:, classes : classes + 4].transpose(1, 2)[there], raw[:, classes + 4][there]
    centred = wanted.centred[there]
    box_loss = ((1 - giou(logs.clamp(max=6.0).exp(), wanted.distances[there])) * centred).sum()
    box_loss = box_loss / centred.sum().clamp(min=1e-6)
    centre_loss = f.binary_cross_entropy_with_logits(logit, centred, reduction="sum") / count
    return class_loss + box_loss + centre_loss


def focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the sum of -alpha (1 - p)^gamma log p, p the probability of what is `wanted` (0 or 1) in each place."""
    chance = logits.sigmoid()
    wrong = wanted * (1 - chance) + (1 - wanted) * chance
    weight = wanted * ALPHA + (1 - wanted) * (1 - ALPHA)
    entropy = f.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (weight * wrong**GAMMA * entropy).sum()


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised intersection over union of boxes around one point, from their distances ``(n, 4)``."""
    inner, outer = a.minimum(b), a.maximum(b)
    shared, hull = _area(inner), _area(outer)
    union = _area(a) + _area(b) - shared
    return shared / union - (hull - union) / hull


def _area(distances: Tensor) -> Tensor:
    return (distances[:, 0] + distances[:, 2]) * (distances[:, 1] + distances[:, 3])


def _resampled(raw: Tensor, given: Levels, wanted: Levels) -> Tensor:
    """Return what a detector says of the places of images of another size; distances are in their steps."""
    classes, parts, first = raw.shape[1] - BOX_VALUES, [], 0
    for (height, width), size in zip(given, wanted, strict=True):
        part = raw[:, :, first : first + height * width].reshape(*raw.shape[:2], height, width)
        part = f.interpolate(part, size, mode="bilinear", align_corners=False)
        shift = torch.zeros(raw.shape[1], device=raw.device)
        shift[classes : classes + 4] = math.log(size[0] / height)
        parts.append((part + shift[:, None, None]).flatten(2))
        first += height * width
    return torch.cat(parts, 2)


def imitation_loss(raw: Tensor, teacher: Tensor) -> Tensor:
    """Return how far a detector is from another on the same images.

    Cross-entropy with the teacher's class probabilities and centre-ness, and squared differences of the logarithms of
    distances, both of the latter weighted by how sure the teacher is that something is there; divided by the sum of
    these weights.

    Args:
        raw: ``(N, classes + 5, places)``.
        teacher: Likewise; maps of another size are resampled.
    """
    classes = raw.shape[1] - BOX_VALUES
    if teacher.shape[2] != raw.shape[2]:
        teacher = _resampled(teacher, levels_of_places(teacher.shape[2]), levels_of_places(raw.shape[2]))
    chance = teacher[:, :classes].sigmoid()
    sure = chance.amax(1)
    class_loss = f.binary_cross_entropy_with_logits(raw[:, :classes], chance, reduction="sum")
    apart = (raw[:, classes : classes + 4] - teacher[:, classes : classes + 4]).square().mean(1)
    centre = f.binary_cross_entropy_with_logits(
        raw[:, classes + 4], teacher[:, classes + 4].sigmoid(), reduction="none"
    )
    return (class_loss + (sure * (apart + centre)).sum()) / sure.sum().clamp(min=1.0)
