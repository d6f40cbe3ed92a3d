"""The search from end to end: prepare, ask and tell, hand-over, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwnas._common._foreign import Foreign
from hwnas._errors import HwnasError
from hwnas._pipeline._deliver import hand_over, known_costs, write_judged
from hwnas._pipeline._finalize import finalized
from hwnas._pipeline._overrides import Overrides, require_in_bounds
from hwnas._pipeline._prepare import prepare, save_copy
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._troubles import Troubles
from hwnas._pipeline._winner import Winner
from hwnas._runs._front import spread_along
from hwnas._runs._journal import TrialJournal
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._warm_start import copy_training
from hwnas._runs._watch import Clock, Interrupted, Lines, Progress, Unbroken, Watcher, every
from hwnas._workers import Job, Kit, Outcome, WorkerPlan, Workers, make_workers, resolve_threads, torch_threads
from hwnas._workers._effort import SampleTimes, announced
from hwnas.evaluators import Evaluation
from search import Proposal, RestoreError, Study, Trial

FINALISTS = 10
_FIRST = 10
"""Architectures of the first batch, at least."""


def run_search(
    settings: SearchSettings,
    out: Path,
    progress: Progress = lambda text: None,
    watcher: Watcher | None = None,
    workers: WorkerPlan | None = None,
) -> Run:
    """Run a search whose parts are all named by its settings; see `run_pipeline`."""
    return run_pipeline(settings, out, watcher or Lines(progress), Overrides(), workers)[0].run


def run_pipeline(
    settings: SearchSettings, out: Path, watcher: Watcher, overrides: Overrides, workers: WorkerPlan | None = None
) -> tuple[SearchSetup, Study]:
    """Search, or go on with an interrupted search, and hand its front over.

    Args:
        settings: what to search for.
        out: the run directory; an interrupted run of the same settings in it is continued, with more samples or
            other budgets where these are asked for.
        watcher: hears of every trial, and what is said for people.
        overrides: objects that take the place of names in the settings.
        workers: who evaluates; None for this process.

    Returns:
        What was searched with, and the study as it ended.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: one line each, for people.
        Interrupted: the user stopped it; every finished trial is safe.
    """
    plan, watcher = workers or WorkerPlan(), Unbroken(watcher)
    with Foreign("a space, evaluator or strategy"):
        setup = prepare(
            resolve_threads(settings, out, plan, watcher.line), out, watcher.line, overrides, parallel=plan.apart
        )
    journal = setup.journal
    threads = None if plan.parallel else setup.run.settings.evaluation_threads
    try:
        with torch_threads(threads), Foreign("a space, evaluator or strategy"):
            study = _search(setup, journal, watcher, plan)
    except KeyboardInterrupt:
        safe = f"{len(journal.records)} trials are safe in {journal.path}"
        raise Interrupted(f"interrupted; {safe}, run the same command again to go on") from None
    finally:
        setup.run.release()
    watcher.line(f"report: {setup.run.path / 'report.html'}")
    return setup, study


def _search(setup: SearchSetup, journal: TrialJournal, watcher: Watcher, plan: WorkerPlan) -> Study:
    """From the journal as it is to the report."""
    run, progress = setup.run, watcher.line
    study = _restore(setup, journal)
    before = dict(run.phases[-1].budgets) if run.phases and run.phases[-1].until > len(study.trials) else None
    run.go_on(len(study.trials))
    save_copy(setup)
    if setup.warm is not None and not study.trials:
        setup.warm.save(run.path)
        if setup.evaluator.shares_weights and copy_training(run, setup.warm.source):
            progress(f"the supernet is that of {setup.warm.source}")
    with _workers(setup, plan, progress) as workers:
        _prepare_evaluators(setup, progress)
        if study.trials:
            progress(f"going on after {len(study.trials)} trials")
        if study.trials and before is not None:
            progress(f"budgets from here on: {_told(run.settings.budgets)} (until now {_told(before)})")
        _sample(setup, study, journal, watcher, workers)
    winners = _winners(study, setup)
    if not winners and study.context().outside:
        raise HwnasError(f"no trial so far keeps the budgets {_told(run.settings.budgets)}; ask for more --samples")
    if not winners:
        raise HwnasError(f"no architecture could be evaluated; see the reasons in {journal.path}")
    if setup.task is None:
        entries = [
            known_costs(winner, setup.space, setup.costs, setup.metric, setup.network_metric) for winner in winners
        ]
        write_judged(setup, entries, progress)
    else:
        hand_over(finalized(setup, winners, progress, every(10.0, progress)), winners, progress)
    from hwnas._report import write_report

    if why := write_report(run, study, setup.space):
        progress(why)
    run.finish(len(study.trials))
    return study


def _workers(setup: SearchSetup, plan: WorkerPlan, progress: Progress) -> Workers:
    """Who evaluates; to be made before the evaluators are prepared, and closed before anything is measured."""
    run, settings = setup.run, setup.run.settings
    places = run.path / "evaluator", run.path / "cheap"
    kit = Kit(setup.evaluator, places[0], setup.cheap, places[1], threads=settings.evaluation_threads)
    return make_workers(plan, kit, progress, gpu=setup.task is not None and settings.device.startswith("cuda"))


def _prepare_evaluators(setup: SearchSetup, progress: Progress) -> None:
    run = setup.run
    progress(f"preparing evaluator {run.settings.evaluator.partition(':')[0]}")
    with Foreign(f"evaluator {setup.evaluator.name}"):
        what = "training the first network" if setup.evaluator.name == "train" else "training"
        setup.evaluator.prepare(run.folder("evaluator"), announced(every(10.0, progress), progress, what))
    if setup.cheap is not None:
        progress(f"preparing its cheap stand-in {setup.cheap.name}")
        setup.cheap.prepare(run.folder("cheap"), every(10.0, progress))


def _told(budgets: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in budgets.items()) or "none"


def _restore(setup: SearchSetup, journal: TrialJournal) -> Study:
    """The study as the journal left it.

    Raises:
        HwnasError: the journal is not what this search would have written.
    """
    settings = setup.run.settings
    try:
        trials = [Trial.from_json(record) for record in journal.records]
        phases = [(phase.until, setup.under(phase.budgets)) for phase in setup.run.phases_at(len(trials))]
        study = Study.restore(
            setup.problem,
            setup.strategy,
            seed=settings.seed,
            trials=trials,
            initial=max(_FIRST, settings.proposals),
            batch=settings.proposals,
            earlier=phases,
            first=setup.warm.codes(setup.space) if setup.warm is not None else None,
        )
        for trial, record in zip(trials, journal.records, strict=True):
            if record.get("arch") != setup.space.format(setup.space.decode(trial.codes)):
                raise RestoreError(f"trial {trial.number} names another architecture than its codes")
    except RestoreError as error:
        raise HwnasError(f"{journal.path} does not continue this search: {error}") from None
    return study


def _sample(setup: SearchSetup, study: Study, journal: TrialJournal, watcher: Watcher, workers: Workers) -> None:
    """Ask, evaluate, journal and tell until the samples are used up (cheap ones do not count) or the space is.

    The outcomes of a batch are told in the order of its proposals, whoever was first: so nothing depends on that.
    """
    samples = setup.run.settings.samples
    done = sum(not trial.cheap for trial in study.trials)
    clock, troubles = Clock(study, samples, setup.metric), Troubles(any(trial.ok for trial in study.trials))
    times = SampleTimes(done, samples, watcher.line)

    def keep(record: dict[str, Any]) -> None:
        journal.append(record)
        if record["failed"] is not None:
            watcher.line(f"trial {record['number']} failed: {record['failed']}")
        watcher.trial(record, clock.status)

    while done < samples and (proposals := _asked(study)):
        wanted = proposals if proposals[0].cheap else proposals[: samples - done]
        archs = [setup.space.decode(one.codes) for one in wanted]
        texts = [setup.space.format(arch) for arch in archs]
        before = [_value_before(setup, one, text) for one, text in zip(wanted, texts, strict=True)]
        jobs = [
            Job(one.number, arch, one.cheap, text)
            for one, arch, text, value in zip(wanted, archs, texts, before, strict=True)
            if value is None
        ]
        outcomes = iter(workers.evaluate(jobs) if jobs else ())
        for proposal, value in zip(wanted, before, strict=True):
            outcome = next(outcomes) if value is None else Outcome(Evaluation(value), None, 0.0)
            record = _finish(study, proposal, outcome, setup)
            if value is not None and setup.warm is not None:
                record["from"] = setup.warm.source
            for passed in troubles.passed(record, outcome):
                keep(passed)
            done += not proposal.cheap
            if value is None and not proposal.cheap:
                times.finished(done)
        for _ in outcomes:
            raise AssertionError("more outcomes than jobs")
    for record in troubles.end():
        keep(record)


def _value_before(setup: SearchSetup, proposal: Proposal, text: str) -> float | None:
    """What another run has found for a proposal, whose architecture is `text`; None where it has to be evaluated."""
    return None if setup.warm is None or proposal.cheap else setup.warm.trials.get(text)


def _asked(study: Study) -> list[Proposal]:
    with Foreign(f"strategy {study.strategy.name}"):
        return study.ask()


def _finish(study: Study, proposal: Proposal, outcome: Outcome, setup: SearchSetup) -> dict[str, Any]:
    """Tell the study what came of a proposal.

    Returns:
        The trial's journal line: with its architecture in words, what it took, the seed, and what else is known.
    """
    columns: dict[str, float] = {}
    arch = setup.space.decode(proposal.codes)
    if outcome.evaluation is None:
        trial = study.tell(proposal.number, failed=outcome.failed)
    else:
        evaluator = setup.cheap if proposal.cheap and setup.cheap is not None else setup.evaluator
        result = require_in_bounds(evaluator, setup.space, arch, outcome.evaluation)
        turn = evaluator.metric.sign * setup.metric.sign  # of a stand-in's score more may be better, of the metric less
        trial = study.tell(proposal.number, {setup.metric.name: turn * result.value})
        columns = dict(result.extra_columns)
    record = {**trial.to_json(), "arch": setup.space.format(arch), "seconds": round(outcome.seconds, 4)}
    row = np.array([proposal.codes], dtype=np.int64)
    costs = {name: float(setup.known[name](row)[0]) for name in setup.run.settings.budgets if name not in trial.values}
    if costs:  # budgets of what is no objective: later looks at the journal need them
        record["costs"] = costs
    return {**record, "seed": setup.run.settings.seed, **({"known": columns} if columns else {})}


def _winners(study: Study, setup: SearchSetup) -> list[Winner]:
    """At most ten networks of the front, spread along it, from cheap to dear."""
    front = list(study.front())
    costs = [trial.values[study.problem.objectives[1].name] for trial in front]
    chosen = [front[i] for i in spread_along(costs, FINALISTS)]
    return [Winner(trial.number, setup.space.decode(trial.codes), _known_values(trial, setup)) for trial in chosen]


def _known_values(trial: Trial, setup: SearchSetup) -> dict[str, float]:
    """A trial's objectives, and its latency where that is a column of a benchmark table and no objective."""
    found = dict(trial.values)
    if setup.run.settings.latency_column is not None and "latency_ms" not in found:
        found["latency_ms"] = float(setup.known["latency_ms"](np.array([trial.codes], dtype=np.int64))[0])
    return found
