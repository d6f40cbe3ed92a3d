"""Moving and mirroring whole batches on the device they are on, without a loop over samples. Needs torch.

Everything random is drawn from a NumPy generator, so that a batch is the same, bit for bit, wherever it is made again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Places = npt.NDArray[np.int64]


def offset_places(rng: np.random.Generator, count: int, extent: int, shift: float) -> Places:
    """Return for each sample the source index of every place along an axis, ``(count, extent)``; edges are repeated.

    Args:
        rng: Source of each sample's own offset.
        count: Number of samples.
        extent: Places along the axis.
        shift: Largest offset as a share of the extent.
    """
    most = round(shift * extent)
    offsets = rng.integers(-most, most + 1, size=(count, 1))
    return np.asarray(np.clip(np.arange(extent)[None] + offsets, 0, extent - 1), dtype=np.int64)


def mirror_half(places: Places, rng: np.random.Generator) -> None:
    """Reverse the places ``(count, extent)`` of a sample with probability 1/2."""
    mirrored = rng.random(len(places)) < 0.5
    places[mirrored] = places[mirrored, ::-1]


def taken(x: Tensor, places: Sequence[Places]) -> Tensor:
    """Return samples ``(N, C, ...)`` with the values of other places, channels last in memory.

    Args:
        x: The samples.
        places: For each axis behind the channels the source indices ``(N, extent)``.
    """
    axes = len(places)
    where: list[Tensor] = [torch.arange(len(x), device=x.device).reshape(-1, *(1,) * axes)]
    for axis, indices in enumerate(places, start=1):
        shape = [len(x), *(1,) * axes]
        shape[axis] = indices.shape[1]
        where.append(torch.from_numpy(indices).to(x.device).reshape(shape))
    return x.movedim(1, -1)[tuple(where)].movedim(-1, 1)


def moved_images(x: Tensor, rng: np.random.Generator, *, shift: float, flip: bool) -> Tensor:
    """Move every image of ``(N, C, H, W)`` by its own random offset and mirror half of them.

    Moving with repeated edges is the usual random crop of a padded image.

    Args:
        x: Images, channels first or last in memory.
        rng: Source of the offsets.
        shift: Largest offset as a share of the image; edges are repeated.
        flip: Mirror left to right with probability 1/2.
    """
    count, _, height, width = x.shape
    rows, columns = offset_places(rng, count, height, shift), offset_places(rng, count, width, shift)
    if flip:
        mirror_half(columns, rng)
    return taken(x, (rows, columns))
