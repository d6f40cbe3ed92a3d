"""hwnas: hardware-aware, latency-constrained neural architecture search.

`profile` measures a device, `search` searches on it and ships networks that were measured there. Spaces, evaluators
and strategies of your own are subclasses of `Space` and `Evaluator` and implementations of `Strategy` and `Sampler`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._version import __version__

if TYPE_CHECKING:
    from hwnas._api._search import FoundTrial, SearchResult, profile, search
    from hwnas._errors import HwnasError, NoValueError
    from hwnas._pipeline._strategies import make_strategy
    from hwnas._runs._settings import SearchSettings
    from hwnas._tables._draw_folder import draw
    from hwnas.data import ImageData, load_data
    from hwnas.evaluators import Evaluation, Evaluator, Trainer, make_evaluator
    from hwnas.spaces import Architecture, Choice, Space, Term, make_space
    from hwnas.tasks import Metric, Task, make_task
    from latency_tables import INPUT, GraphBuilder, LatencyTable, LatencyTableError, OpGraph
    from profilers import ProfilerError, ops
    from search import SearchError, Strategy, Suggestion
    from search.lamoo import LaMOO, Sampler

_LAZY = {
    "INPUT": "latency_tables",
    "Architecture": "hwnas.spaces",
    "Choice": "hwnas.spaces",
    "Evaluation": "hwnas.evaluators",
    "Evaluator": "hwnas.evaluators",
    "FoundTrial": "hwnas._api._search",
    "GraphBuilder": "latency_tables",
    "HwnasError": "hwnas._errors",
    "ImageData": "hwnas.data",
    "LaMOO": "search.lamoo",
    "LatencyTable": "latency_tables",
    "LatencyTableError": "latency_tables",
    "Metric": "hwnas.tasks",
    "NoValueError": "hwnas._errors",
    "OpGraph": "latency_tables",
    "ProfilerError": "profilers",
    "Sampler": "search.lamoo",
    "SearchError": "search",
    "SearchResult": "hwnas._api._search",
    "SearchSettings": "hwnas._runs._settings",
    "Space": "hwnas.spaces",
    "Strategy": "search",
    "Suggestion": "search",
    "Task": "hwnas.tasks",
    "Term": "hwnas.spaces",
    "Trainer": "hwnas.evaluators",
    "draw": "hwnas._tables._draw_folder",
    "load_data": "hwnas.data",
    "make_evaluator": "hwnas.evaluators",
    "make_space": "hwnas.spaces",
    "make_task": "hwnas.tasks",
    "make_strategy": "hwnas._pipeline._strategies",
    "ops": "profilers",
    "profile": "hwnas._api._search",
    "search": "hwnas._api._search",
}

__all__ = [
    "INPUT",
    "Architecture",
    "Choice",
    "Evaluation",
    "Evaluator",
    "FoundTrial",
    "GraphBuilder",
    "HwnasError",
    "ImageData",
    "LaMOO",
    "LatencyTable",
    "LatencyTableError",
    "Metric",
    "NoValueError",
    "OpGraph",
    "ProfilerError",
    "Sampler",
    "SearchError",
    "SearchResult",
    "SearchSettings",
    "Space",
    "Strategy",
    "Suggestion",
    "Task",
    "Term",
    "Trainer",
    "__version__",
    "draw",
    "load_data",
    "make_evaluator",
    "make_space",
    "make_strategy",
    "make_task",
    "ops",
    "profile",
    "search",
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


def _keep_cores() -> None:
    """Where the environment lets OpenMP pin threads, look at the cores now: loading torch pins the thread that does."""
    if any(name in os.environ for name in ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")):
        importlib.import_module("profilers._cores")


_RENAMED = {"NoAccuracyError": "NoValueError"}
"""Names that evaluators of users may still have."""


def __getattr__(name: str) -> Any:
    name = _RENAMED.get(name, name)
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


_refuse_shadows()
_keep_cores()
