"""Spaces by name."""

from __future__ import annotations

import inspect

from hwnas._errors import SpaceError
from hwnas.spaces._base import Space
from hwnas.spaces._mobilenetv3 import MobileNetV3
from hwnas.spaces._nasbench201 import NASBench201

_SPACES: dict[str, type[Space]] = {space.name: space for space in (MobileNetV3, NASBench201)}


def space_names() -> list[str]:
    """Names that `make_space` knows, sorted."""
    return sorted(_SPACES)


def make_space(name: str, **settings: object) -> Space:
    """Build a space from its name and settings (see the classes' constructors).

    Raises:
        SpaceError: the name or a setting is unknown, or a setting is out of range.
    """
    if name not in _SPACES:
        raise SpaceError(f"unknown space {name!r}; known spaces: {', '.join(space_names())}")
    known = inspect.signature(_SPACES[name].__init__).parameters
    for setting in settings:
        if setting not in known or setting == "self":
            options = ", ".join(k for k in known if k != "self")
            raise SpaceError(f"space {name} has no setting {setting!r}; it takes {options}")
    return _SPACES[name](**settings)


def space_identity(space: Space) -> dict[str, object]:
    """Name and settings; for a space that is not ours also a fingerprint, since nobody vouches for its name."""
    own = _SPACES.get(space.name) is type(space)
    return {"name": space.name, **space.settings, **({} if own else {"fingerprint": space.fingerprint})}
