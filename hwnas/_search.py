"""The search from end to end: table, evaluator, ask and tell, hand-over, report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._devices import make_backend
from hwnas._errors import EvaluatorError, HwnasError
from hwnas._front import spread_along
from hwnas._handover import Winner, hand_over, known_costs
from hwnas._problem import make_problem, require_reachable, trial_record
from hwnas._run import Run, TrialJournal
from hwnas._settings import SearchSettings
from hwnas._space_costs import COSTS, SpaceCosts
from hwnas._tables import build_table, default_table_path, find_table
from hwnas.data import ImageData, load_data
from hwnas.evaluators import Evaluator, TableEvaluator, make_evaluator
from hwnas.spaces import Space, make_space
from latency_tables import LatencyTable, load_table, save_table
from search import Problem, RestoreError, Study, Trial, make_strategy

Progress = Callable[[str], None]
FINALISTS = 10


@dataclass(frozen=True)
class _Parts:
    """What a search works with."""

    space: Space
    data: ImageData | None
    evaluator: Evaluator
    costs: SpaceCosts


def run_search(settings: SearchSettings, out: Path, progress: Progress = lambda text: None) -> Run:
    """Search, or go on with an interrupted search, and hand its front over.

    Args:
        settings: what to search for.
        out: the run directory; an interrupted run of the same settings in it is continued.
        progress: receives lines for people.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: one line each, for people.
    """
    make_strategy(settings.strategy)
    if settings.latency_column is None:
        make_backend(settings.device, threads=settings.threads, batch=settings.batch)
    data = _load_data(settings)
    space = make_space(settings.space, **_space_settings(settings, data))
    evaluator = _make_evaluator(settings, space, data)
    run = Run.create(out, settings)
    table = None if settings.latency_column else _table(run, space, data, progress)
    parts = _Parts(space, data, evaluator, SpaceCosts(space, table, batch=settings.batch))
    if table is not None and "latency_ms" in settings.budgets:
        require_reachable(parts.costs, settings.budgets["latency_ms"])
    progress(f"preparing evaluator {settings.evaluator.partition(':')[0]}")
    evaluator.prepare(run.folder("evaluator"), _every(10.0, progress))
    study = _sample(run, parts, progress)
    winners = _winners(study, space)
    if not winners:
        raise HwnasError(f"no architecture could be evaluated; see the reasons in {run.path / 'trials.jsonl'}")
    if data is None or table is None:
        entries = [known_costs(winner, space, parts.costs, table) for winner in winners]
        run.write("pareto.json", json.dumps(entries, indent=1) + "\n")
    else:
        hand_over(run, winners, space, parts.costs, evaluator, data, progress)
    from hwnas._report import write_report

    write_report(run, study.problem, study.trials)
    progress(f"report: {run.path / 'report.html'}")
    return run


def _every(seconds: float, progress: Progress) -> Callable[[int, int, str], None]:
    """Pass on the last line and otherwise one line in so many seconds."""
    last = time.monotonic()

    def pass_on(done: int, total: int, text: str) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last >= seconds:
            last = time.monotonic()
            progress(text)

    return pass_on


def _load_data(settings: SearchSettings) -> ImageData | None:
    if settings.evaluator.startswith("table:"):
        return None
    return load_data(settings.data, image_size=settings.image_size, seed=settings.seed, limit=settings.data_limit)


def _space_settings(settings: SearchSettings, data: ImageData | None) -> dict[str, Any]:
    """The space's settings, those left open taken from the data."""
    chosen = dict(settings.space_settings)
    if data is None:
        return chosen
    chosen.setdefault("classes", len(data.classes))
    chosen.setdefault("image_channels", data.channels)
    side = min(data.native_size)
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


def _make_evaluator(settings: SearchSettings, space: Space, data: ImageData | None) -> Evaluator:
    options = dict(settings.evaluator_options)
    if settings.latency_column is not None:
        if data is not None:
            raise HwnasError("--latency-column goes with --evaluator table:FILE")
        options["known"] = [settings.latency_column]
    device = settings.device if settings.device.startswith("cuda") and data is not None else "cpu"
    if data is None:
        return make_evaluator(settings.evaluator, space, None, **options)
    return make_evaluator(settings.evaluator, space, data, device=device, seed=settings.seed, **options)


