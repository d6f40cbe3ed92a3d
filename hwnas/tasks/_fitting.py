"""What tasks look at before they accept a space, and what they say where its networks do not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas._errors import SpaceError
from hwnas.spaces import Architecture, Space

_LOOKS = 5


def some_networks(space: Space) -> list[Architecture]:
    """Return a few networks of a space, the same ones every time."""
    return list(space.sample(_LOOKS, np.random.default_rng(0)))


def largest_network(space: Space) -> Architecture:
    """Return the network with the last value of every choice."""
    return space.canonical(Architecture(tuple(choice.values[-1] for choice in space.choices)))


def require_classifiers(space: Space, given: Sequence[int]) -> None:
    """Refuse networks that give maps or boxes, whose number of classes changes nothing.

    Args:
        space: The space.
        given: Shape of their output.

    Raises:
        SpaceError: It has more than one axis.
    """
    if len(given) > 1 and all(extent == 1 for extent in given[1:]):
        raise SpaceError(
            f"space {space.name}: its networks give {'x'.join(map(str, given))} numbers, but these data need one for "
            "each class; export the model with a Flatten at its end"
        )
    if len(given) > 1:
        raise SpaceError(
            f"space {space.name}: its networks give {'x'.join(map(str, given))} numbers, but each sample of these data "
            "has one label; choose another --space (the usual one without --space), or data with masks or boxes"
        )


def setting_to_change(space: Space, names: tuple[str, ...], value: int, otherwise: str) -> str:
    """Return what to do where the networks of a space have not an extent of the data.

    Args:
        space: The space.
        names: What spaces call the setting that decides on it; the first that this one has is named.
        value: What the setting must be.
        otherwise: What to do where the space has no such setting.
    """
    return next((f"set {name}={value}" for name in names if name in space.settings), otherwise)
