"""Rungs: after so many epochs a training continues only if it is among the best of those before it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas._common._chain import Chain
from hwnas._errors import EvaluatorError
from hwnas.tasks import Metric
from latency_tables import LatencyTableError, LineJournal, read_regular


def rung_epochs(epochs: int, eta: int) -> tuple[int, ...]:
    """Return epochs after which a training of `epochs` may end, from few to many: 1/eta of them, 1/eta^2, ..."""
    rungs = []
    while (epochs := epochs // eta) >= 1:
        rungs.append(epochs)
    return tuple(reversed(rungs))


def survives(value: float, earlier: list[float], eta: int) -> bool:
    """Return whether a value is among the greatest 1/eta of all values so far at its rung; equals share a place.

    Successive halving for trainings that come one after the other, decided on what is known so far (Li et al. 2020,
    arXiv 1810.05934, section 3.2). With eta 2 it is the median rule. The first eta - 1 trainings at a rung continue.
    """
    places = (len(earlier) + 1) // eta
    return places == 0 or sum(other > value for other in earlier) < places


class Rungs:
    """Values of the metric at the rungs and what was decided on them, on disk before training continues.

    Each line has a hash (`Chain`), except those of versions that wrote none. A decision is never taken twice: a
    training that is resumed or loaded again is told what it was told before.

    Args:
        path: The file, one JSON line a decision; made when the first is taken.
        epochs: Epochs of a whole training.
        eta: 1/eta of the trainings at a rung continue; at least 2.
        identity: Settings that the values belong to.
        metric: What the values are.

    Raises:
        EvaluatorError: The file is damaged or belongs to other settings, or eta is below 2.
    """

    def __init__(self, path: Path, epochs: int, eta: int, identity: Mapping[str, object], metric: Metric) -> None:
        self.path, self.eta, self.epochs = path, eta, rung_epochs(epochs, eta)
        self._metric = metric
        self._identity = json.loads(json.dumps(dict(identity)))
        self._chain = Chain(unhashed=True)
        self._decided: dict[tuple[str, int], bool] = {}
        self._values: dict[int, list[float]] = {epochs: [] for epochs in self.epochs}
        written = self._read()
        self._begun = bool(written)
        header, *records = written or [self._identity]
        if header != self._identity:
            raise EvaluatorError(f"{path}: belongs to other settings; use another folder or remove it")
        try:
            for record in records:
                self._take(record["arch"], record["epochs"], record[metric.name], record["goes_on"])
        except (ValueError, KeyError, TypeError):
            raise self._damaged() from None

    def _read(self) -> list[Any]:
        try:
            lines = read_regular(self.path).split(b"\n")[:-1] if self.path.exists() else []
            return [self._chain.read(line) for line in lines]
        except (OSError, ValueError, RecursionError):
            raise self._damaged() from None

    def _damaged(self) -> EvaluatorError:
        return EvaluatorError(f"{self.path}: damaged; restore it, or remove it to decide again")

    def known(self, arch: str, epochs: int) -> bool | None:
        """Return what was decided on this training at this rung; None where nothing was."""
        return self._decided.get((arch, epochs))

    def decide(self, arch: str, epochs: int, value: float) -> bool:
        """Return whether the training continues, by the values of earlier ones at the same rung.

        Raises:
            EvaluatorError: The decision cannot be written down.
        """
        continues = survives(self._metric.sign * value, self._values[epochs], self.eta)
        record = {"arch": arch, "epochs": epochs, self._metric.name: value, "goes_on": continues}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            journal = LineJournal(self.path, json.dumps(self._identity).encode("ascii")[:-1])  # a hash follows
            try:
                for entry in (record,) if self._begun else (self._identity, record):
                    journal.append(self._chain.written(entry))
                    self._chain.commit(entry)
            finally:
                journal.close()
        except OSError as error:
            raise EvaluatorError(f"cannot write {self.path}: {error.strerror}") from None
        except LatencyTableError as error:  # another process has it, or it is not ours
            raise EvaluatorError(str(error)) from None
        self._begun = True
        self._take(arch, epochs, value, continues)
        return continues

    def stopped_at(self, arch: str) -> int | None:
        """Return epochs after which this training was ended; None where it was not."""
        return next((epochs for epochs in self.epochs if self._decided.get((arch, epochs)) is False), None)

    def _take(self, arch: str, epochs: int, value: float, continues: bool) -> None:
        self._decided[arch, epochs] = continues
        self._values[epochs].append(self._metric.sign * float(value))
