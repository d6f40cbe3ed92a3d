"""Which metric the values of a run and of its networks are, as its files say it.

Files that name no metric are of the one that was the only one; so those of that metric are written as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hwnas._costs._cost import COSTS
from hwnas._errors import HwnasError, RunError
from hwnas.evaluators import PROXIES
from hwnas.tasks import DEFAULT_METRIC, Metric, metric_named

METRIC, SCORE, SCORE_METRIC = "metric", "score", "score_metric"
_MEASURE = "measure"
Source = Literal["test", "torch", "validation", "final_validation"]
"""Where a value of a network comes from: its ONNX file or torch network on the test part, the search, the validation
part after a final training."""
TAKEN = {
    *("id", "trial", "arch", "budgets", "within_budget", "dominated_by", "doubt", "images", "energy_mj"),
    *(
        "arena_bytes",
        "memory_statistic",
        "onnx",
        "onnx_sha256",
        "speed_up",
        "epochs",
        "goes_on",
        METRIC,
        SCORE,
        SCORE_METRIC,
    ),
}
"""Names of other facts in a run's files."""


def metric_facts(metric: Metric, evaluator: str) -> dict[str, object]:
    """Return what a run's identity holds of the metric of its trials, where that does not go without saying.

    Args:
        metric: The evaluator's metric.
        evaluator: As the settings name it.

    Raises:
        RunError: The metric has the name of something else in the run's files.
    """
    if (
        metric.name in TAKEN or metric.name in {cost.key for cost in COSTS.values()}
    ) and not metric.score:  # a score stands apart
        raise RunError(f"metric {metric.name}: a run's files use this name for something else; rename the metric")
    facts: dict[str, object] = {}
    if metric.name != _usual(evaluator):
        facts[_MEASURE] = metric.name
    if metric != metric_named(metric.name):
        facts[METRIC] = metric.as_dict()
    return facts


def metric_of_run(identity: Mapping[str, Any], evaluator: str) -> Metric:
    """Return the metric of a run's trials.

    Args:
        identity: The run's identity.
        evaluator: As its settings name it.

    Raises:
        RunError: The identity holds no valid metric.
    """
    name = str(identity.get(_MEASURE, _usual(evaluator)))
    try:
        return Metric.from_dict(identity[METRIC]) if METRIC in identity else metric_named(name)
    except (ValueError, HwnasError):
        raise RunError("the run's settings hold a metric that cannot be read; choose another folder") from None


def metric_of(network: Mapping[str, Any]) -> Metric:
    """Return the metric that an entry of ``pareto.json`` has tested values of.

    Raises:
        ValueError: It has no valid one.
    """
    return Metric.from_dict(network[METRIC]) if METRIC in network else DEFAULT_METRIC


def score_of(network: Mapping[str, Any]) -> tuple[Metric, float] | None:
    """Return what the search saw of a network where that was another metric; None where it was not."""
    scores = network.get(SCORE)
    if not isinstance(scores, Mapping) or not scores:
        return None
    name, value = next(iter(scores.items()))
    stored = network.get(SCORE_METRIC)
    return (metric_named(str(name)) if stored is None else Metric.from_dict(stored)), float(value)


def key_of(metric: Metric, source: Source) -> str:
    """Return the key of a value in an entry of ``pareto.json``."""
    return metric.name if source == "test" else f"{source}_{metric.name}"


def value_of(network: Mapping[str, Any], source: Source) -> float | None:
    """Return a value of a network's metric; None where it is not known."""
    value = network.get(key_of(metric_of(network), source))
    return None if value is None else float(value)


def _usual(evaluator: str) -> str:
    return PROXIES.get(evaluator, DEFAULT_METRIC.name)