def _table(run: Run, space: Space, data: ImageData | None, progress: Progress) -> LatencyTable:
    """The run's own copy of a table that fits: this run's earlier one, the one asked for, one found, or a new one."""
    settings = run.settings
    channels = data.channels if data is not None else 3
    backend = make_backend(settings.device, threads=settings.threads, batch=settings.batch, image_channels=channels)
    copy = run.path / "table.json"
    if copy.exists():
        table = load_table(copy)
        table.require_identity(backend.identity())
        return table
    if settings.table is not None:
        table = load_table(Path(settings.table))
        table.require_identity(backend.identity())
        progress(f"latency table: {settings.table}")
    else:
        found = find_table(space, backend)
        if found is not None:
            table = found
            progress(f"latency table: {table.source}")
        else:
            path = default_table_path(space, backend)
            progress(f"no latency table fits this device: measuring one into {path}")
            table = build_table(space, backend, path, progress=progress)
    for line in (*table.environment_changes(backend.environment()), *table.notes):
        progress(f"warning: {line}")
    if table.validation is not None:
        for line in table.validation.lines():
            progress(line)
    try:
        save_table(table, copy)
    except OSError as error:
        raise HwnasError(f"cannot write {copy}: {error.strerror}") from None
    return load_table(copy)


def _sample(run: Run, parts: _Parts, progress: Progress) -> Study:
    """Ask, evaluate, journal and tell until the samples are used up or the space is."""
    settings, journal = run.settings, TrialJournal(run.path / "trials.jsonl")
    problem = _problem(settings, parts)
    trials = [Trial.from_json(record) for record in journal.records]
    try:
        study = Study.restore(problem, make_strategy(settings.strategy), seed=settings.seed, trials=trials)
    except RestoreError as error:
        raise HwnasError(f"{journal.path} does not continue this search: {error}") from None
    if trials:
        progress(f"going on after {len(trials)} trials")
    report_every = max(1, settings.samples // 20)
    try:
        while len(study.trials) < settings.samples and (proposals := study.ask()):
            for proposal in proposals[: settings.samples - len(study.trials)]:
                trial, seconds = _evaluate(study, proposal.number, proposal.codes, parts)
                journal.append(trial_record(parts.space, trial, seconds))
                if len(study.trials) % report_every == 0:
                    progress(_status(study, settings.samples))
    finally:
        journal.close()
    return study


def _evaluate(study: Study, number: int, codes: tuple[int, ...], parts: _Parts) -> tuple[Trial, float]:
    began = time.perf_counter()
    try:
        result = parts.evaluator.evaluate(parts.space.decode(codes))
    except EvaluatorError as error:
        return study.tell(number, failed=str(error)), time.perf_counter() - began
    return study.tell(number, {"accuracy": result.accuracy}), time.perf_counter() - began


def _problem(settings: SearchSettings, parts: _Parts) -> Problem:
    known: dict[str, Any] = {name: parts.costs.cost(name) for name in COSTS}
    if settings.latency_column is not None:
        known["latency_ms"] = _column_cost(parts, settings.latency_column)
    return make_problem(parts.space, known, settings.minimize, settings.budgets)


def _column_cost(parts: _Parts, column: str) -> Callable[[Any], Any]:
    """Latencies of a benchmark table as a cost function; NaN where the table has no row."""
    evaluator = parts.evaluator
    assert isinstance(evaluator, TableEvaluator)
    values = evaluator.table.column(column)
    rows = {text: i for i, text in reversed(list(enumerate(evaluator.table.archs)))}
    cache: dict[bytes, float] = {}

    def cost(codes: Any) -> Any:
        result = np.full(len(codes), np.nan)
        for i, (row, valid) in enumerate(zip(codes, parts.space.valid_codes(codes), strict=True)):
            if valid:
                key = row.tobytes()
                if key not in cache:
                    index = rows.get(parts.space.format(parts.space.decode(row)))
                    cache[key] = float(values[index]) if index is not None else np.nan
                result[i] = cache[key]
        return result

    return cost


def _status(study: Study, samples: int) -> str:
    good = [trial for trial in study.trials if trial.ok]
    best = max((trial.values["accuracy"] for trial in good), default=0.0)
    volume = study.context().hypervolume if good else 0.0
    return f"{len(study.trials)} of {samples} samples: best accuracy {best:.2%}, hypervolume {volume:.4f}"


def _winners(study: Study, space: Space) -> list[Winner]:
    """At most ten networks of the front, spread along it, from fast to slow."""
    front = list(study.front())
    costs = [trial.values[study.problem.objectives[1].name] for trial in front]
    chosen = spread_along(costs, FINALISTS)
    return [Winner(front[i].number, space.decode(front[i].codes), float(front[i].values["accuracy"])) for i in chosen]
