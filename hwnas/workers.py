"""Who evaluates architectures: this process, local worker processes, or a Ray cluster."""

from hwnas._workers import (
    EvaluationJob,
    Outcome,
    PortableEvaluators,
    WorkerPlan,
    Workers,
    make_workers,
    parse_workers,
)

__all__ = [
    "EvaluationJob",
    "Outcome",
    "PortableEvaluators",
    "WorkerPlan",
    "Workers",
    "make_workers",
    "parse_workers",
]
