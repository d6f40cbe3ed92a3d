"""Objects of the user's that take the place of names in the settings of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hwnas._errors import EvaluatorError, HwnasError
from hwnas.evaluators import Evaluation, Evaluator
from hwnas.spaces import Architecture, Space
from hwnas.tasks import Task
from latency_tables import LatencyTable
from profilers import Backend
from search import Strategy

NO_DATA = "none"
"""``--data`` of a search whose evaluator looks at no data."""


@dataclass(frozen=True)
class Overrides:
    """What a search is given as objects; None where the settings name it.

    Attributes:
        space: What is searched.
        task: What networks are for: data of the evaluator and of the final tests.
        evaluator: Where values come from.
        strategy: What proposes architectures.
        table: Latencies.
        backend: Measures on the device.
    """

    space: Space | None = None
    task: Task | None = None
    evaluator: Evaluator | None = None
    strategy: Strategy | None = None
    table: LatencyTable | None = None
    backend: Backend | None = None


def require_in_bounds(evaluator: Evaluator, space: Space, arch: Architecture, given: Evaluation) -> Evaluation:
    """Return the evaluation, unless its value cannot be one of the evaluator's metric.

    Raises:
        EvaluatorError: The value is outside the metric's bounds.
    """
    evaluator.metric.require(given.value, f"evaluator {evaluator.name}: {space.format(arch)}", EvaluatorError)
    return given


def require_plain(settings: Mapping[str, object], where: str = "") -> None:
    """Refuse settings that could not be read again from the run's folder.

    Raises:
        HwnasError: Naming one that is text but not UTF-8, or a number that is not finite.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            require_plain(value, f"{where}{name}.")
        for item in value if isinstance(value, (list, tuple)) else [value]:
            try:
                item.encode() if isinstance(item, str) else None
            except UnicodeEncodeError:
                raise HwnasError(f"{where}{name} is not UTF-8: {item!a}; give it another name") from None
            if isinstance(item, float) and not math.isfinite(item):
                raise HwnasError(f"{where}{name} must be a finite number, got {item}")
