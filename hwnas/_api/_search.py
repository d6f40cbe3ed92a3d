"""`search`: with names, files and numbers as on the command line, or with objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._api._given import quiet
from hwnas._api._objects import objects_of, settings_of
from hwnas._api._result import SearchResult, search_result
from hwnas._pipeline._effect import require_effect
from hwnas._pipeline._search import run_pipeline
from hwnas._runs._options import TRACK
from hwnas._runs._watch import Lines, Watcher
from hwnas._runs._watchers import Watchers
from hwnas._trackers import connected_trackers
from hwnas._workers import parse_workers
from hwnas.evaluators import Evaluator
from hwnas.spaces import Space
from hwnas.tasks import DataSet, Task
from latency_tables import LatencyTable
from profilers import Backend
from search import Strategy


def search(
    space: Space | str | None = None,
    *,
    out: str | Path = "runs/latest",
    data: Task | DataSet | str | Path | None = None,
    evaluator: Evaluator | str = "supernet",
    table: LatencyTable | str | Path | None = None,
    budgets: Mapping[str, float | str] | None = None,
    minimize: str | Sequence[str] = ("latency",),
    samples: int = 200,
    strategy: Strategy | str = "lamoo",
    seed: int = 0,
    device: Backend | str = "cpu",
    workers: int | str = 1,
    ray_address: str | None = None,
    evaluation_timeout: float | None = None,
    track: str | Sequence[str] = (),
    progress: Callable[[str], None] = quiet,
    **more: Any,
) -> SearchResult:
    """Search for networks and deliver the best, as ``hwnas search`` does.

    The same call continues an interrupted search, or a finished one with more samples or other budgets. A different
    search in the same folder is refused: objects are identified by the space's name, settings and
    `Space.fingerprint` and by the evaluator's name and settings.

    Args:
        space: A space, or the name of one, whose settings then follow from the data and from ``space_settings``; None
            for the usual one of the task.
        out: The run directory.
        data: What ``--data`` takes, what a reader of `hwnas.data` gave, or a task. None is for evaluators that look at
            no data; then nothing is trained, written or measured in the end, unless the evaluator has weights.
        evaluator: An evaluator of this space, or what ``--evaluator`` takes.
        table: A latency table, or its file. None for one that fits this device; without one it is measured.
        budgets: Upper bounds by cost: ``{"latency": "4ms", "params": 600_000}``. Numbers are milliseconds, counts and
            bytes; a text needs its unit.
        minimize: Costs to minimise beside the metric: ``latency``, ``macs``, ``params``, ``memory``, ``rom``; one,
            several in a sequence, or ``"latency,macs"``.
        samples: Architectures to evaluate.
        strategy: A strategy, or what ``--strategy`` takes.
        seed: Random seed.
        device: What measures, as for `profile`.
        workers: Processes that evaluate, or ``"ray"``. Processes import the calling script again, which
            must then call this below ``if __name__ == "__main__":``.
        ray_address: Address of the Ray cluster; None for the one that Ray finds.
        evaluation_timeout: Seconds after which an evaluation has failed; it is made in a worker process then.
        track: What else to log the trials to, as for ``--track``: ``"tensorboard"``, ``"mlflow"``, ``"mlflow:URI"``,
            ``"optuna:URL"``, or several of them.
        progress: Receives progress lines; `print`, say.
        more: Any other option of ``hwnas search``, by its name there with ``_`` for ``-`` (``epochs=4``,
            ``latency_budget="4ms"``, ``resolution=[16, 32]``), or attribute of `SearchSettings`. Texts are read as on
            the command line. What is for terminals alone (``--quiet``, ``--json``, ``--debug``) is not taken.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: One line each (see `Errors`).
        KeyboardInterrupt: The user stopped it; every finished trial is safe.
    """
    given = {
        "space": space,
        "data": data,
        "evaluator": evaluator,
        "table": table,
        "budgets": budgets,
        "minimize": minimize,
        "samples": samples,
        "strategy": strategy,
        "seed": seed,
        "device": device,
    }
    placed = {"out": out, "workers": workers, "ray_address": ray_address, "evaluation_timeout": evaluation_timeout}
    return watched_search(Lines(progress), {**given, **placed, "track": track}, more)


def watched_search(watcher: Watcher, given: Mapping[str, Any], more: Mapping[str, Any]) -> SearchResult:
    """Run a search that reports every trial to a watcher.

    Args:
        watcher: Hears of trials, and what is said for people.
        given: The named arguments of `search` but ``progress``.
        more: Its other options.

    Raises:
        As `search`.
    """
    settings_given = dict(given)
    out = Path(settings_given.pop("out"))
    workers = [settings_given.pop(name) for name in ("workers", "ray_address", "evaluation_timeout")]
    track = TRACK.read(settings_given.pop("track")) or ()
    objects = objects_of(settings_given)
    settings = settings_of(objects, settings_given, more, out)
    require_effect(settings, out)
    plan = parse_workers(str(workers[0]), *workers[1:])
    watchers = Watchers(watcher, connected_trackers(track))
    try:
        return search_result(*run_pipeline(settings, out, watchers, objects, plan))
    finally:
        watchers.close_recorders()
