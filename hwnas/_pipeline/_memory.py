"""Memory that runs out while a network is measured: how that is recognised, and how memory is freed again."""

from __future__ import annotations

import gc
import sys
from typing import Any

from hwnas._errors import is_out_of_memory, says_out_of_memory
from profilers import DeviceMemoryError, UnsupportedGraphError


def ran_out(error: BaseException) -> bool:
    """Return whether memory ran out, here or on the device; back ends report it as a graph that they cannot execute."""
    if isinstance(error, DeviceMemoryError) or is_out_of_memory(error):
        return True
    return isinstance(error, UnsupportedGraphError) and says_out_of_memory(str(error))


def free_memory() -> None:
    """Delete what nobody refers to, and give the GPU memory that torch keeps for itself back, where torch is loaded."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
