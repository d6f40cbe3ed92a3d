"""Augmentation of batches of signals on the device they are on.

Everything random is drawn from a NumPy generator, so that a batch is the same, bit for bit, wherever it is made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwnas.tasks._moves import offset_places


def augmented(x: Tensor, rng: np.random.Generator, settings: Mapping[str, Any]) -> Tensor:
    """Return scaled signals ``(N, C, L)`` as they are trained on.

    Args:
        x: Signals, each channel with mean 0 and deviation 1 over the train part.
        rng: Source of everything random.
        settings: Values of the task's options; what is absent or 0 is off.
    """
    if shift := settings.get("shift"):
        x = shifted(x, rng, shift)
    if gain := settings.get("gain"):
        x = amplified(x, rng, gain)
    if noise := settings.get("noise"):
        x = noisy(x, rng, noise)
    if share := settings.get("time_mask"):
        x = time_masked(x, rng, share)
    if chance := settings.get("channel_mask"):
        x = channel_masked(x, rng, chance)
    return x


def shifted(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Move each signal ``(N, C, L)`` by its own offset of up to `share` of its length; edges are repeated."""
    places = torch.from_numpy(offset_places(rng, len(x), x.shape[2], share)).to(x.device)
    return x.gather(2, places[:, None].expand_as(x))


def amplified(x: Tensor, rng: np.random.Generator, decibels: float) -> Tensor:
    """Multiply each signal ``(N, C, L)`` by its own factor, uniform in decibels from ``-decibels`` to `decibels`."""
    factors = 10 ** (rng.uniform(-decibels, decibels, size=(len(x), 1, 1)) / 20)
    return x * torch.from_numpy(factors.astype(np.float32)).to(x.device)


def noisy(x: Tensor, rng: np.random.Generator, most: float) -> Tensor:
    """Add N(0, s^2) to each signal ``(N, C, L)``, with its own s uniform from 0 to `most` deviations of a channel."""
    strength = rng.uniform(0, most, size=(len(x), 1, 1)).astype(np.float32)
    noise = rng.standard_normal(tuple(x.shape), dtype=np.float32)
    return x + torch.from_numpy(strength * noise).to(x.device)


def time_masked(x: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Set a span of each signal ``(N, C, L)`` to 0, the mean of the train part.

    Its length is uniform from 0 to `share` of the signal's (Park et al. 2019, arXiv 1904.08779, section 2).
    """
    count, _, length = x.shape
    spans = rng.integers(0, round(share * length) + 1, size=(count, 1))
    first = np.floor(rng.random((count, 1)) * (length - spans + 1)).astype(np.int64)
    places = np.arange(length)[None]
    covered = (places >= first) & (places < first + spans)
    return x.masked_fill(torch.from_numpy(covered).to(x.device)[:, None], 0.0)


def channel_masked(x: Tensor, rng: np.random.Generator, probability: float) -> Tensor:
    """Set each channel of each signal ``(N, C, L)`` to 0 with a probability; one channel is always left."""
    count, channels, _ = x.shape
    covered = rng.random((count, channels)) < probability
    covered[np.arange(count), rng.integers(0, channels, size=count)] = False
    return x.masked_fill(torch.from_numpy(covered).to(x.device)[:, :, None], 0.0)
