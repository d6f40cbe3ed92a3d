"""How samples become inputs: `--input-scaling` of signals."""

from __future__ import annotations

from dataclasses import replace

from hwnas._errors import DataError
from hwnas.data import SignalData

OWN, NONE = "data", "none"
SCALINGS = (OWN, NONE)
"""Mean and deviation of each channel of the train part, as without the option; samples as they were recorded."""


def rescaled(data: SignalData, scaling: str) -> SignalData:
    """Return the data with another mean and deviation.

    Args:
        data: The signals.
        scaling: One of `SCALINGS`, or means and deviations, one or one for each channel: ``0,0,9.81/1,1,1``.

    Raises:
        DataError: It is neither.
    """
    if scaling == OWN:
        return data
    mean, std = ((0.0,), (1.0,)) if scaling == NONE else _written(scaling)
    if not {len(mean), len(std)} <= {1, data.channels}:
        raise DataError(
            f"--input-scaling {scaling} has {max(len(mean), len(std))} channels, the signals of {data.name} have "
            f"{data.channels}"
        )
    wide = [values * data.channels if len(values) == 1 else values for values in (mean, std)]
    return replace(data, mean=wide[0], std=wide[1])


def _written(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        mean, std = (), ()
    usual = all(-1e9 < value < 1e9 for value in mean) and all(1e-9 < value < 1e9 for value in std)
    if not mean or not std or not usual:
        raise DataError(
            f"--input-scaling of signals must be {OWN}, {NONE} or MEAN/DEVIATION like 0,0,9.81/1,1,1, got {text!r:.60}"
        )
    return mean, std
