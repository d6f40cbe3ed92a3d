"""Search spaces."""

from __future__ import annotations

from hwnas.spaces._base import Architecture, Choice, Space, Term
from hwnas.spaces._make import make_space, space_names

__all__ = ["Architecture", "Choice", "Space", "Term", "make_space", "space_names"]
