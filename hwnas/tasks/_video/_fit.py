"""Whether the networks of a space read clips of so many frames."""

from __future__ import annotations

from hwnas._errors import EvaluatorError
from hwnas.data import ClipData
from hwnas.spaces import Space
from hwnas.tasks._fitting import setting_to_change, some_networks


def require_frames(space: Space, data: ClipData) -> None:
    """Refuse networks that read another number of frames; a few are looked at.

    Raises:
        EvaluatorError: Naming the setting to change.
    """
    for arch in some_networks(space):
        frames = space.input_shape(arch)[1]
        if frames != data.frames:
            hint = setting_to_change(space, ("frames",), data.frames, f"load clips with --frames {frames}")
            raise EvaluatorError(
                f"data {data.name}: clips have {data.frames} frames, the space's networks read {frames}; {hint}"
            )
