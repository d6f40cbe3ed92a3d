"""How samples become inputs: `--input-scaling` of signals."""

from __future__ import annotations

from hwnas._errors import DataError
from hwnas.data import SignalData
from hwnas.tasks._scaling import OWN, Values, with_moments, written_moments

NONE = "none"
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
    moments = ((0.0,), (1.0,)) if scaling == NONE else _written(scaling)
    return with_moments(data, moments, scaling, "signals")


def _written(text: str) -> tuple[Values, Values]:
    moments = written_moments(text, 1e9)
    if moments is None:
        raise DataError(
            f"--input-scaling of signals must be {OWN}, {NONE} or MEAN/DEVIATION like 0,0,9.81/1,1,1, got {text!r:.60}"
        )
    return moments
