"""How pixels become inputs: `--input-scaling`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwnas._errors import DataError
from hwnas.data import ImageData

Values = tuple[float, ...]
SCALINGS: Mapping[str, tuple[Values, Values]] = {
    "0-1": ((0.0,), (1.0,)),
    "pm1": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0-255": ((0.0,), (1 / 255,)),
}
"""Usual means and deviations by name, pixels scaled to 0-1; one value stands for all channels."""
OWN = "data"
"""Mean and deviation of the train part, as without the option."""


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
    mean, std = SCALINGS[scaling] if scaling in SCALINGS else _written(scaling)
    if not {len(mean), len(std)} <= {1, data.channels}:
        raise DataError(
            f"--input-scaling {scaling} has {max(len(mean), len(std))} channels, the images of {data.name} have "
            f"{data.channels}"
        )
    wide = [values * data.channels if len(values) == 1 else values for values in (mean, std)]
    return replace(data, mean=wide[0], std=wide[1])


def _written(text: str) -> tuple[Values, Values]:
    parts = text.split("/")
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in parts)
    except ValueError:
        mean, std = (), ()
    usual = all(-1e6 < value < 1e6 for value in mean) and all(1e-6 < value < 1e6 for value in std)
    if not mean or not std or not usual:
        raise DataError(
            f"--input-scaling must be {OWN}, {', '.join(SCALINGS)}, or MEAN/DEVIATION of pixels scaled to 0-1 like "
            f"0.5,0.5,0.5/0.25,0.25,0.25, got {text!r:.60}"
        )
    return mean, std
