"""What the networks of a space read."""

from __future__ import annotations

import numpy as np

from hwnas.spaces._base import Space


def input_channels(space: Space) -> int:
    """Channels of the images that the networks of a space read."""
    return space.input_shape(space.sample(1, np.random.default_rng(0))[0])[0]
