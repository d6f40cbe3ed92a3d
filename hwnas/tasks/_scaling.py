"""Means and deviations that `--input-scaling` states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hwnas._errors import DataError
from hwnas.data import ImageData, SignalData

if TYPE_CHECKING:
    from torch import Tensor

Values = tuple[float, ...]
OWN = "data"
"""Mean and deviation of the train part, as without the option."""
Scaled = TypeVar("Scaled", ImageData, SignalData)


def with_moments(data: Scaled, moments: tuple[Values, Values], scaling: str, samples: str) -> Scaled:
    """Return the data with another mean and deviation.

    Args:
        data: The data.
        moments: Means and deviations, one or one for each channel.
        scaling: What they were called.
        samples: What the data hold: ``images``.

    Raises:
        DataError: The data have another number of channels.
    """
    mean, std = moments
    if not {len(mean), len(std)} <= {1, data.channels}:
        raise DataError(
            f"--input-scaling {scaling} has {max(len(mean), len(std))} channels, the {samples} of {data.name} have "
            f"{data.channels}"
        )
    wide = [values * data.channels if len(values) == 1 else values for values in moments]
    return replace(data, mean=wide[0], std=wide[1])


def in_other_scaling(x: Tensor, before: Scaled, after: Scaled) -> Tensor:
    """Return samples ``(N, C, ...)`` that are normalised as one of two data sets states, normalised as the other does.

    Augmentations count in deviations from the mean of the train part, whatever the network reads.
    """
    import torch

    if before is after:
        return x
    (mean, std), (mean_after, std_after) = (
        [torch.tensor(values, device=x.device).reshape(-1, *(1,) * (x.ndim - 2)) for values in (data.mean, data.std)]
        for data in (before, after)
    )
    return x * (std / std_after) + (mean - mean_after) / std_after


def written_moments(text: str, most: float) -> tuple[Values, Values] | None:
    """Return the means and deviations that ``MEAN,.../DEVIATION,...`` states; None where it states none.

    Args:
        text: The text.
        most: Numbers must be smaller than this, deviations greater than its reciprocal.
    """
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        return None
    usual = all(-most < value < most for value in mean) and all(1 / most < value < most for value in std)
    return (mean, std) if usual else None
