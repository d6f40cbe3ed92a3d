"""Who evaluates: what the command line asks for, and the workers that follow from it."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path

from hwnas._errors import HwnasError
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._workers._base import Workers
from hwnas._workers._effort import choose_threads
from hwnas._workers._inline import InlineWorkers
from hwnas._workers._kit import PortableEvaluators
from profilers import TextProgress, usable_cores

AUTO = "auto"
"""Ray's own word for the cluster that it finds."""
_MOST_S = 1e8


@dataclass(frozen=True)
class WorkerPlan:
    """Who evaluates. No result depends on it.

    Attributes:
        count: Local processes; with 1, the search's own process evaluates.
        ray_address: Address of the Ray cluster that evaluates instead; None for none.
        timeout_s: Seconds after which an evaluation has failed; its worker process is killed then. None for no limit.
    """

    count: int = 1
    ray_address: str | None = None
    timeout_s: float | None = None

    @property
    def parallel(self) -> bool:
        """Whether evaluations are made at the same time."""
        return self.count > 1 or self.ray_address is not None

    @property
    def apart(self) -> bool:
        """Whether evaluations are made in other processes."""
        return self.parallel or self.timeout_s is not None


def parse_workers(workers: str, ray_address: str | None, timeout_s: float | None = None) -> WorkerPlan:
    """Return what ``--workers``, ``--ray-address`` and ``--evaluation-timeout`` say.

    Raises:
        HwnasError: They cannot be read, or Ray is not installed.
    """
    if timeout_s is not None and (not isinstance(timeout_s, (int, float)) or not 0 < timeout_s < _MOST_S):
        raise HwnasError(f"--evaluation-timeout must be a number of seconds above 0, got {timeout_s}")
    if workers == "ray":
        if timeout_s is not None:
            raise HwnasError("--evaluation-timeout works with local workers only; leave it out with --workers ray")
        if importlib.util.find_spec("ray") is None:
            raise HwnasError('--workers ray needs Ray, which is not installed: pip install "hwnas[ray]"')
        return WorkerPlan(ray_address=ray_address or AUTO)
    if not workers.isdecimal() or int(workers) < 1:
        raise HwnasError(f"--workers must be a number of 1 or more, or ray, got {workers!r}")
    if ray_address is not None:
        raise HwnasError("--ray-address needs --workers ray")
    return WorkerPlan(count=int(workers), timeout_s=timeout_s)


def resolve_threads(
    settings: SearchSettings, out: Path, plan: WorkerPlan, progress: TextProgress = lambda text: None
) -> SearchSettings:
    """Return the settings with the threads of an evaluation, where these were left open.

    A run that was begun keeps its number. A new one takes the cores that are idle where evaluations are made one by
    one, and otherwise divides the cores of this machine among the workers; a task of a Ray cluster gets one core.

    Raises:
        HwnasError: The workers cannot evaluate with these settings.
        RunError: The settings of a run that has trials cannot be read.
    """
    if settings.evaluator.startswith("table:"):
        return settings
    if plan.ray_address is not None and settings.device.startswith("cuda:"):
        raise HwnasError(f"--workers ray chooses the GPUs itself; use --device cuda, got {settings.device}")
    if settings.evaluation_threads is not None:
        return settings
    if out.is_dir() and Run(out, settings, {}).has_trials():
        return replace(settings, evaluation_threads=Run.open(out).settings.evaluation_threads)
    if not plan.parallel:
        begun, threads = _begun(settings, out)
        if not begun:
            threads = choose_threads(settings.evaluator, settings.device, progress)
        return replace(settings, evaluation_threads=threads)
    share = 1 if plan.ray_address is not None else max(1, usable_cores() // plan.count)
    return replace(settings, evaluation_threads=min(share, _allowed(share)))


def _begun(settings: SearchSettings, out: Path) -> tuple[bool, int | None]:
    """Return whether the folder holds a run of this evaluator without trials, whose training continues; its threads."""
    try:
        before = Run.open(out).settings
    except (HwnasError, OSError):
        return False, None
    return before.evaluator == settings.evaluator, before.evaluation_threads


def make_workers(
    plan: WorkerPlan, portable: PortableEvaluators, progress: TextProgress, *, gpu: bool = False
) -> Workers:
    """Return the workers; they are started when they are first asked to evaluate.

    Args:
        plan: Who evaluates.
        portable: What they evaluate with.
        progress: Receives progress lines.
        gpu: Whether an evaluation needs a GPU.

    Raises:
        HwnasError: There is no Ray cluster, or none that could evaluate.
    """
    if not plan.apart:
        return InlineWorkers(portable)
    each = f", {portable.threads} thread{'' if portable.threads == 1 else 's'} each" if portable.threads else ""
    if plan.ray_address is not None:
        from hwnas._workers._ray import RayWorkers

        workers = RayWorkers(portable, plan.ray_address, progress, gpu=gpu)
        progress(f"evaluating on a Ray cluster, {workers.places} at once{each}")
        return workers
    from hwnas._workers._pool import LocalWorkers

    processes = "a worker process" if plan.count == 1 else f"{plan.count} worker processes"
    progress(f"evaluating in {processes}{each}")
    return LocalWorkers(portable, plan.count, progress, timeout_s=plan.timeout_s)


def _allowed(otherwise: int) -> int:
    """Return the most threads that the environment lets torch have."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else otherwise
