"""What tasks look at before they accept a space, and what they say where its networks do not fit."""

from __future__ import annotations

import numpy as np

from hwnas.spaces import Architecture, Space

_LOOKS = 5


def some_networks(space: Space) -> list[Architecture]:
    """Return a few networks of a space, the same ones every time."""
    return list(space.sample(_LOOKS, np.random.default_rng(0)))


def largest_network(space: Space) -> Architecture:
    """Return the network with the last value of every choice."""
    return space.canonical(Architecture(tuple(choice.values[-1] for choice in space.choices)))


def setting_to_change(space: Space, names: tuple[str, ...], value: int, otherwise: str) -> str:
    """Return what to do where the networks of a space have not an extent of the data.

    Args:
        space: The space.
        names: What spaces call the setting that decides on it; the first that this one has is named.
        value: What the setting must be.
        otherwise: What to do where the space has no such setting.
    """
    return next((f"set {name}={value}" for name in names if name in space.settings), otherwise)
