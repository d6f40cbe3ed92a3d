"""Augmentation of whole batches of clips on the device they are on. Needs torch."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from hwnas.tasks._moves import mirror_half, offset_places, taken


def augment(x: Tensor, rng: np.random.Generator, *, shift: float, time_shift: float, flip: bool) -> Tensor:
    """Move every clip of ``(N, C, T, H, W)`` by its own random offset and mirror half of them; frames stay together.

    Args:
        x: Clips.
        rng: Source of the offsets.
        shift: Largest offset in space as a share of the frame; edges are repeated.
        time_shift: Largest offset in time as a share of the frames; the first or last frame is repeated.
        flip: Mirror left to right with probability 1/2.
    """
    count, _, frames, height, width = x.shape
    rows, columns = offset_places(rng, count, height, shift), offset_places(rng, count, width, shift)
    steps = offset_places(rng, count, frames, time_shift)
    if flip:
        mirror_half(columns, rng)
    return taken(x, (steps, rows, columns)).contiguous()
