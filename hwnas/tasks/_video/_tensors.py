"""Augmentation of whole batches of clips on the device they are on. Needs torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hwnas.tasks._image._augment import offset_indices


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
    rows, columns = offset_indices(rng, count, height, shift), offset_indices(rng, count, width, shift)
    steps = offset_indices(rng, count, frames, time_shift)
    if flip:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    step, row, column = (torch.from_numpy(a.copy()).to(x.device) for a in (steps, rows, columns))
    clip = torch.arange(count, device=x.device)[:, None, None, None]
    taken = x.permute(0, 2, 3, 4, 1)[clip, step[:, :, None, None], row[:, None, :, None], column[:, None, None, :]]
    return taken.permute(0, 4, 1, 2, 3).contiguous()
