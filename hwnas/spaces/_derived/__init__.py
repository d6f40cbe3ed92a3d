"""The space of a trained model: what can be left out of it, and the weights that its networks start from."""

from __future__ import annotations

from hwnas.spaces._derived._derive import Derived, by_scales, derive, reordered, with_weights
from hwnas.spaces._derived._describe import describe_lines
from hwnas.spaces._derived._groups import has_channels
from hwnas.spaces._derived._prepare import identity_norm
from hwnas.spaces._derived._reach import REACH, reaches
from hwnas.spaces._derived._smaller import for_smaller_images
from hwnas.spaces._derived._space import DerivedSpace

__all__ = [
    "REACH",
    "Derived",
    "DerivedSpace",
    "by_scales",
    "derive",
    "describe_lines",
    "for_smaller_images",
    "has_channels",
    "identity_norm",
    "reaches",
    "reordered",
    "with_weights",
]
