"""What a search works with: data, space, evaluator, costs, problem, and the run that binds them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._costs._soundness import require_json, require_sound
from hwnas._costs._space_costs import COSTS, SpaceCosts
from hwnas._errors import HwnasError, RunError
from hwnas._pipeline._final_recipe import require_finalizable
from hwnas._pipeline._overrides import NO_DATA, Overrides, require_plain
from hwnas._pipeline._problem import Known, make_problem
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._strategies import make_strategy
from hwnas._runs._journal import TrialJournal
from hwnas._runs._metrics import metric_facts
from hwnas._runs._offline import elsewhere_line, is_elsewhere, require_usable
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._warm_start import WarmStart, find_warm_start
from hwnas._runs._watch import Progress
from hwnas._tables._build import build_table, default_table_path, find_table, require_coverage
from hwnas.evaluators import Evaluator, TableEvaluator, latency_unit, make_evaluator, require_current
from hwnas.spaces import Space, input_channels, make_space, space_identity, space_parameters
from hwnas.tasks import Task, make_task, usual_task
from hwnas.training import CostFunction
from latency_tables import (
    UNUSABLE,
    IdentityMismatchError,
    LatencyTable,
    dump_table,
    load_table,
    parse_table,
    save_table,
)
from profilers import Backend
from search import Problem, Strategy

_TABLE = "table.json"


def prepare(
    settings: SearchSettings, out: Path, progress: Progress, overrides: Overrides, *, parallel: bool = False
) -> SearchSetup:
    """Load and check everything; measures a latency table where none fits, trains nothing.

    Everything that can be refused is looked at before the run's folder is taken, and nothing is written into it here.

    Args:
        settings: what to search for.
        out: the run directory.
        progress: receives lines for people.
        overrides: objects that take the place of names in the settings.
        parallel: whether architectures are to be evaluated at the same time.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: one line each, for people.
    """
    if settings.task == usual_task(settings.data):
        settings = replace(settings, task=None)  # it goes without saying: the search is the same
    require_plain(settings.as_dict())
    Run.check(out, settings)
    strategy = overrides.strategy or make_strategy(settings.strategy_name)
    if overrides.backend is None:
        settings.backend()
    task = overrides.task or _make_task(settings)
    for note in task.notes if task is not None else ():
        progress(f"data: {note}")
    space = overrides.space or make_space(settings.space, **_space_settings(settings, task))
    require_sound(space)
    evaluator = overrides.evaluator or _make_evaluator(settings, space, task)
    cheap = _make_cheap(settings, space, task)
    require_json(f"evaluator {evaluator.name}", evaluator.settings)
    if task is not None:
        task.require_fit(space)
    require_current(evaluator)
    require_finalizable(settings, task, evaluator)
    if parallel:
        _require_any_order(evaluator, cheap)
    run = Run.check(out, settings, _identity(settings, space, task, evaluator, cheap))
    warm = find_warm_start(run, settings.warm_start, space, evaluator)
    backend = overrides.backend or settings.backend(input_channels(space), progress)
    table = None if settings.latency_column else _known_table(run, space, backend, overrides)
    journal = run.lock()
    try:
        if table is None and not settings.latency_column:
            table = _built_table(space, backend, progress)
        if table is not None and table.source != run.path / _TABLE:
            for line in _about(table, settings, backend):
                progress(line)
            _require_grade(table, asked=overrides.table is not None or settings.table is not None, progress=progress)
        return _bound(run, journal, space, task, evaluator, cheap, strategy, table, backend, progress, warm)
    except BaseException:
        run.release()
        raise


def _bound(
    run: Run,
    journal: TrialJournal,
    space: Space,
    task: Task | None,
    evaluator: Evaluator,
    cheap: Evaluator | None,
    strategy: Strategy,
    table: LatencyTable | None,
    backend: Backend,
    progress: Progress,
    warm: WarmStart | None,
) -> SearchSetup:
    """The setup, with the problem that follows from them."""
    settings = run.settings
    if table is not None and table.source != run.path / _TABLE:
        table = parse_table(dump_table(table), run.path / _TABLE)  # as a later start will read it
    elsewhere = table is not None and is_elsewhere(table, settings)
    if table is not None and elsewhere:
        progress(elsewhere_line(table))
    costs = SpaceCosts(space, table, batch=settings.batch)
    if table is not None:
        digest = hashlib.sha256(dump_table(table).encode()).hexdigest()
        for one in (evaluator, cheap):
            if one is not None:
                one.cost = CostFunction(f"latency_ms of table {digest[:16]}", costs.latency_ms)
    known: dict[str, Known] = {name: costs.cost(name) for name in COSTS}
    if settings.latency_column is not None:
        known["latency_ms"] = _column_cost(space, evaluator, settings.latency_column, progress)

    def under(budgets: Mapping[str, float]) -> Problem:
        problem = make_problem(space, known, settings.minimize, budgets, evaluator.metric)
        return replace(problem, cheap=cheap is not None)

    return SearchSetup(
        run=run,
        journal=journal,
        backend=None if elsewhere else backend,
        space=space,
        task=task,
        evaluator=evaluator,
        cheap=cheap,
        costs=costs,
        known=known,
        strategy=strategy,
        under=under,
        problem=under(settings.budgets),
        warm=warm,
    )


def _require_any_order(*evaluators: Evaluator | None) -> None:
    for one in evaluators:
        if one is not None and one.in_order:
            raise HwnasError(
                f"evaluator {one.name} ends trainings by what earlier ones reached; take --workers 1, without "
                "--evaluation-timeout"
            )


def _identity(
    settings: SearchSettings, space: Space, task: Task | None, evaluator: Evaluator, cheap: Evaluator | None
) -> dict[str, object]:
    """What the settings stand for; what goes without saying where a search names things of ours is left out."""
    found: dict[str, object] = {"space": space_identity(space), "evaluator": evaluator.settings}
    if cheap is not None:
        found["cheap"] = cheap.settings
    found |= metric_facts(evaluator.metric, settings.evaluator)
    if task is not None and "data" not in evaluator.settings:
        found["data"] = task.fingerprint
    return found


def _make_task(settings: SearchSettings) -> Task | None:
    if settings.evaluator.startswith("table:") or settings.data == NO_DATA:
        return None
    size = settings.image_size
    if size is None and Path(settings.data).is_dir() and settings.space_settings.get("preset") == "imagenet":
        size = max(make_space(settings.space, **settings.space_settings).settings["resolution"])  # type: ignore[call-overload]
    return make_task(settings.task, settings.data, image_size=size, seed=settings.seed, limit=settings.data_limit)


def _space_settings(settings: SearchSettings, task: Task | None) -> dict[str, Any]:
    """The space's settings, those left open taken from the task."""
    chosen = dict(settings.space_settings)
    if task is None:
        return chosen
    for name, value in {"classes": task.outputs[0].size, "image_channels": task.input_shape[0]}.items():
        if name in space_parameters(settings.space):
            chosen.setdefault(name, value)
    side = min(task.input_shape[1:], default=0)
    if settings.space == "nasbench201":
        chosen.setdefault("image_size", max(4, side // 4 * 4))
    elif settings.space == "mobilenetv3" and chosen.get("resolution") is None:
        chosen["resolution"] = default_resolutions(side, str(chosen.get("preset", "tiny")))
    return chosen


def default_resolutions(side: int, preset: str) -> list[int] | None:
    """Image sizes to search over for images of `side` pixels; None for the preset's own.

    Small images are also offered at twice their size, larger ones at three quarters of it.
    """
    if preset != "tiny":
        return None
    side = min(max(side, 8), 32)
    other = 2 * side if side <= 16 else 3 * side // 4
    return sorted({side, other})


def _make_evaluator(settings: SearchSettings, space: Space, task: Task | None) -> Evaluator:
    options = dict(settings.evaluator_options)
    if settings.latency_column is not None:
        if task is not None:
            raise HwnasError("--latency-column goes with --evaluator table:FILE")
        options["extra_columns"] = [settings.latency_column]
    if task is None:
        return make_evaluator(settings.evaluator, space, None, **options)
    device = settings.device if settings.device.startswith("cuda") else "cpu"
    return make_evaluator(settings.evaluator, space, task, device=device, seed=settings.seed, **options)


def _make_cheap(settings: SearchSettings, space: Space, task: Task | None) -> Evaluator | None:
    """The cheap stand-in: of a table another of its columns, else another evaluator with its defaults."""
    if settings.cheap is None:
        return None
    if task is None:
        return make_evaluator(settings.evaluator, space, None, accuracy_column=settings.cheap)
    if settings.cheap == settings.evaluator or settings.cheap.startswith("table:"):
        raise HwnasError(f"--cheap {settings.cheap} is no cheap stand-in for --evaluator {settings.evaluator}")
    return _make_evaluator(replace(settings, evaluator=settings.cheap, evaluator_options={}), space, task)


def _known_table(run: Run, space: Space, backend: Backend, overrides: Overrides) -> LatencyTable | None:
    """The run's own copy of a table, the one asked for, or one that fits; None where one must be measured."""
    copy, name = run.path / _TABLE, run.settings.table
    asked = overrides.table or (load_table(Path(name)) if name is not None else None)
    if run.has_trials() and copy.exists():
        table = load_table(copy)
        if asked is not None and dump_table(asked) != dump_table(table):
            raise RunError(f"{run.path} was begun with another latency table than {name}; choose another --out")
        _require_usable(table, run.settings, space, backend)
        return table
    if asked is None:
        return find_table(space, backend)
    _require_usable(asked, run.settings, space, backend)
    return asked


def save_copy(setup: SearchSetup) -> None:
    """Give the run its copy of the latency table; to be called once nothing can be refused any more.

    Raises:
        HwnasError: it cannot be written.
    """
    copy = setup.run.path / _TABLE
    if setup.costs.table is None or copy.exists():
        return
    try:
        save_table(setup.costs.table, copy)
    except OSError as error:
        raise HwnasError(f"cannot write {copy}: {error.strerror}") from None


def _require_usable(table: LatencyTable, settings: SearchSettings, space: Space, backend: Backend) -> None:
    """Refuse another device's table, unless it is one whose device need not be here."""
    if is_elsewhere(table, settings):
        require_usable(table, settings, space)
        return
    try:
        table.require_identity(backend.identity())
    except IdentityMismatchError as error:
        raise IdentityMismatchError(f"{error}, or search on its predictions alone with --not-here") from None
    require_coverage(table, space)


def _about(table: LatencyTable, settings: SearchSettings, backend: Backend) -> list[str]:
    """What a table says of itself, and what has changed on its device."""
    found = [f"latency table: {table.source}"]
    if is_elsewhere(table, settings):
        found += [f"note: {line}" for line in table.notes]
    else:
        found += [f"warning: {line}" for line in (*table.environment_changes(backend.environment()), *table.notes)]
    return found + table.report_lines()


def _require_grade(table: LatencyTable, *, asked: bool, progress: Progress) -> None:
    """Refuse a table that its own measurements call unusable, unless the user asked for it.

    Raises:
        HwnasError: it was not asked for.
    """
    if table.grade.level != UNUSABLE:
        return
    if not asked:
        raise HwnasError(
            f"{table.source}: {table.grade.line()}; or search with it all the same: --table {table.source}"
        )
    progress(f"warning: {table.source} is unusable by its own measurements, and is used since it was asked for")


def _built_table(space: Space, backend: Backend, progress: Progress) -> LatencyTable:
    path = default_table_path(space, backend)
    progress(f"no latency table fits this device: measuring one into {path}")
    table = build_table(space, backend, path, progress=progress)
    require_coverage(table, space)
    return table


def _column_cost(
    space: Space, evaluator: Evaluator, column: str, progress: Progress
) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """Latencies of a benchmark table as a cost function; NaN where the table has no row."""
    assert isinstance(evaluator, TableEvaluator)
    table, values, index = evaluator.table, evaluator.table.latencies_ms(column), evaluator.index
    progress(f"table {table.path}: column {column} is read in {latency_unit(column)}")
    cache: dict[bytes, float] = {}

    def look_up(row: npt.NDArray[np.int64]) -> float:
        key = row.tobytes()
        if key not in cache:
            found = index.mean(values, space.decode(row))
            cache[key] = np.nan if found is None else found
        return cache[key]

    def cost(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        result = np.full(len(codes), np.nan)
        valid = space.valid_codes(codes)
        result[valid] = [look_up(row) for row in space.canonical_codes(codes[valid])]
        return result

    return cost
