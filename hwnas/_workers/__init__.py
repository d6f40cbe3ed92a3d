"""Where architectures are evaluated: in this process, in local worker processes, or on a Ray cluster."""

from __future__ import annotations

from hwnas._workers._base import Workers
from hwnas._workers._kit import PortableEvaluators, torch_threads
from hwnas._workers._messages import EvaluationJob, Outcome
from hwnas._workers._plan import WorkerPlan, make_workers, parse_workers, resolve_threads

__all__ = [
    "EvaluationJob",
    "Outcome",
    "PortableEvaluators",
    "WorkerPlan",
    "Workers",
    "make_workers",
    "parse_workers",
    "resolve_threads",
    "torch_threads",
]
