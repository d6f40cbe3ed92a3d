"""`TrainingRecord`: what a one-shot training learned, epoch by epoch, as plain numbers in a JSON file. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hwnas._errors import EvaluatorError
from latency_tables import content_hash, read_json, write_atomic

FILE = "oneshot.json"
"""Its name in the evaluator's folder of a run."""
FORMAT = 1
_HASH = "content_hash"

Probabilities = list[list[float]]
"""One list for each choice of the space, in its order."""


@dataclass(frozen=True)
class EpochRecord:
    """The distribution at the end of an epoch.

    Attributes:
        probabilities: The distribution.
        entropy: Mean over the choices of the entropy as a share of the largest: 1 is uniform, 0 is decided.
        expected: Expected cost of a network that is drawn from it, in the cost's unit; None where costs do not count.
        value: Metric of the network that the method had judged, higher is better; None where it had none.
    """

    probabilities: Probabilities
    entropy: float
    expected: float | None = None
    value: float | None = None


@dataclass
class TrainingRecord:
    """The course of a one-shot training.

    Attributes:
        method: Name of the method.
        options: Its options.
        choices: Names of the space's choices.
        values: Their values, in words.
        cost: Key of the cost that the training followed; None for none.
        reference: What counts as 1 of that cost: its budget, else the median of random networks; None without a cost.
        is_budget: Whether `reference` is a budget.
        counts: Whether the cost was part of what the distribution learned from.
        epochs: One entry for each finished epoch.
        snapshots: The distributions that architectures are taken from.
        weight_samples: Train samples that steps of the weights saw.
        distribution_samples: Train samples that steps of the distribution saw, where these are others.
        judged_samples: Validation samples that networks were judged by in training.
        seconds: Duration of all epochs.
        finished: Whether all epochs are done.
    """

    method: str
    options: Mapping[str, Any]
    choices: list[str]
    values: list[list[str]]
    cost: str | None = None
    reference: float | None = None
    is_budget: bool = False
    counts: bool = False
    epochs: list[EpochRecord] = field(default_factory=list)
    snapshots: list[Probabilities] = field(default_factory=list)
    weight_samples: int = 0
    distribution_samples: int = 0
    judged_samples: int = 0
    seconds: float = 0.0
    finished: bool = False

    @property
    def train_samples(self) -> int:
        """Train samples of all steps: what the training cost, whatever machine it ran on."""
        return self.weight_samples + self.distribution_samples

    @property
    def cost_line(self) -> str:
        """What the training cost, in words."""
        rest = f", {self.judged_samples:,} validation samples to judge networks" if self.judged_samples else ""
        own = f" ({self.distribution_samples:,} of them for the distribution)" if self.distribution_samples else ""
        return (
            f"{self.method}: {len(self.epochs)} epochs, {self.train_samples:,} train samples{own}{rest}, "
            f"{self.seconds:.1f} s"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingRecord:
        """Read what `as_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        stated = dict(data)
        if stated.pop("format") != FORMAT:
            raise ValueError("another format")
        stated["epochs"] = [EpochRecord(**entry) for entry in stated["epochs"]]
        record = cls(**stated)
        for probabilities in (*record.snapshots, *(epoch.probabilities for epoch in record.epochs)):
            _require_probabilities(probabilities, record.values)
        return record

    def write(self, path: Path) -> None:
        """Write the file, atomically.

        Raises:
            EvaluatorError: It cannot be written.
        """
        body = self.as_dict()
        try:
            write_atomic(path, json.dumps({**body, _HASH: content_hash(body)}) + "\n")
        except OSError as error:
            raise EvaluatorError(f"cannot write {path}: {error.strerror}") from None


def read_training(path: Path) -> TrainingRecord:
    """Read a file that `TrainingRecord.write` wrote.

    Raises:
        EvaluatorError: It is missing, damaged or was changed.
    """
    try:
        body = read_json(path)
        mark = body.pop(_HASH)
        record = TrainingRecord.from_dict(body)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise EvaluatorError(f"{path} is missing or damaged; restore it or choose another --out") from None
    if mark != content_hash(body):
        raise EvaluatorError(f"{path} was changed after it was written; restore it or choose another --out")
    return record


def entropy(probabilities: Sequence[Sequence[float]]) -> float:
    """Return the mean entropy of the choices with several values, each as a share of the largest it could have."""
    shares = [
        -sum(p * math.log(p) for p in vector if p > 0) / math.log(len(vector))
        for vector in probabilities
        if len(vector) > 1
    ]
    return math.fsum(shares) / len(shares) if shares else 0.0


def _require_probabilities(probabilities: object, values: Sequence[Sequence[str]]) -> None:
    if not isinstance(probabilities, list) or [len(vector) for vector in probabilities] != [len(v) for v in values]:
        raise ValueError("the probabilities do not belong to the choices")
    if not all(type(p) in (int, float) and 0 <= p <= 1 for vector in probabilities for p in vector):
        raise ValueError("probabilities must be from 0 to 1")
