"""Whether the networks of a space read clips of so many frames."""

from __future__ import annotations

import numpy as np

from hwnas._errors import EvaluatorError
from hwnas.data import ClipData
from hwnas.spaces import Space

_LOOKS = 5


def require_frames(space: Space, data: ClipData) -> None:
    """Refuse networks that read another number of frames; a few are looked at.

    Raises:
        EvaluatorError: Naming the setting to change.
    """
    for arch in space.sample(_LOOKS, np.random.default_rng(0)):
        frames = space.input_shape(arch)[1]
        if frames != data.frames:
            hint = f"set frames={data.frames}" if "frames" in space.settings else f"load clips with --frames {frames}"
            raise EvaluatorError(
                f"data {data.name}: clips have {data.frames} frames, the space's networks read {frames}; {hint}"
            )
