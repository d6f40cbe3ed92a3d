"""Augmentation of whole batches on the device they are on, without a loop over images.

Everything random is drawn from a NumPy generator, so that a batch is the same, bit for bit, wherever it is made again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as f


def cutout(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Set a square of every normalised image ``(N, C, H, W)`` to 0, the mean of the train images.

    The square's centre is uniform over the image, so that part of the square may lie outside (DeVries and Taylor 2017,
    arXiv 1708.04552, section 3.2).

    Args:
        x: Images.
        rng: Source of the centres.
        share: Side of the square as a share of the image's; 0 leaves the images as they are.
    """
    count, _, height, width = x.shape
    rows, columns = (
        torch.from_numpy(_covered(rng, count, extent, round(share * extent))).to(x.device) for extent in (height, width)
    )
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def _covered(rng: np.random.Generator, count: int, extent: int, side: int) -> npt.NDArray[np.bool_]:
    """Return for each image the rows (or columns) that the square covers, ``(count, extent)``."""
    first = rng.integers(0, extent, size=(count, 1)) - side // 2
    places = np.arange(extent)[None]
    return np.asarray((places >= first) & (places < first + side), dtype=np.bool_)


def mixup(x: Tensor, labels: Tensor, rng: np.random.Generator, *, alpha: float, classes: int) -> tuple[Tensor, Tensor]:
    """Blend every image with another of its batch, and the labels in the same proportion.

    ``x = t x_i + (1 - t) x_j``, ``y = t y_i + (1 - t) y_j`` with one t ~ Beta(alpha, alpha) a batch and j a permutation
    of it (Zhang et al. 2018, arXiv 1710.09412, section 2).

    Args:
        x: Images ``(N, C, H, W)``.
        labels: Class indices ``(N,)``.
        rng: Source of t and the permutation.
        alpha: Shape of the beta distribution, positive.
        classes: Number of classes.

    Returns:
        Blended images and class probabilities ``(N, classes)``.
    """
    t = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    y = f.one_hot(labels, classes).to(x.dtype)
    return t * x + (1 - t) * x[other], t * y + (1 - t) * y[other]
