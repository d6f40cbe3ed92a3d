"""Every change that is tried."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas._explain._changes._activations import plain_activations
from hwnas._explain._changes._aligned import aligned_channels
from hwnas._explain._changes._int8 import int8
from hwnas._explain._changes._proposal import Maker
from hwnas._explain._changes._threads import other_threads

MAKERS: Mapping[str, Maker] = {
    "int8": int8,
    "threads": other_threads,
    "aligned": aligned_channels,
    "activation": plain_activations,
}
"""What makes each change, by the name that `profilers.Change` gives it."""
