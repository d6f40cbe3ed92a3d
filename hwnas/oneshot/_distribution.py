"""Distributions over the choices of a space: one vector of probabilities a choice, independent of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas._errors import SpaceError
from hwnas.spaces import Architecture, Space

Distribution = Sequence[Tensor]
"""One vector of probabilities ``(values,)`` for each choice, in the space's order."""
_TOLERANCE = 1e-3


def uniform(space: Space, *, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return the distribution under which every value of a choice is as probable as any other."""
    return [torch.full((count,), 1.0 / count, dtype=dtype) for count in space.cardinalities]


def one_hot(space: Space, arch: Architecture, *, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return the distribution that gives one architecture all probability.

    Raises:
        SpaceError: The architecture is not of this space.
    """
    codes = space.encode(arch).tolist()
    return [torch.eye(count, dtype=dtype)[code] for count, code in zip(space.cardinalities, codes, strict=True)]


def sample_codes(distribution: Distribution, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw codes ``(count, d)``; rows that stand for no network are among them, where the space has such."""
    columns = []
    for vector in probabilities(distribution):
        columns.append(rng.choice(len(vector), size=count, p=vector))
    return np.stack(columns, axis=1).astype(np.int64)


def probabilities(distribution: Distribution) -> list[npt.NDArray[np.float64]]:
    """Return the vectors as arrays that sum to 1 exactly."""
    arrays = [vector.detach().double().cpu().numpy() for vector in distribution]
    return [np.maximum(array, 0.0) / np.maximum(array, 0.0).sum() for array in arrays]


def require_shapes(space: Space, distribution: Distribution) -> None:
    """Refuse vectors that do not belong to the choices of a space.

    Raises:
        SpaceError: There are more or fewer of them than choices, or one has another length than its choice.
    """
    if len(distribution) != len(space.choices):
        raise SpaceError(
            f"space {space.name}: a distribution must have {len(space.choices)} vectors, one for each choice, got "
            f"{len(distribution)}"
        )
    for choice, vector in zip(space.choices, distribution, strict=True):
        if tuple(vector.shape) != (len(choice.values),):
            raise SpaceError(
                f"space {space.name}: the probabilities of {choice.name} must have the shape ({len(choice.values)},), "
                f"got {tuple(vector.shape)}"
            )


def require_distribution(space: Space, distribution: Distribution) -> None:
    """Refuse what is no distribution over the choices of a space.

    Raises:
        SpaceError: As of `require_shapes`, or a vector is below 0 somewhere or does not sum to 1.
    """
    require_shapes(space, distribution)
    for choice, vector in zip(space.choices, distribution, strict=True):
        values = vector.detach().double()
        if not bool((values >= 0).all()) or abs(float(values.sum()) - 1.0) > _TOLERANCE:
            raise SpaceError(
                f"space {space.name}: the probabilities of {choice.name} must be 0 or more and sum to 1, got "
                f"{[round(value, 4) for value in values.tolist()]}"
            )
