"""How samples lie in the arrays of an ``.npz`` file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.data._npy import Array


@dataclass(frozen=True)
class Form:
    """How samples lie in the arrays of a file.

    Attributes:
        noun: What they are called.
        axes: The shapes that arrays may have, for people.
        channels_axis: For each number of axes that an array may have, the axis of the channels; None for one channel.
    """

    noun: str
    axes: str
    channels_axis: Mapping[int, int | None]

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether an array of a shape holds such samples, with 1 or 3 channels."""
        return len(shape) in self.channels_axis and 0 not in shape and self.channels(shape) in (1, 3)

    def channels(self, shape: Sequence[int]) -> int:
        """Return the channels of an array of a shape that has a right number of axes."""
        axis = self.channels_axis[len(shape)]
        return 1 if axis is None else shape[axis]

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the extents of one sample beside the channels."""
        return tuple(n for i, n in enumerate(shape) if i not in (0, self.channels_axis[len(shape)]))

    def arrange(self, values: Array) -> Array:
        """Return ``(n, channels, ...)`` of values as they are stored."""
        axis = self.channels_axis[values.ndim]
        return values[:, None] if axis is None else np.moveaxis(values, axis, 1)


IMAGES = Form("images", "(N, H, W) or (N, H, W, C) with C = 1 or 3", {3: None, 4: 3})
CLIPS = Form("clips", "(N, C, T, H, W) with C = 1 or 3", {5: 1})
