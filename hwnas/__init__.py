"""hwnas: hardware-aware, latency-constrained neural architecture search.

Profile a device (`build_table`), search on it (`run_search`), ship networks that were measured there.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._version import __version__

if TYPE_CHECKING:
    from hwnas._errors import HwnasError
    from hwnas._search import run_search
    from hwnas._settings import SearchSettings
    from hwnas._tables import build_table
    from hwnas.spaces import Architecture, Space, make_space
    from latency_tables import LatencyTable, load_table

_LAZY = {
    "Architecture": "hwnas.spaces",
    "HwnasError": "hwnas._errors",
    "LatencyTable": "latency_tables",
    "SearchSettings": "hwnas._settings",
    "Space": "hwnas.spaces",
    "build_table": "hwnas._tables",
    "load_table": "latency_tables",
    "make_space": "hwnas.spaces",
    "run_search": "hwnas._search",
}

__all__ = [
    "Architecture",
    "HwnasError",
    "LatencyTable",
    "SearchSettings",
    "Space",
    "__version__",
    "build_table",
    "load_table",
    "make_space",
    "run_search",
]


def _refuse_shadows() -> None:
    """Fail with the cause when a file of the user's hides one of hwnas's top-level packages."""
    home = Path(__file__).resolve().parent.parent
    for name in ("latency_tables", "profilers", "search"):
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin is None or origin.parent.parent != home:
            found = origin or "nothing"
            raise ImportError(f"hwnas needs its own package {name!r}, but finds {found}; rename or move that file")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


_refuse_shadows()
