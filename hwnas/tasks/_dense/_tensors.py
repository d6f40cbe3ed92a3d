"""Maps as tensors: inputs, augmentation that moves the targets along, and losses. Needs torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import IGNORED, DenseData
from hwnas.tasks._moves import moved_images
from hwnas.tasks._options import amounts

_TINY = 1e-12


def prepare(data: DenseData, inputs: npt.NDArray[Any], device: str = "cpu") -> Tensor:
    """Return network inputs: scaled to 0-1 where they are pixels, normalised by the train part's moments.

    Args:
        data: Gives the moments.
        inputs: ``(N, C, ...)``, uint8 or float32.
        device: Where to compute.

    Returns:
        ``(N, C, ...)`` float32; images are channels last in memory.
    """
    x = torch.from_numpy(np.ascontiguousarray(inputs)).to(device).float() / data.scale
    mean, deviation = (channelwise(moments, x) for moments in data.input_moments)
    return in_memory_order((x - mean) / deviation)


def channelwise(values: Sequence[float], x: Tensor) -> Tensor:
    """Return one value for each channel as a tensor that goes with maps like `x` ``(N, C, ...)``."""
    return torch.tensor(values, dtype=torch.float32, device=x.device).view(-1, *(1,) * (x.ndim - 2))


def in_memory_order(x: Tensor) -> Tensor:
    """Return a contiguous tensor; images ``(N, C, H, W)`` are channels last."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.contiguous()


def augmented(
    x: Tensor, targets: Tensor, rng: np.random.Generator, settings: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return a batch whose maps are moved and mirrored together with the inputs.

    Args:
        x: Inputs ``(N, C, ...)``.
        targets: Class indices ``(N, ...)`` or values ``(N, C_out, ...)``.
        rng: Source of everything random.
        settings: Values of the task's options.
    """
    shift, flip = amounts(settings, "shift", "flip")
    if not shift and not flip:
        return x, targets
    maps = targets[:, None] if targets.ndim < x.ndim else targets
    joined = torch.cat([x, maps.to(x.dtype)], dim=1)  # class indices up to 255 are exact in float32
    image = joined[:, :, None] if x.ndim == 3 else joined  # a signal is an image of one row
    moved = moved_images(image, rng, shift=shift, flip=bool(flip)).reshape(joined.shape)
    views, maps = moved[:, : x.shape[1]], moved[:, x.shape[1] :]
    maps = maps[:, 0] if targets.ndim < x.ndim else maps
    return in_memory_order(views), maps.to(targets.dtype)


def segmentation_loss(logits: Tensor, targets: Tensor, dice: float) -> Tensor:
    """Return cross-entropy of labelled pixels, plus `dice` times the Dice loss.

    The Dice loss is 1 minus the mean over classes of ``2 sum(p t) / (sum(p) + sum(t))`` (Milletari et al. 2016, arXiv
    1606.04797, section 3, without squares); classes that the targets lack are left out.

    Args:
        logits: ``(N, classes, ...)``.
        targets: Class indices ``(N, ...)``; 255 does not count.
        dice: Weight of the Dice loss.
    """
    labels = targets.long()
    labelled = labels != IGNORED
    total = f.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    loss = total / labelled.sum().clamp(min=1)
    if not dice:
        return loss
    classes, places = logits.shape[1], (0, *range(2, logits.ndim))
    wanted = f.one_hot(labels.masked_fill(~labelled, 0), classes).movedim(-1, 1) * labelled[:, None]
    chances = logits.softmax(1) * labelled[:, None]
    both, sizes = (chances * wanted).sum(places), (chances + wanted).sum(places)
    present = wanted.sum(places) > 0
    overlap = (2 * both / sizes.clamp(min=_TINY))[present]
    return loss + dice * (1 - overlap.mean()) if len(overlap) else loss


def regression_loss(data: DenseData, maps: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over samples of |y - t| / |t|.

    Args:
        data: Gives the moments that undo the normalisation of the maps.
        maps: Normalised ``(N, C_out, ...)``.
        targets: ``(N, C_out, ...)`` in their own units, which do not matter: squares of very large or small values are
            never taken.
    """
    unit, mean, deviation = _target_scale(data, maps)
    targets = targets / unit
    errors = (maps * deviation + mean - targets).flatten(1).square().sum(1)
    norms = targets.flatten(1).square().sum(1).clamp(min=_TINY)
    return ((errors + _TINY) / norms).sqrt().mean()  # the square root has no gradient at 0


def value_imitation_loss(data: DenseData, maps: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over samples of |y - t|^2 / |t|^2, where t are a teacher's values.

    Values are those of the targets, as in `regression_loss`: relative to normalised values, which are near 0 at
    first, this loss would outweigh that one.

    Args:
        data: Gives the moments that undo the normalisation of the maps.
        maps: Normalised ``(N, C_out, ...)``.
        teacher: The teacher's, likewise.
    """
    _, mean, deviation = _target_scale(data, maps)
    errors = ((maps - teacher) * deviation).flatten(1).square().sum(1)
    return (errors / (teacher * deviation + mean).flatten(1).square().sum(1).clamp(min=_TINY)).mean()


def _target_scale(data: DenseData, maps: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return a unit of the targets' own size, a power of two, and their mean and deviation in it."""
    means, deviations = data.target_moments
    unit = 2.0 ** round(math.log2(math.hypot(*means, *deviations)))
    mean, deviation = (channelwise([value / unit for value in values], maps) for values in (means, deviations))
    return unit, mean, deviation
