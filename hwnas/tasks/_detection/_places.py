"""Which places of a detector's maps should find which box (FCOS: Tian et al. 2019, arXiv 1904.01355, section 3).

Sizes are in steps of the map: a step is one place. FCOS was made for images of 800 pixels; the ranges here are those
of images of 128 to 256.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hwnas.tasks._detection._fit import STRIDES
from profilers import place_boxes

RANGE = 3.0
"""The largest distance from a place to a side of its box, in steps of its map; smaller maps take larger boxes."""
RADIUS = 1.5
"""Places so many steps from a box's centre are trained to find it (centre sampling)."""
Levels = tuple[tuple[int, int], ...]


def levels_of_places(places: int) -> Levels:
    """Return height and width of the maps of square images that have so many places together.

    Raises:
        ValueError: No square image has.
    """
    last = max(STRIDES)
    side = math.isqrt(places // sum((last // stride) ** 2 for stride in STRIDES))
    levels = levels_of_side(side * last)
    if sum(height * width for height, width in levels) != places:
        raise ValueError(f"no square image has {places} places")
    return levels


def levels_of_side(side: int) -> Levels:
    """Return height and width of the maps of an image whose side is a multiple of the largest stride."""
    return tuple((side // stride, side // stride) for stride in STRIDES)


@dataclass(frozen=True)
class Assigned:
    """What places should say.

    Attributes:
        labels: ``(N, places)``: the class, -1 for background.
        distances: ``(N, places, 4)``: distances to the left, upper, right and lower side in steps; 1 for background.
        centred: ``(N, places)``: the centre-ness, sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b)) (equation 3).
    """

    labels: Tensor
    distances: Tensor
    centred: Tensor


def assign(levels: Levels, targets: Tensor) -> Assigned:
    """Find the box of every place.

    A place is trained to find a box if it lies in it, at most `RADIUS` steps from its centre, and the largest of the
    four distances is in the range of its map. Of several boxes it takes the one of the smallest area.

    Args:
        levels: Height and width of each map.
        targets: Boxes ``(N, g, 6)``: x1, y1, x2, y2 as fractions, 1 for a crowd, and the class (-1: no box).
    """
    centres, steps, low, high = (t.to(targets.device) for t in _places(levels))
    boxes = targets[:, None, :, :4]  # (N, 1, g, 4)
    point = centres[None, :, None, :2]
    sides = torch.cat([point - boxes[..., :2], boxes[..., 2:] - point], 3) / steps[None, :, None, :]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = ((point - middle).abs() / steps[None, :, None, :2]).amax(3) <= RADIUS
    largest = sides.amax(3)
    right_size = (largest > low[None, :, None]) & (largest <= high[None, :, None])
    real = (targets[:, :, 5] >= 0) & (targets[:, :, 4] == 0)
    fits = (sides.amin(3) > 0) & near & right_size & real[:, None, :]
    area = (targets[:, :, 2] - targets[:, :, 0]) * (targets[:, :, 3] - targets[:, :, 1])
    best = torch.where(fits, area[:, None, :], math.inf).min(2)
    there = best.values < math.inf
    labels = targets[:, :, 5].long().gather(1, best.indices)
    distances = sides.gather(2, best.indices[:, :, None, None].expand(-1, -1, 1, 4))[:, :, 0]
    distances = torch.where(there[:, :, None], distances, 1.0)
    return Assigned(torch.where(there, labels, -1), distances, _centred(distances))


def _centred(distances: Tensor) -> Tensor:
    pairs = torch.stack([distances[..., :2], distances[..., 2:]], -1)
    return (pairs.amin(-1) / pairs.amax(-1)).prod(-1).sqrt()


@lru_cache(maxsize=32)
def _places(levels: Levels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return centres and steps ``(places, 4)``, and the range of distances ``(places,)`` twice: from and to.

    The range of a map begins where that of the map before it ends; the first has no lower end and the last no upper.
    """
    centres, steps = (torch.from_numpy(array) for array in place_boxes(levels))
    low, high = [], []
    for number, (height, width) in enumerate(levels):
        before = levels[number - 1]
        low.append(np.full(height * width, RANGE * height / before[0] if number else 0.0, dtype=np.float32))
        last = number == len(levels) - 1
        high.append(np.full(height * width, math.inf if last else RANGE, dtype=np.float32))
    return centres, steps.abs(), torch.from_numpy(np.concatenate(low)), torch.from_numpy(np.concatenate(high))
