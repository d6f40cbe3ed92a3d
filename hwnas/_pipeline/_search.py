"""The search from end to end: set up, search, deliver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas._common._foreign import Foreign
from hwnas._costs._cost import written_budgets
from hwnas._pipeline._deliver import deliver
from hwnas._pipeline._evaluation import prepare_evaluators, start_workers
from hwnas._pipeline._measuring import resolve_measuring
from hwnas._pipeline._overrides import Overrides, require_in_bounds
from hwnas._pipeline._restore import restore_study
from hwnas._pipeline._set_up import set_up
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._setup_table import save_table_copy
from hwnas._pipeline._troubles import Troubles
from hwnas._runs._journal import TrialRecord
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._trials_csv import TrialTable
from hwnas._runs._warm_start import copy_training
from hwnas._runs._watch import Clock, Interrupted, Lines, Unbroken, Watcher
from hwnas._runs._watched import WatchedSearch
from hwnas._runs._watchers import Watchers
from hwnas._workers import EvaluationJob, Outcome, WorkerPlan, Workers, resolve_threads, torch_threads
from hwnas._workers._effort import SampleTimes
from hwnas.evaluators import Evaluation
from hwnas.spaces import Architecture
from profilers import TextProgress
from search import Proposal, Study

_FOREIGN = "a space, evaluator or strategy"


def run_search(
    settings: SearchSettings,
    out: Path,
    progress: TextProgress = lambda text: None,
    watcher: Watcher | None = None,
    workers: WorkerPlan | None = None,
) -> Run:
    """Run a search whose parts are all named by its settings; see `run_pipeline`."""
    return run_pipeline(settings, out, watcher or Lines(progress), Overrides(), workers)[0].run


def run_pipeline(
    settings: SearchSettings, out: Path, watcher: Watcher, overrides: Overrides, workers: WorkerPlan | None = None
) -> tuple[SearchSetup, Study]:
    """Set up, search and deliver; an interrupted search continues.

    Args:
        settings: What to search for.
        out: The run directory; an interrupted run of the same settings in it is continued, with more samples or
            other budgets where these are requested.
        watcher: Receives every trial, and lines for people.
        overrides: Objects that take the place of names in the settings.
        workers: Who evaluates architectures; None for this process.

    Returns:
        What was searched with, and the study at its end.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: One line each.
        Interrupted: The user stopped it; every finished trial is safe.
    """
    plan, watcher = workers or WorkerPlan(), Watchers(Unbroken(watcher), [TrialTable()])
    with Foreign(_FOREIGN):
        settings = resolve_measuring(resolve_threads(settings, out, plan, watcher.line), out)
        setup = set_up(settings, out, watcher.line, overrides, parallel=plan.apart)
    run, journal, finished = setup.run, setup.journal, False
    try:
        with torch_threads(None if plan.parallel else run.settings.evaluation_threads), Foreign(_FOREIGN):
            study = search_architectures(setup, watcher, plan)
            deliver(setup, study, watcher.line)
        finished = True
    except KeyboardInterrupt:
        safe = f"{len(journal.records)} trials are safe in {journal.path}"
        raise Interrupted(f"interrupted; {safe}, run the same command again to continue") from None
    finally:
        try:
            watcher.end(finished)
        finally:
            run.release()
    watcher.line(f"report: {run.path / 'report.html'}")
    return setup, study


def search_architectures(setup: SearchSetup, watcher: Watcher, plan: WorkerPlan) -> Study:
    """Evaluate architectures from where the journal ends, until the samples are used up or the space is.

    Returns:
        The study with all trials.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: One line each.
    """
    run, progress = setup.run, watcher.line
    study = restore_study(setup)
    before = dict(run.phases[-1].budgets) if run.phases and run.phases[-1].until > len(study.trials) else None
    run.continue_from(len(study.trials))
    save_table_copy(run, setup.costs.space_costs.table)
    if not study.trials:
        _save_warm_start(setup, progress)
    watcher.begin(WatchedSearch(run, setup.journal.records, setup.space, study.problem.objectives))
    with start_workers(setup, plan, progress) as workers:
        prepare_evaluators(setup, progress)
        if study.trials:
            progress(f"continuing after {len(study.trials)} trials")
        if study.trials and before is not None:
            budgets = written_budgets(run.settings.budgets)
            progress(f"new budgets from here on: {budgets} (so far: {written_budgets(before)})")
        _sample(setup, study, watcher, workers)
    return study


def _save_warm_start(setup: SearchSetup, progress: TextProgress) -> None:
    """Keep the values that the search begins with in the run, and the supernet that they come from."""
    warm_start = setup.warm_start
    if warm_start is None:
        return
    warm_start.save(setup.run.path)
    if setup.evaluator.shares_weights and copy_training(setup.run, warm_start.source):
        progress(f"the supernet is copied from {warm_start.source}")


@dataclass(frozen=True)
class _Candidate:
    """A proposal on its way to an outcome.

    Attributes:
        proposal: What the study proposed.
        arch: The architecture.
        text: The same in words.
        value: What the warm start holds for it; None where it has to be evaluated.
    """

    proposal: Proposal
    arch: Architecture
    text: str
    value: float | None


def _sample(setup: SearchSetup, study: Study, watcher: Watcher, workers: Workers) -> None:
    """Ask, evaluate, journal and tell until the samples are used up (cheap ones do not count) or the space is.

    The study gets the outcomes of a batch in the order of its proposals, so that nothing depends on which came first.
    """
    samples = setup.run.settings.samples
    done = sum(not trial.low_fidelity for trial in study.trials)
    clock, troubles = Clock(study, samples, setup.metric), Troubles(any(trial.ok for trial in study.trials))
    times = SampleTimes(done, samples, watcher.line)

    def keep(records: Sequence[TrialRecord]) -> None:
        """Journal records and report them to the watcher."""
        for record in records:
            setup.journal.append(record)
            if record.failed is not None:
                watcher.line(f"trial {record.number} failed: {record.failed}")
            watcher.trial(record, clock.status)

    while done < samples and (proposals := _ask(study)):
        batch = proposals if proposals[0].low_fidelity else proposals[: samples - done]
        candidates = [_candidate(setup, proposal) for proposal in batch]
        for candidate, outcome in _outcomes(candidates, workers):
            keep(troubles.passed(_tell(study, candidate, outcome, setup), outcome))
            done += not candidate.proposal.low_fidelity
            if candidate.value is None and not candidate.proposal.low_fidelity:
                times.finished(done)
    keep(troubles.end())


def _ask(study: Study) -> list[Proposal]:
    with Foreign(f"strategy {study.strategy.name}"):
        return study.ask()


def _candidate(setup: SearchSetup, proposal: Proposal) -> _Candidate:
    arch = setup.space.decode(proposal.codes)
    text = setup.space.format(arch)
    value = None if setup.warm_start is None or proposal.low_fidelity else setup.warm_start.trials.get(text)
    return _Candidate(proposal, arch, text, value)


def _outcomes(candidates: Sequence[_Candidate], workers: Workers) -> Iterator[tuple[_Candidate, Outcome]]:
    """Yield each candidate with its outcome, in their order; known values need no evaluation."""
    jobs = [
        EvaluationJob(candidate.proposal.number, candidate.arch, candidate.proposal.low_fidelity, candidate.text)
        for candidate in candidates
        if candidate.value is None
    ]
    outcomes = iter(workers.evaluate(jobs) if jobs else ())
    for candidate in candidates:
        known = None if candidate.value is None else Outcome(Evaluation(candidate.value), None, 0.0)
        yield candidate, known or next(outcomes)
    for _ in outcomes:
        raise AssertionError("more outcomes than jobs")


def _tell(study: Study, candidate: _Candidate, outcome: Outcome, setup: SearchSetup) -> TrialRecord:
    """Tell the study the outcome of a candidate.

    Returns:
        The trial's line of the journal: with its architecture in words, its duration, the seed, and its known costs.
    """
    proposal, settings = candidate.proposal, setup.run.settings
    extra_columns: dict[str, float] = {}
    if outcome.evaluation is None:
        trial = study.tell(proposal.number, failed=outcome.failed)
    else:
        evaluator = setup.low_fidelity if proposal.low_fidelity and setup.low_fidelity is not None else setup.evaluator
        result = require_in_bounds(evaluator, setup.space, candidate.arch, outcome.evaluation)
        # of a stand-in's score more may be better, of the metric less
        turn = evaluator.metric.sign * setup.metric.sign
        trial = study.tell(proposal.number, {setup.metric.name: turn * result.value})
        extra_columns = dict(result.extra_columns)
    row = np.array([proposal.codes], dtype=np.int64)
    functions = setup.costs.functions
    line = {
        **trial.to_json(),
        "arch": candidate.text,
        "seconds": round(outcome.seconds, 4),
        # budgets of what is not an objective: later looks at the journal need them
        "costs": {name: float(functions[name](row)[0]) for name in settings.budgets if name not in trial.values},
        "seed": settings.seed,
        "known": extra_columns,
        "from": None if candidate.value is None or setup.warm_start is None else setup.warm_start.source,
    }
    return TrialRecord.from_dict(line)
