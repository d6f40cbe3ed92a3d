"""Augmentation of images together with their boxes; everything random comes from a NumPy generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.tasks._options import amounts

LEAST_LEFT = 0.3
"""Boxes of which less than this share is left in the image are no longer to be found."""


def augmented(x: Tensor, boxes: Tensor, rng: np.random.Generator, settings: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mirror, scale and move images with their boxes, and change their brightness and contrast.

    Args:
        x: Normalised images ``(N, C, size, size)``; what lies outside is 0, the mean.
        boxes: ``(N, g, 6)``: x1, y1, x2, y2 as fractions, 1 for a crowd, and the class (-1: no box).
        rng: Source of everything random.
        settings: Values of the task's options: ``flip``, ``zoom``, ``shift``, ``light``.

    Returns:
        Images and boxes; a box that has left the image has the class -1.
    """
    count = len(x)
    zoom, shift, flip, dimming = amounts(settings, "zoom", "shift", "flip", "light")
    scale = np.exp(rng.uniform(-zoom, zoom, count))  # of the part that is seen
    middle = 0.5 + rng.uniform(-shift, shift, (count, 2))
    mirrored = rng.random(count) < (0.5 if flip else 0.0)
    light = rng.uniform(-dimming, dimming, (count, 2))
    direction = np.where(mirrored, -1.0, 1.0)
    seen = _seen(x, scale, middle, direction)
    factor, offset = (torch.from_numpy(a.astype(np.float32)).to(x.device)[:, None, None, None] for a in light.T)
    seen = seen * (1 + factor) + offset
    return seen.contiguous(memory_format=torch.channels_last), _moved(boxes, scale, middle, direction)


def _seen(
    x: Tensor, scale: np.ndarray[Any, Any], middle: np.ndarray[Any, Any], direction: np.ndarray[Any, Any]
) -> Tensor:
    """Return the part of each image around `middle` (fractions) whose side is `scale`, at the image's own size."""
    theta = np.zeros((len(x), 2, 3), dtype=np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = scale * direction, scale
    theta[:, :, 2] = 2 * middle - 1  # grid_sample counts from -1 to 1
    grid = f.affine_grid(torch.from_numpy(theta).to(x.device), list(x.shape), align_corners=False)
    return f.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _moved(
    boxes: Tensor, scale: np.ndarray[Any, Any], middle: np.ndarray[Any, Any], direction: np.ndarray[Any, Any]
) -> Tensor:
    """Return boxes where that part of the image shows them, cut at its edges."""
    zoom = torch.from_numpy(np.stack([scale * direction, scale], 1).astype(np.float32)).to(boxes.device)[:, None]
    centre = torch.from_numpy(middle.astype(np.float32)).to(boxes.device)[:, None]
    corners = [(boxes[..., side : side + 2] - centre) / zoom + 0.5 for side in (0, 2)]
    low, high = corners[0].minimum(corners[1]), corners[0].maximum(corners[1])
    whole = (high - low).prod(-1)
    low, high = low.clamp(0, 1), high.clamp(0, 1)
    left = (high - low).prod(-1)
    there = left > LEAST_LEFT * whole
    label = torch.where(there, boxes[..., 5], -1.0)
    return torch.cat([low, high, boxes[..., 4:5], label[..., None]], -1)
