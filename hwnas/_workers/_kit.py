"""What workers need to evaluate: the evaluators as they were before `prepare`, and what `prepare` learned.

It travels pickled through pipes and Ray's object store, between processes of one search; no file holds it.
"""

from __future__ import annotations

import copy
import gc
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._common._foreign import LEAVES, Leaving, error_line
from hwnas._errors import HwnasError, NoValueError
from hwnas._workers._messages import EvaluationJob, Outcome, Reply, sendable
from hwnas.evaluators import Evaluator
from hwnas.evaluators._base import BadEvaluationError, checked
from latency_tables import LatencyTableError
from profilers import ProfilerError
from search import SearchError

MOST_ERRORS = 3
"""A trial whose evaluation raises so many times has failed."""
_INVALID = "an invalid evaluation"


class ReadyEvaluators:
    """Evaluators that are prepared.

    Args:
        evaluator: Makes full evaluations.
        cheap: Its low-fidelity stand-in; None for none.
        threads: Torch threads of one evaluation; None leaves the number to torch.
    """

    def __init__(self, evaluator: Evaluator, cheap: Evaluator | None, threads: int | None) -> None:
        self._evaluator, self._cheap, self._threads = evaluator, cheap, threads

    def evaluator(self, job: EvaluationJob) -> Evaluator:
        """Return the evaluator of a job."""
        return self._cheap if job.cheap and self._cheap is not None else self._evaluator

    def evaluate(self, job: EvaluationJob) -> Outcome:
        """Evaluate; an architecture without a value is a failed outcome, and so is one that raises each time.

        Raises:
            HwnasError, LatencyTableError, ProfilerError, SearchError: The evaluator says why it cannot continue.
        """
        outcome = self._once(job)
        for _ in range(MOST_ERRORS - 1):
            if outcome.trouble is None or outcome.trouble == _INVALID:
                break
            gc.collect()  # what the error kept alive: out of memory, there may be enough now
            outcome = self._once(job)
        return outcome

    def _once(self, job: EvaluationJob) -> Outcome:
        began = time.perf_counter()
        evaluator = self.evaluator(job)
        try:
            with torch_threads(self._threads):
                evaluation = checked(evaluator.name, job.text or str(job.arch), evaluator.evaluate(job.arch))
        except NoValueError as error:
            return Outcome(None, str(error), time.perf_counter() - began)
        except BadEvaluationError as error:
            return Outcome(None, str(error), time.perf_counter() - began, _INVALID)
        except (HwnasError, LatencyTableError, ProfilerError, SearchError, Leaving):
            raise
        except (Exception, *LEAVES) as error:
            why = f"evaluator {evaluator.name}: {job.text or job.arch}: {error_line(error)}"
            return Outcome(None, why, time.perf_counter() - began, type(error).__name__)
        return Outcome(evaluation, None, time.perf_counter() - began)

    def reply(self, job: EvaluationJob) -> Reply:
        """Return as `evaluate`, with errors as values that can be sent; their notes hold the traceback."""
        try:
            return Reply(self.evaluate(job))
        except Exception as error:
            return Reply(None, sendable(error))


class PortableEvaluators:
    """Evaluators for this process and, packed, for workers. Make it before the evaluators are prepared.

    Args:
        evaluator: Makes full evaluations.
        folder: The folder that it is prepared in.
        cheap: Its low-fidelity stand-in; None for none.
        cheap_folder: The folder that the stand-in is prepared in.
        threads: Torch threads of one evaluation; None leaves the number to torch.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        folder: Path,
        cheap: Evaluator | None = None,
        cheap_folder: Path | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self.threads = threads
        self._places = [(evaluator, folder), *([(cheap, cheap_folder or folder)] if cheap is not None else [])]
        self._blank = [_blank(evaluator) for evaluator, _ in self._places]

    def ready(self) -> ReadyEvaluators:
        """Return the evaluators of this process, which were prepared here."""
        evaluator, *cheap = [each for each, _ in self._places]
        return ReadyEvaluators(evaluator, cheap[0] if cheap else None, self.threads)

    def folder(self, job: EvaluationJob) -> Path:
        """Return the folder where the evaluator of a job keeps its files."""
        return self._places[-1 if job.cheap else 0][1]

    def pack(self) -> bytes:
        """Return everything that `unpack` needs, once the evaluators are prepared.

        Raises:
            HwnasError: An evaluator cannot be pickled.
        """
        tools = [
            _PackedEvaluator(blank, dict(evaluator.state()), str(folder.resolve()))
            for blank, (evaluator, folder) in zip(self._blank, self._places, strict=True)
        ]
        try:
            return pickle.dumps((tools, self.threads), protocol=5)
        except Exception as error:  # whatever an evaluator's own parts raise
            names = " and ".join(evaluator.name for evaluator, _ in self._places)
            raise HwnasError(f"evaluator {names} cannot be sent to workers ({error}); use --workers 1") from error


@dataclass(frozen=True)
class _PackedEvaluator:
    """One evaluator on its way."""

    blank: Evaluator
    state: Mapping[str, npt.NDArray[Any]]
    folder: str


def unpack(packed: bytes, elsewhere: Path | None = None) -> ReadyEvaluators:
    """Return the evaluators of a worker.

    Args:
        packed: From `PortableEvaluators.pack`, through a pipe or an object store, never from a file.
        elsewhere: Folder for the evaluators' files; None where the run's own can be reached.
    """
    tools, threads = pickle.loads(packed)
    for number, tool in enumerate(tools):
        folder = Path(tool.folder) if elsewhere is None else elsewhere / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        tool.blank.restore({name: np.array(array) for name, array in tool.state.items()}, folder)
    evaluator, *cheap = [tool.blank for tool in tools]
    return ReadyEvaluators(evaluator, cheap[0] if cheap else None, threads)


def _blank(evaluator: Evaluator) -> Evaluator:
    """Return a copy that was not prepared. What networks cost is needed in training alone and stays in this process."""
    blank = copy.copy(evaluator)
    blank.cost = None
    return blank


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch compute with `count` threads for a while; None leaves it as it is, and need not load it."""
    if count is None:
        yield
        return
    from hwnas.training._loop import compute_threads

    with compute_threads(count):
        yield
