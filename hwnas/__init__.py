"""hwnas: hardware-aware, latency-constrained neural architecture search.

`profile` measures a device; `search` searches for networks on it and delivers them measured. Every command of the
command line is a function with the same options, and `Errors` catches every error that you can fix. Your own spaces,
evaluators and strategies are subclasses of `Space` and `Evaluator` and implementations of `Strategy` and `LeafSampler`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._version import __version__

if TYPE_CHECKING:
    from hwnas._api._derive import derive
    from hwnas._api._errors import Errors
    from hwnas._api._explain import explain
    from hwnas._api._machine import clean_device, devices, doctor, plugins
    from hwnas._api._models import rank
    from hwnas._api._profile import bundle, draw, fit, profile
    from hwnas._api._result import FoundTrial, SearchResult
    from hwnas._api._runs import Exported, compare, export, runs
    from hwnas._api._search import search
    from hwnas._api._tables import Prediction, Verification, merge, predict, show_table, validate, verify
    from hwnas._costs._cost import Cost, register_cost
    from hwnas._errors import HwnasError, NoValueError
    from hwnas._explain._ranking import Difference, RankedFile, Ranking
    from hwnas._pipeline._strategies import make_strategy
    from hwnas._runs._settings import SearchSettings
    from hwnas.data import ImageData, load_data
    from hwnas.evaluators import Evaluation, Evaluator, Trainer, make_evaluator
    from hwnas.spaces import (
        Architecture,
        Choice,
        ChoiceGraph,
        ChoiceGraphSpace,
        Derived,
        Make,
        Space,
        Term,
        follow,
        make_space,
    )
    from hwnas.tasks import Metric, Task, make_task
    from latency_tables import INPUT, GraphBuilder, LatencyTable, LatencyTableError, Op, OpGraph
    from profilers import (
        Composite,
        Parameter,
        Primitive,
        ProfilerError,
        ReadModel,
        Workload,
        executed_graph,
        from_torch,
        ops,
        read_onnx,
        register_operator,
    )
    from search import SearchError, Strategy, StrategyOption, Suggestion
    from search.lamoo import LaMOO, LeafSampler

_LAZY = {
    "Architecture": "hwnas.spaces",
    "Choice": "hwnas.spaces",
    "ChoiceGraph": "hwnas.spaces",
    "ChoiceGraphSpace": "hwnas.spaces",
    "Composite": "profilers",
    "Cost": "hwnas._costs._cost",
    "Difference": "hwnas._explain._ranking",
    "Errors": "hwnas._api._errors",
    "Evaluation": "hwnas.evaluators",
    "Evaluator": "hwnas.evaluators",
    "Exported": "hwnas._api._runs",
    "FoundTrial": "hwnas._api._result",
    "GraphBuilder": "latency_tables",
    "HwnasError": "hwnas._errors",
    "INPUT": "latency_tables",
    "ImageData": "hwnas.data",
    "LaMOO": "search.lamoo",
    "LatencyTable": "latency_tables",
    "LatencyTableError": "latency_tables",
    "LeafSampler": "search.lamoo",
    "Make": "hwnas.spaces",
    "Op": "latency_tables",
    "Metric": "hwnas.tasks",
    "NoValueError": "hwnas._errors",
    "OpGraph": "latency_tables",
    "Parameter": "profilers",
    "Primitive": "profilers",
    "Prediction": "hwnas._api._tables",
    "ProfilerError": "profilers",
    "RankedFile": "hwnas._explain._ranking",
    "Ranking": "hwnas._explain._ranking",
    "SearchError": "search",
    "SearchResult": "hwnas._api._result",
    "SearchSettings": "hwnas._runs._settings",
    "Space": "hwnas.spaces",
    "Strategy": "search",
    "StrategyOption": "search",
    "Suggestion": "search",
    "Task": "hwnas.tasks",
    "Term": "hwnas.spaces",
    "Workload": "profilers",
    "Verification": "hwnas._api._tables",
    "bundle": "hwnas._api._profile",
    "clean_device": "hwnas._api._machine",
    "compare": "hwnas._api._runs",
    "derive": "hwnas._api._derive",
    "Derived": "hwnas.spaces",
    "devices": "hwnas._api._machine",
    "doctor": "hwnas._api._machine",
    "draw": "hwnas._api._profile",
    "executed_graph": "profilers",
    "explain": "hwnas._api._explain",
    "export": "hwnas._api._runs",
    "fit": "hwnas._api._profile",
    "follow": "hwnas.spaces",
    "from_torch": "profilers",
    "read_onnx": "profilers",
    "ReadModel": "profilers",
    "Trainer": "hwnas.evaluators",
    "load_data": "hwnas.data",
    "make_evaluator": "hwnas.evaluators",
    "make_space": "hwnas.spaces",
    "make_task": "hwnas.tasks",
    "make_strategy": "hwnas._pipeline._strategies",
    "merge": "hwnas._api._tables",
    "ops": "profilers",
    "register_operator": "profilers",
    "plugins": "hwnas._api._machine",
    "predict": "hwnas._api._tables",
    "profile": "hwnas._api._profile",
    "rank": "hwnas._api._models",
    "register_cost": "hwnas._costs._cost",
    "runs": "hwnas._api._runs",
    "search": "hwnas._api._search",
    "show_table": "hwnas._api._tables",
    "validate": "hwnas._api._tables",
    "verify": "hwnas._api._tables",
}

__all__ = [
    "INPUT",
    "Architecture",
    "Choice",
    "ChoiceGraph",
    "ChoiceGraphSpace",
    "Composite",
    "Cost",
    "Derived",
    "Difference",
    "Errors",
    "Evaluation",
    "Evaluator",
    "Exported",
    "FoundTrial",
    "GraphBuilder",
    "HwnasError",
    "ImageData",
    "LaMOO",
    "LatencyTable",
    "LatencyTableError",
    "LeafSampler",
    "Make",
    "Metric",
    "NoValueError",
    "Op",
    "OpGraph",
    "Parameter",
    "Prediction",
    "Primitive",
    "ProfilerError",
    "RankedFile",
    "Ranking",
    "ReadModel",
    "SearchError",
    "SearchResult",
    "SearchSettings",
    "Space",
    "Strategy",
    "StrategyOption",
    "Suggestion",
    "Task",
    "Term",
    "Trainer",
    "Verification",
    "Workload",
    "__version__",
    "bundle",
    "clean_device",
    "compare",
    "derive",
    "devices",
    "doctor",
    "draw",
    "executed_graph",
    "explain",
    "export",
    "fit",
    "follow",
    "from_torch",
    "load_data",
    "make_evaluator",
    "make_space",
    "make_strategy",
    "make_task",
    "merge",
    "ops",
    "plugins",
    "predict",
    "profile",
    "rank",
    "read_onnx",
    "register_cost",
    "register_operator",
    "runs",
    "search",
    "show_table",
    "validate",
    "verify",
]


def _refuse_shadows() -> None:
    """Fail with the cause when a file of the user's hides one of hwnas's top-level packages."""
    home = Path(__file__).resolve().parent.parent
    for name in ("latency_tables", "profilers", "search"):
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin is None or origin.parent.parent != home:
            other = origin or "nothing"
            raise ImportError(f"hwnas needs its own package {name!r}, but finds {other}; rename or move that file")


def _keep_cores() -> None:
    """Read the usable cores now if OpenMP may pin threads: loading torch pins the loading thread."""
    if any(name in os.environ for name in ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")):
        importlib.import_module("profilers.cores")


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
