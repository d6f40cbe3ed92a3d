"""What a process of a Ray cluster does for a search."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas._errors import HwnasError
from hwnas._version import __version__
from hwnas._workers._kit import ReadyEvaluators, unpack
from hwnas._workers._messages import EvaluationJob, Reply, sendable
from hwnas.evaluators import Trainer

_ready_evaluators: tuple[str, tempfile.TemporaryDirectory[str], ReadyEvaluators] | None = None
"""Digest of the packed evaluators that this process works with, the folder of its files, and the evaluators."""


def answer(digest: str, box: list[Any], job: EvaluationJob, version: str) -> Reply:
    """Evaluate one job.

    Args:
        digest: Digest of the packed evaluators.
        box: Holds the reference to the packed evaluators, which are fetched unless this process has them.
        job: The job.
        version: Version of the search's hwnas.
    """
    try:
        if version != __version__:
            raise HwnasError(
                f"a node of the Ray cluster has hwnas {__version__}, the search {version}; install the same version"
            )
        folder, evaluators = _ready(digest, box)
    except ImportError as error:
        text = f"a node of the Ray cluster cannot make the evaluator ({error}); install its dependencies there"
        return Reply(None, HwnasError(text))
    except Exception as error:
        return Reply(None, sendable(error))
    reply = evaluators.reply(job)
    if reply.outcome is None:
        return reply
    files = {}
    place = folder / ("1" if job.cheap else "0")
    evaluator = evaluators.evaluator(job)
    for name in evaluator.files(job.arch) if isinstance(evaluator, Trainer) else ():
        if (place / name).exists():
            files[name] = (place / name).read_bytes()
            (place / name).unlink()
    return Reply(replace(reply.outcome, files=files))


def _ready(digest: str, box: list[Any]) -> tuple[Path, ReadyEvaluators]:
    """Unpack the evaluators of a digest, kept from task to task."""
    global _ready_evaluators
    if _ready_evaluators is None or _ready_evaluators[0] != digest:
        import ray

        folder = tempfile.TemporaryDirectory(prefix="hwnas-")
        _ready_evaluators = digest, folder, unpack(ray.get(box[0]), Path(folder.name))
    return Path(_ready_evaluators[1].name), _ready_evaluators[2]
