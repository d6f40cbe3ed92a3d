"""`Evaluator`: anything that turns an architecture into an accuracy, or into a score that stands for one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.spaces import Architecture
from hwnas.training import CostFunction, StepProgress

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator says of one architecture.

    Attributes:
        value: the evaluator's measure, more is better: an accuracy is a fraction on the validation part.
        seconds: what this call took, where it says so; a network that an earlier call trained is not trained again.
        known: other numbers that come with it, by name (columns of a benchmark table, epochs).
    """

    value: float
    seconds: float = 0.0
    known: Mapping[str, float] = field(default_factory=dict)


class BadEvaluationError(EvaluatorError):
    """What an evaluator gave is no evaluation: a bug of the evaluator's."""


def checked(evaluator: str, arch: str, found: object) -> Evaluation:
    """What an evaluator gave, its numbers as plain floats.

    Args:
        evaluator: its name.
        arch: the architecture in words.
        found: what it gave; numbers may be numpy's scalars.

    Raises:
        BadEvaluationError: naming both and what is wrong.
    """
    owner = f"evaluator {evaluator}: {arch}"
    if not isinstance(found, Evaluation):
        raise BadEvaluationError(f"{owner}: evaluate must give an Evaluation, got {_shown(found)}")
    if not isinstance(found.known, Mapping) or any(not isinstance(name, str) for name in found.known):
        raise BadEvaluationError(f"{owner}: known must give numbers by name, got {_shown(found.known)}")
    known = {name: _number(f"{owner}: {name} in known", value) for name, value in found.known.items()}
    return Evaluation(_number(f"{owner}: value", found.value), _number(f"{owner}: seconds", found.seconds), known)


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
    """Values of the networks of one space, more is better. Equal settings give equal values.

    A subclass needs a `name`, `settings` and `evaluate`; one that trains networks gives their weights too.

    Worker processes evaluate with copies: an evaluator can be pickled as long as it is not prepared, and a copy is made
    ready by `restore` with what `state` gave here.

    Attributes:
        name: of the kind of evaluator.
        measure: what the values are: ``"accuracy"``, or the name of a score that is none.
        trains: whether networks have weights here (`trained_weights`, `test_accuracy`).
        in_order: whether a value depends on the networks that were evaluated before, so that none can be evaluated at
            the same time.
        shares_weights: whether a value depends on the whole space, since its networks share weights.
        cost: what networks cost where they will run; None for their MACs. May be set before `prepare`.
    """

    name: str
    measure: str = "accuracy"
    trains: bool = False
    in_order: bool = False
    shares_weights: bool = False
    cost: CostFunction | None = None

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
            workdir: for checkpoints and trained weights; made where absent.
            progress: called with steps done, steps in all and a line of text.

        Raises:
            EvaluatorError: the folder belongs to other settings or cannot be written, or training diverged.
        """

    @abstractmethod
    def evaluate(self, arch: Architecture) -> Evaluation:
        """Accuracy on the validation part, or another measure.

        Raises:
            EvaluatorError: `prepare` was not called, or the architecture has no accuracy here.
        """

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What `prepare` learned, by name; empty where it learns nothing."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]], workdir: Path) -> None:
        """Make ready by what another process learned; trains nothing.

        Args:
            state: what `state` gave there.
            workdir: as in `prepare`: the same folder, or an empty one on another machine.
        """
        self.prepare(workdir)

    def files(self, arch: Architecture) -> Sequence[str]:
        """What `evaluate` leaves in the folder for `trained_weights` and `test_accuracy`: names relative to it."""
        return ()

    def trained_weights(self, arch: Architecture) -> Weights:
        """Weights and batch-norm statistics of ``space.graph(arch)`` by ``"node.parameter"``, for `build_onnx`.

        Raises:
            EvaluatorError: the evaluator trains no weights.
        """
        raise EvaluatorError(f"evaluator {self.name}: it trains no networks, so there are no weights to export")

    def test_accuracy(self, arch: Architecture) -> float:
        """Accuracy on the test part of the torch network with `trained_weights`, a fraction; for final reports alone.

        Raises:
            EvaluatorError: the evaluator has no network to test.
        """
        raise EvaluatorError(f"evaluator {self.name}: it trains no networks, so there is none to test")
