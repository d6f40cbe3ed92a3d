"""What tells given weights from others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt


def weights_digest(weights: Mapping[str, npt.NDArray[np.float32]]) -> str:
    """Return the SHA-256 (hexadecimal) of names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
