"""`Evaluator`: anything that turns an architecture into a value of a metric; `Trainer`: one that has weights too."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.spaces import Architecture
from hwnas.tasks import DEFAULT_METRIC, Metric, metric_named
from hwnas.training import CostFunction, StepProgress

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator says of one architecture.

    Attributes:
        value: The evaluator's metric, on the validation part where there is one.
        seconds: What this call took, where it says so; a network that an earlier call trained is not trained again.
        extra_columns: Other numbers that come with it, by name (columns of a benchmark table, epochs).
    """

    value: float
    seconds: float = 0.0
    extra_columns: Mapping[str, float] = field(default_factory=dict)


class BadEvaluationError(EvaluatorError):
    """What an evaluator gave is not an evaluation: a bug of the evaluator's."""


def checked(evaluator: str, arch: str, given: object) -> Evaluation:
    """Return what an evaluator gave, its numbers as plain floats.

    Args:
        evaluator: Its name.
        arch: The architecture in words.
        given: What it gave; numbers may be numpy's scalars.

    Raises:
        BadEvaluationError: Naming both and what is wrong.
    """
    owner = f"evaluator {evaluator}: {arch}"
    if not isinstance(given, Evaluation):
        raise BadEvaluationError(f"{owner}: evaluate must return an Evaluation, got {_shown(given)}")
    columns = given.extra_columns
    if not isinstance(columns, Mapping) or any(not isinstance(name, str) for name in columns):
        raise BadEvaluationError(f"{owner}: extra_columns must be numbers by name, got {_shown(columns)}")
    numbers = {name: _number(f"{owner}: {name} in extra_columns", value) for name, value in columns.items()}
    return Evaluation(_number(f"{owner}: value", given.value), _number(f"{owner}: seconds", given.seconds), numbers)


def _number(owner: str, value: object) -> float:
    plain = value.item() if isinstance(value, np.generic) else value
    if type(plain) in (int, float):
        try:
            number = float(plain)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise BadEvaluationError(f"{owner} must be a finite number, got {_shown(value)}")


def _shown(value: object) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a foreign object's repr may do anything
        text = ""
    return f"{type(value).__name__} {text[:60]}".strip()


class Evaluator(ABC):
    """Values of the networks of one space. Equal settings give equal values.

    A subclass needs a `name`, `settings` and `evaluate`. One that trains networks is a `Trainer` too.

    Worker processes evaluate with copies: an evaluator can be pickled as long as it is not prepared, and a copy is made
    ready by `restore` with what `state` gave here.

    Attributes:
        name: What ``--evaluator`` calls it.
        measure: The name of the metric, for evaluators that state no `metric`: a metric of ours, or a score (which
            more is better of).
        in_order: Whether a value depends on the networks that were evaluated before, so that none can be evaluated at
            the same time.
        shares_weights: Whether a value depends on the whole space, since its networks share weights.
        cost: What networks cost where they will run; None for their MACs. May be set before `prepare`.
    """

    name: str
    measure: str = DEFAULT_METRIC.name
    in_order: bool = False
    shares_weights: bool = False
    cost: CostFunction | None = None

    @cached_property
    def metric(self) -> Metric:
        """What the values are: name, unit, direction and bounds."""
        return metric_named(self.measure)

    @property
    @abstractmethod
    def settings(self) -> dict[str, object]:
        """JSON-able settings, with what identifies its data: a run with others is another run."""

    def set_cost(self, cost: CostFunction) -> None:
        """Take what networks cost where they will run; a search with a latency table calls this before `prepare`."""
        self.cost = cost

    def prepare(self, workdir: Path, progress: StepProgress | None = None) -> None:  # noqa: B027 - many need nothing
        """Make ready, in a folder of its own; what an earlier call there finished or began is used.

        Args:
            workdir: For checkpoints and trained weights; made where absent.
            progress: Called with steps done, steps in all and a line of text.

        Raises:
            EvaluatorError: The folder belongs to other settings or cannot be written, or training diverged.
        """

    @abstractmethod
    def evaluate(self, arch: Architecture) -> Evaluation:
        """Return the metric of one network.

        Raises:
            NoValueError: This architecture has none.
            EvaluatorError: `prepare` was not called.
        """

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what `prepare` learned, by name; empty where it learns nothing."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]], workdir: Path) -> None:
        """Make ready by what another process learned; trains nothing.

        Args:
            state: What `state` gave there.
            workdir: As in `prepare`: the same folder, or an empty one on another machine.
        """
        self.prepare(workdir)


class Trainer(ABC):
    """What an evaluator offers besides where its networks have weights: they can be delivered."""

    def files(self, arch: Architecture) -> Sequence[str]:
        """Return what `evaluate` leaves in the folder for the other methods: names relative to it."""
        return ()

    @abstractmethod
    def trained_weights(self, arch: Architecture) -> Weights:
        """Return weights and batch-norm statistics of ``space.graph(arch)`` by ``"node.parameter"``, for `build_onnx`.

        They may be the start of another training.
        """

    @abstractmethod
    def test_value(self, arch: Architecture) -> float:
        """Return the task's metric of the network with `trained_weights` on the test part; for final reports only."""


def require_current(evaluator: Evaluator) -> None:
    """Refuse an evaluator that was written for another hwnas.

    Raises:
        EvaluatorError: It says that it trains networks in the way of hwnas 0.x before `Trainer`.
    """
    if getattr(evaluator, "trains", False) and not isinstance(evaluator, Trainer):
        raise EvaluatorError(
            f"evaluator {evaluator.name}: `trains = True` has no meaning any more; make it a subclass of hwnas.Trainer "
            "too, and call its test_accuracy test_value"
        )
