"""Objects of the user's that take the place of names in the settings of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwnas._errors import EvaluatorError, HwnasError
from hwnas.data import ImageData
from hwnas.evaluators import Evaluation, Evaluator
from hwnas.spaces import Architecture, Space
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
        data: Data of the evaluator and of the final tests.
        evaluator: Where values come from.
        strategy: What proposes architectures.
        table: Latencies.
        backend: Measures on the device.
    """

    space: Space | None = None
    data: ImageData | None = None
    evaluator: Evaluator | None = None
    strategy: Strategy | None = None
    table: LatencyTable | None = None
    backend: Backend | None = None


def require_fraction(evaluator: Evaluator, space: Space, arch: Architecture, found: Evaluation) -> Evaluation:
    """The evaluation, unless it calls something an accuracy that cannot be one.

    Raises:
        EvaluatorError: it lies outside 0 to 1.
    """
    if evaluator.measure == "accuracy" and not (0 <= found.value <= 1 or np.isnan(found.value)):
        raise EvaluatorError(
            f"evaluator {evaluator.name}: an accuracy is a fraction, not {found.value:g} ({space.format(arch)}); "
            "divide percent by 100, or give another measure"
        )
    return found


def require_plain(settings: Mapping[str, object], where: str = "") -> None:
    """Refuse settings that could not be read again from the run's folder.

    Raises:
        HwnasError: naming one that is text but not UTF-8, or a number that is not finite.
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
