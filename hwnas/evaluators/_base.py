"""`Evaluator`: anything that turns an architecture into an accuracy, or into a score that stands for one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.spaces import Architecture
from hwnas.training import CostFunction, Progress

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
        cost: what networks cost where they will run; None for their MACs. May be set before `prepare`.
    """

    name: str
    measure: str = "accuracy"
    trains: bool = False
    in_order: bool = False
    cost: CostFunction | None = None

    @property
    @abstractmethod
    def settings(self) -> dict[str, object]:
        """JSON-able settings, with what identifies its data: a run with others is another run."""

    def prepare(self, workdir: Path, progress: Progress | None = None) -> None:  # noqa: B027 - many need nothing
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
