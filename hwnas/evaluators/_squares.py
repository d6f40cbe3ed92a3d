"""Images and networks must be square: nothing of one is squashed into the other."""

from __future__ import annotations

import numpy as np

from hwnas._errors import DataError, SpaceError
from hwnas.data import ImageData
from hwnas.spaces import Space

_LOOKS = 5


def require_squares(space: Space, data: ImageData) -> None:
    """Refuse what is not square before anything is trained.

    Raises:
        DataError: the images are not.
        SpaceError: a network reads images that are not (a few are looked at).
    """
    height, width = data.native_size
    if height != width:
        raise DataError(
            f"data {data.name}: images are {width}x{height} pixels (width x height), but networks read squares; "
            f"give --image-size {min(height, width)} to scale the shorter side and cut out the centre"
        )
    for arch in space.sample(_LOOKS, np.random.default_rng(0)):
        shape = space.input_shape(arch)
        if len(shape) == 3 and shape[1] != shape[2]:
            raise SpaceError(
                f"space {space.name}: a network reads images of {shape[2]}x{shape[1]} pixels (width x height), but "
                "training and tests are of squares; make height and width equal"
            )
