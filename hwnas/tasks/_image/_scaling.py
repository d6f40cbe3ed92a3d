"""How pixels become inputs: `--input-scaling`."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas._errors import DataError
from hwnas.data import ImageData
from hwnas.tasks._scaling import OWN, Values, with_moments, written_moments

SCALINGS: Mapping[str, tuple[Values, Values]] = {
    "0-1": ((0.0,), (1.0,)),
    "pm1": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0-255": ((0.0,), (1 / 255,)),
}
"""Usual means and deviations by name, pixels scaled to 0-1; one value stands for all channels."""


def usual_scalings(channels: int) -> tuple[str, ...]:
    """Return the names of the scalings that images of so many channels may have."""
    return (OWN, *(name for name, (mean, _) in SCALINGS.items() if len(mean) in (1, channels)))


def rescaled(data: ImageData, scaling: str) -> ImageData:
    """Return the data with another mean and deviation.

    Args:
        data: The images.
        scaling: A name (`SCALINGS`), or means and deviations of pixels scaled to 0-1, one or one for each channel:
            ``0.5,0.5,0.5/0.25,0.25,0.25``.

    Raises:
        DataError: It is neither.
    """
    if scaling == OWN:
        return data
    return with_moments(data, SCALINGS.get(scaling) or _written(scaling), scaling, "images")


def _written(text: str) -> tuple[Values, Values]:
    moments = written_moments(text, 1e6)
    if moments is None:
        raise DataError(
            f"--input-scaling must be {OWN}, {', '.join(SCALINGS)}, or MEAN/DEVIATION of pixels scaled to 0-1 like "
            f"0.5,0.5,0.5/0.25,0.25,0.25, got {text!r:.60}"
        )
    return moments
