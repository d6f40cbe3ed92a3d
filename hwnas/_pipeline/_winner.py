"""`Winner`: a network of the front on its way out of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwnas.spaces import Architecture


@dataclass(frozen=True)
class Winner:
    """A network of the front.

    Attributes:
        trial: number of its trial.
        arch: the architecture.
        values: its objectives as the search saw them.
    """

    trial: int
    arch: Architecture
    values: Mapping[str, float]

    @property
    def id(self) -> str:
        """Its name in the run."""
        return f"t{self.trial:04d}"
