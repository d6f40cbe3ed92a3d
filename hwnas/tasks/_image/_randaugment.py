"""RandAugment in tensors: a random policy over whole batches. Needs torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as f

STRENGTHS = 30
"""The greatest strength, as in the publication's code."""
OPERATIONS = (
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "brightness",
    "contrast",
    "posterize",
    "solarize",
    "identity",
)
_DRAWS = 2
_ANGLE, _SHEAR, _TRANSLATION = np.pi / 6, 0.3, 150 / 331
"""At the greatest strength: a rotation in radians, a shear, and a translation as a share of the image's side."""
_FACTOR, _BITS_LOST = 0.9, 4.0
"""At the greatest strength: change of the factor of brightness and contrast, and bits that posterize takes of 8."""

FloatArray = npt.NDArray[np.float32]


def randaugment(x: Tensor, rng: np.random.Generator, strength: float, black: Tensor, white: Tensor) -> Tensor:
    """Apply two random operations of one strength to every image (Cubuk et al. 2019, arXiv 1909.13719, section 3).

    Each image draws two of `OPERATIONS`, and the direction of those that have two. Operations that change values come
    before those that move pixels, which are one bilinear resampling; an operation that is drawn twice is applied once.
    What comes in from outside is 0, the mean of the train images. The ranges are those of torchvision's `RandAugment`.

    Args:
        x: Normalised images ``(N, C, H, W)``.
        rng: Source of everything random.
        strength: 0 (no change) to `STRENGTHS`.
        black: The value of pixel 0 in each channel, ``(C,)``.
        white: The value of pixel 255 in each channel, ``(C,)``.

    Returns:
        Changed images; `x` stays as it is.
    """
    share = strength / STRENGTHS
    drawn = rng.integers(0, len(OPERATIONS), size=(len(x), _DRAWS))
    applied = (drawn[:, :, None] == np.arange(len(OPERATIONS))).any(axis=1)
    signs = rng.integers(0, 2, size=applied.shape) * 2 - 1
    size = {name: (applied * signs * share)[:, place].astype(np.float32) for place, name in enumerate(OPERATIONS)}
    low, high = black.view(-1, 1, 1), white.view(-1, 1, 1)
    x = x.clone(memory_format=torch.contiguous_format)  # faster here than channels last
    for name, change in (("brightness", _brighter), ("contrast", _more_contrast)):
        if len(rows := np.flatnonzero(size[name])):
            factor = torch.from_numpy(1 + _FACTOR * size[name][rows]).to(x.device)[:, None, None, None]
            x[rows] = change(x[rows], factor, low).clamp(low, high)
    if len(rows := np.flatnonzero(size["posterize"])):
        x[rows] = _posterized(x[rows], 8 - round(_BITS_LOST * share), low, high)
    if len(rows := np.flatnonzero(size["solarize"])):
        images = x[rows]
        x[rows] = torch.where(images > high - share * (high - low), low + high - images, images)
    if len(rows := np.flatnonzero(applied[:, :5].any(axis=1) & (share > 0))):
        theta = torch.from_numpy(_affine({name: size[name][rows] for name in OPERATIONS[:5]})).to(x.device)
        images = x[rows]
        grid = f.affine_grid(theta, list(images.shape), align_corners=False)
        x[rows] = f.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return x


def _brighter(x: Tensor, factor: Tensor, low: Tensor) -> Tensor:
    """Return images blended with black."""
    return low + factor * (x - low)


def _more_contrast(x: Tensor, factor: Tensor, _: Tensor) -> Tensor:
    """Return images blended with their own means of each channel."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return mean + factor * (x - mean)


def _posterized(x: Tensor, bits: int, low: Tensor, high: Tensor) -> Tensor:
    """Return images whose pixels keep the first `bits` of 8 bits."""
    step = 2 ** (8 - bits)
    pixels = ((x - low) / (high - low) * 255).round()
    kept: Tensor = low + (pixels / step).floor() * step / 255 * (high - low)
    return kept


def _affine(size: dict[str, FloatArray]) -> FloatArray:
    """Return matrices ``(n, 2, 3)`` from places of the result to places of the image, both from -1 to 1."""
    angle, one = _ANGLE * size["rotate"], np.ones_like(size["rotate"])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[one, _SHEAR * size["shear_x"]], [_SHEAR * size["shear_y"], one]])
    linear = np.einsum("ijn,jkn->nik", rotation, shear)
    move = 2 * _TRANSLATION * np.stack([size["translate_x"], size["translate_y"]], axis=1)
    return np.concatenate([linear, move[:, :, None]], axis=2).astype(np.float32)
