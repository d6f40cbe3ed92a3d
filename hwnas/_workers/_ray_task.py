"""What a process of a Ray cluster does for a search."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas._errors import HwnasError
from hwnas._version import __version__
from hwnas._workers._kit import Bench, unpack
from hwnas._workers._messages import Job, Reply, sendable
from hwnas.evaluators import Trainer

_bench: tuple[str, tempfile.TemporaryDirectory[str], Bench] | None = None
"""The digest of the kit that this process works with, the folder of its files, and the evaluators."""


def answer(digest: str, box: list[Any], job: Job, version: str) -> Reply:
    """Evaluate one job.

    Args:
        digest: of the kit.
        box: holds the reference to the kit; it is fetched where this process has another one, or none.
        job: the job.
        version: of the search's hwnas.
    """
    try:
        if version != __version__:
            raise HwnasError(f"a node of the Ray cluster has hwnas {__version__}, the search {version}; install one")
        folder, bench = _ready(digest, box)
    except ImportError as error:
        text = f"a node of the Ray cluster cannot make the evaluator ({error}); install there what it needs"
        return Reply(None, HwnasError(text))
    except Exception as error:
        return Reply(None, sendable(error))
    reply = bench.reply(job)
    if reply.outcome is None:
        return reply
    files = {}
    place = folder / ("1" if job.cheap else "0")
    evaluator = bench.evaluator(job)
    for name in evaluator.files(job.arch) if isinstance(evaluator, Trainer) else ():
        if (place / name).exists():
            files[name] = (place / name).read_bytes()
            (place / name).unlink()
    return Reply(replace(reply.outcome, files=files))


def _ready(digest: str, box: list[Any]) -> tuple[Path, Bench]:
    """The evaluators of a kit, kept from task to task."""
    global _bench
    if _bench is None or _bench[0] != digest:
        import ray

        folder = tempfile.TemporaryDirectory(prefix="hwnas-")
        _bench = digest, folder, unpack(ray.get(box[0]), Path(folder.name))
    return Path(_bench[1].name), _bench[2]
