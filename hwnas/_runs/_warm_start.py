"""Trials of another run as the first ones of a search: ``--warm-start``.

They are evaluated networks whose value would come out the same here. What is taken over is kept in the run, so that
a search that goes on needs the other run no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import RunError, SpaceError
from hwnas._runs._list import journal_records
from hwnas._runs._run import Run, flat, shortened
from hwnas.evaluators import Evaluator, TableEvaluator
from hwnas.spaces import Space
from latency_tables import content_hash, read_json, read_regular, write_atomic

FILE = "warm-start.json"
_HASH = "content_hash"
_CHECKPOINT = "evaluator/supernet.pt"
_FACTS = ("evaluator", "data", "measure", "metric")


@dataclass(frozen=True)
class WarmStart:
    """What a search begins with.

    Attributes:
        source: the other run's folder, as it was given.
        trials: values of the metric by architecture, in the order of their trials.
    """

    source: str
    trials: Mapping[str, float]

    def codes(self, space: Space) -> npt.NDArray[np.int64]:
        """The architectures as canonical codes ``(n, choices)``."""
        rows = [space.encode(space.parse(text)) for text in self.trials]
        return space.canonical_codes(np.array(rows, dtype=np.int64).reshape(len(rows), len(space.choices)))

    def save(self, run: Path) -> None:
        """Keep it in a run.

        Raises:
            RunError: it cannot be written.
        """
        body = {"source": self.source, "trials": dict(self.trials)}
        try:
            write_atomic(run / FILE, json.dumps({**body, _HASH: content_hash(body)}, indent=1) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {run / FILE}: {error.strerror}") from None


def find_warm_start(run: Run, source: str | None, space: Space, evaluator: Evaluator) -> WarmStart | None:
    """The warm start that a run was begun with, or that of another run; None without one.

    Args:
        run: the run to be begun or taken up, with its identity.
        source: the other run's folder; None for no warm start.
        space: what is searched.
        evaluator: what gives the values.

    Raises:
        RunError: the other run cannot be read, its values would come out otherwise here, or it has none.
    """
    if run.has_trials():  # as it was begun, wherever the other run is now
        if run.settings.warm_start is not None:
            return _kept(run.path / FILE)
        if source is not None:
            raise RunError(f"{run.path} was begun without --warm-start; leave it out, or choose another --out")
        return None
    if source is None:
        return None
    if not Path(source).is_dir():
        raise RunError(f"--warm-start {source}: no such run; name the folder of a search (see `hwnas runs`)")
    other = Run.open(Path(source))
    _require_same_values(other, run, space, evaluator)
    found: dict[str, float] = {}
    for number, record in enumerate(journal_records(other), 1):
        try:
            value, cheap = dict(record["values"]).get(evaluator.metric.name), record.get("cheap", False)
            text = None if cheap else _known_text(space, record["arch"])
            if text is not None and value is not None:
                found.setdefault(text, float(value))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            raise RunError(
                f"--warm-start {source}: line {number} of its trials.jsonl is damaged; leave it out"
            ) from None
    if not found:
        raise RunError(f"--warm-start {source}: none of its trials is a network of this space; leave it out")
    return WarmStart(source, found)


def copy_training(run: Run, source: str) -> bool:
    """Take over the supernet that the other run has trained, where there is one; its own checks come when it is loaded.

    Raises:
        RunError: it cannot be written.
    """
    there, here = Path(source) / _CHECKPOINT, run.folder("evaluator") / Path(_CHECKPOINT).name
    if here.exists() or not there.is_file():
        return False
    try:
        write_atomic(here, read_regular(there))
    except OSError as error:
        raise RunError(f"cannot copy {there} to {here}: {error.strerror}") from None
    return True


def _require_same_values(other: Run, run: Run, space: Space, evaluator: Evaluator) -> None:
    """Refuse a run whose evaluations this search would not have made.

    Raises:
        RunError: naming the first fact that differs.
    """
    where = f"--warm-start {other.path}"
    if evaluator.in_order:
        raise RunError(f"{where}: evaluator {evaluator.name} ends trainings by what earlier ones reached; leave it out")
    if evaluator.shares_weights:
        if not (other.path / _CHECKPOINT).is_file():
            raise RunError(f"{where}: it has no {_CHECKPOINT}, whose weights its values are of; leave it out")
        if "'sampling': 'uniform'" not in repr(evaluator.settings):
            raise RunError(f"{where}: what bestup and worstup train depends on the latency table; leave it out")
    if [one.settings.device.startswith("cuda") for one in (other, run)] in ([True, False], [False, True]):
        raise RunError(f"{where}: one of the two trains on a GPU, so its values would come out otherwise; leave it out")
    for fact in _FACTS if isinstance(evaluator, TableEvaluator) else (*_FACTS, "space"):
        there, here = (flat({fact: one.identity.get(fact)}) for one in (other, run))
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                raise RunError(
                    f"{where}: its {name} is {shortened(there.get(name))}, this search has "
                    f"{shortened(here.get(name))}, so its values would come out otherwise; leave --warm-start out"
                )


def _known_text(space: Space, text: object) -> str | None:
    """How this space spells an architecture of the other run; None where it is none of this space."""
    try:
        arch = space.parse(str(text))
        return space.format(arch) if bool(space.valid_codes(space.encode(arch)[None])[0]) else None
    except SpaceError:
        return None


def _kept(path: Path) -> WarmStart:
    try:
        body = read_json(path)
        mark = body.pop(_HASH)
        found = WarmStart(str(body["source"]), {str(text): float(value) for text, value in body["trials"].items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise RunError(f"{path} is missing or damaged; restore it or choose another --out") from None
    if mark != content_hash(body):
        raise RunError(f"{path} was changed after it was written; restore it or choose another --out")
    return found
