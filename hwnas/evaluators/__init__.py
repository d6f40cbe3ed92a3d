"""Evaluators: what turns an architecture into a value of a metric. Torch is loaded when one is prepared."""

from __future__ import annotations

from hwnas.evaluators._base import Evaluation, Evaluator, Trainer, require_current
from hwnas.evaluators._benchmark import ArchitectureIndex, BenchmarkTable
from hwnas.evaluators._csv import MS_OF, latency_unit
from hwnas.evaluators._make import evaluator_names, evaluator_parameters, make_evaluator
from hwnas.evaluators._oneshot import OneShotEvaluator
from hwnas.evaluators._precision import metric_at
from hwnas.evaluators._proxy import PROXIES, ProxyEvaluator
from hwnas.evaluators._rank import RankCorrelation, draw_benchmark, rank_correlation
from hwnas.evaluators._supernet import SupernetEvaluator
from hwnas.evaluators._table import TableEvaluator
from hwnas.evaluators._train import TrainEvaluator

__all__ = [
    "MS_OF",
    "PROXIES",
    "ArchitectureIndex",
    "BenchmarkTable",
    "Evaluation",
    "Evaluator",
    "OneShotEvaluator",
    "ProxyEvaluator",
    "RankCorrelation",
    "SupernetEvaluator",
    "TableEvaluator",
    "TrainEvaluator",
    "Trainer",
    "draw_benchmark",
    "evaluator_names",
    "evaluator_parameters",
    "latency_unit",
    "make_evaluator",
    "metric_at",
    "rank_correlation",
    "require_current",
]
