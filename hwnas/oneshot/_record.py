"""`TrainingRecord`: what a one-shot training learned, epoch by epoch, as plain numbers in a JSON file. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hwnas._errors import EvaluatorError
from latency_tables import content_hash, read_json, write_atomic

FILE = "oneshot.json"
"""Its name in the evaluator's folder of a run."""
FORMAT = 1
SEVERAL = 2
"""The format of trainings for several devices; those for one have the first."""
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
class DeviceRecord:
    """What a training for several devices holds of one of them: the attributes are those of `TrainingRecord`."""

    cost: str | None = None
    reference: float | None = None
    is_budget: bool = False
    counts: bool = False
    epochs: list[EpochRecord] = field(default_factory=list)
    snapshots: list[Probabilities] = field(default_factory=list)


_OF_DEVICE = tuple(part.name for part in fields(DeviceRecord))
"""What a training for several devices holds of each of them, in place of one of all."""


@dataclass
class TrainingRecord:
    """The course of a one-shot training.

    One for several devices has `cost`, `reference`, `is_budget`, `counts`, `epochs` and `snapshots` in `devices` alone.

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
        devices: What was learned for each of several devices, by name; empty for one.
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
    devices: dict[str, DeviceRecord] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, DeviceRecord | TrainingRecord]:
        """What was learned for each device, by name; of one device, what was learned, without a name."""
        return {**self.devices} if self.devices else {"": self}

    @property
    def epochs_done(self) -> int:
        """How many epochs are finished."""
        return min(len(part.epochs) for part in self.parts.values())

    @property
    def is_shared(self) -> bool:
        """Whether one distribution serves several devices."""
        first, *others = self.parts.values()
        return bool(others) and all(other.snapshots == first.snapshots for other in others)

    def of(self, device: str) -> TrainingRecord:
        """Return the record of one of several devices, as that of a training for it alone would be.

        Raises:
            KeyError: There is no such device.
        """
        part = self.devices[device]
        return replace(self, devices={}, **{name: getattr(part, name) for name in _OF_DEVICE})

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
            f"{self.method}: {self.epochs_done} epochs, {self.train_samples:,} train samples{own}{rest}, "
            f"{self.seconds:.1f} s"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"format": SEVERAL if self.devices else FORMAT, **self.stored()}

    def stored(self) -> dict[str, Any]:
        """Return the same without the format."""
        facts = asdict(self)
        for name in _OF_DEVICE if self.devices else ("devices",):
            del facts[name]
        return facts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingRecord:
        """Read what `as_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        stated = dict(data)
        if stated.pop("format") != (SEVERAL if "devices" in stated else FORMAT):
            raise ValueError("another format")
        return cls.from_stored(stated)

    @classmethod
    def from_stored(cls, data: Mapping[str, Any]) -> TrainingRecord:
        """Read what `stored` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        stated = dict(data)
        if "devices" in stated:
            stated["devices"] = {name: DeviceRecord(**_read(part)) for name, part in stated["devices"].items()}
            if not stated["devices"] or not set(_OF_DEVICE).isdisjoint(stated):
                raise ValueError("a training for several devices holds what it learned by device")
        else:
            stated = _read(stated)
        record = cls(**stated)
        for part in record.parts.values():
            for probabilities in (*part.snapshots, *(epoch.probabilities for epoch in part.epochs)):
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


def _read(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with the epochs among them as `EpochRecord`."""
    return {**part, "epochs": [EpochRecord(**entry) for entry in part["epochs"]]}


def _require_probabilities(probabilities: object, values: Sequence[Sequence[str]]) -> None:
    if not isinstance(probabilities, list) or [len(vector) for vector in probabilities] != [len(v) for v in values]:
        raise ValueError("the probabilities do not belong to the choices")
    if not all(type(p) in (int, float) and 0 <= p <= 1 for vector in probabilities for p in vector):
        raise ValueError("probabilities must be from 0 to 1")
