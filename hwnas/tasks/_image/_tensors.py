"""Augmentation of images. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.data import ImageData
from hwnas.tasks._image._augment import cutout, mixup
from hwnas.tasks._image._randaugment import randaugment
from hwnas.tasks._moves import moved_images
from hwnas.tasks._options import amounts


def augmented(
    x: Tensor, labels: Tensor, rng: np.random.Generator, settings: Mapping[str, Any], data: ImageData
) -> tuple[Tensor, Tensor]:
    """Return a batch as it is trained on.

    Args:
        x: Images ``(N, C, H, W)``.
        labels: Class indices ``(N,)``.
        rng: Source of everything random.
        settings: Values of the task's options.
        data: Gives the classes, and mean and deviation of the pixels.

    Returns:
        Images, and class indices, or class probabilities ``(N, classes)`` where images are blended.
    """
    shift, flip = amounts(settings, "shift", "flip")
    x = moved_images(x, rng, shift=shift, flip=bool(flip))
    if strength := settings.get("randaugment"):
        mean, std = (torch.tensor(values, device=x.device) for values in (data.mean, data.std))
        x = randaugment(x, rng, strength, black=-mean / std, white=(1 - mean) / std)
    if share := settings.get("cutout"):
        x = cutout(x, rng, share)
    if alpha := settings.get("mixup"):
        x, labels = mixup(x, labels, rng, alpha=alpha, classes=len(data.classes))
    return x.contiguous(memory_format=torch.channels_last), labels
