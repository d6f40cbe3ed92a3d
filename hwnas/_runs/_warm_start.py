"""Trials of another run as the first ones of a search: ``--warm-start``.

These networks are evaluated already, and their values would be the same here. They are copied into the run, so that a
search that is continued does not need the other run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import RunError, SpaceError
from hwnas._runs._journal import JOURNAL, read_trials
from hwnas._runs._run import Run
from hwnas._runs._same_search import differences
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
        source: The other run's folder, as it was given.
        trials: Values of the metric by architecture, in the order of their trials.
    """

    source: str
    trials: Mapping[str, float]

    def codes(self, space: Space) -> npt.NDArray[np.int64]:
        """Return the architectures as canonical codes ``(n, choices)``."""
        rows = [space.encode(space.parse(text)) for text in self.trials]
        return space.canonical_codes(np.array(rows, dtype=np.int64).reshape(len(rows), len(space.choices)))

    def save(self, run: Path) -> None:
        """Keep it in a run.

        Raises:
            RunError: It cannot be written.
        """
        body = {"source": self.source, "trials": dict(self.trials)}
        try:
            write_atomic(run / FILE, json.dumps({**body, _HASH: content_hash(body)}, indent=1) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {run / FILE}: {error.strerror}") from None


def find_warm_start(run: Run, source: str | None, space: Space, evaluator: Evaluator) -> WarmStart | None:
    """Return the warm start that a run was begun with, or that of another run; None without one.

    Args:
        run: The run to begin or to continue; its folder is locked, so that no other search begins it meanwhile.
        source: The other run's folder; None for no warm start.
        space: What is searched.
        evaluator: What gives the values.

    Raises:
        RunError: The other run cannot be read, its values would be different here, or it has none.
    """
    if run.has_trials():  # as it was begun, wherever the other run is now
        if run.settings.warm_start is not None:
            return _read_kept(run.path / FILE)
        if source is not None:
            raise RunError(f"{run.path} was started without --warm-start; leave it out, or choose another --out")
        return None
    return None if source is None else _read_other(run, source, space, evaluator)


def _read_other(run: Run, source: str, space: Space, evaluator: Evaluator) -> WarmStart:
    """Return the values of another run's full evaluations of architectures of this space."""
    if not Path(source).is_dir():
        raise RunError(f"--warm-start {source}: no such run; name the folder of a search (see `hwnas runs`)")
    other = Run.open(Path(source))
    _require_same_values(other, run, space, evaluator)
    values: dict[str, float] = {}
    for record in read_trials(other.path / JOURNAL, unhashed=other.unhashed):
        text = None if record.low_fidelity else _text_here(space, record.arch)
        value = record.values.get(evaluator.metric.name)
        if text is not None and value is not None:
            values.setdefault(text, value)
    if not values:
        raise RunError(f"--warm-start {source}: none of its trials is a network of this space; leave it out")
    return WarmStart(source, values)


def copy_training(run: Run, source: str) -> bool:
    """Copy the supernet of the other run, where there is one; it is checked when it is loaded.

    Returns:
        Whether it was copied.

    Raises:
        RunError: It cannot be written.
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
    """Refuse a run whose values would be different in this search.

    Raises:
        RunError: Naming the first fact that differs.
    """
    where = f"--warm-start {other.path}"
    if evaluator.in_order:
        raise RunError(
            f"{where}: evaluator {evaluator.name} stops trainings early depending on earlier ones; "
            "leave --warm-start out"
        )
    if evaluator.shares_weights:
        if not (other.path / _CHECKPOINT).is_file():
            raise RunError(f"{where}: its supernet {_CHECKPOINT} is missing; leave --warm-start out")
        if "'sampling': 'uniform'" not in repr(evaluator.settings):
            raise RunError(
                f"{where}: with --supernet-sampling bestup or worstup the supernet depends on the latency table; "
                "leave --warm-start out"
            )
    if other.settings.device.startswith("cuda") != run.settings.device.startswith("cuda"):
        raise RunError(f"{where}: only one of the two runs trains on a GPU, so values differ; leave --warm-start out")
    facts = _FACTS if isinstance(evaluator, TableEvaluator) else (*_FACTS, "space")
    there, here = ({fact: part.identity.get(fact) for fact in facts} for part in (other, run))
    for name, old, new in differences(there, here):
        raise RunError(f"{where}: its {name} is {old}, this search has {new}, so values differ; leave --warm-start out")


def _text_here(space: Space, text: object) -> str | None:
    """Return how this space spells an architecture of the other run; None where this space lacks it."""
    try:
        arch = space.parse(str(text))
        return space.format(arch) if bool(space.valid_codes(space.encode(arch)[None])[0]) else None
    except SpaceError:
        return None


def _read_kept(path: Path) -> WarmStart:
    try:
        body = read_json(path)
        mark = body.pop(_HASH)
        warm_start = WarmStart(str(body["source"]), {str(text): float(value) for text, value in body["trials"].items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise RunError(f"{path} is missing or damaged; restore it or choose another --out") from None
    if mark != content_hash(body):
        raise RunError(f"{path} was changed after it was written; restore it or choose another --out")
    return warm_start
