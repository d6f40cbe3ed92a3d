"""The search from end to end: set up, search, deliver."""

from __future__ import annotations

from pathlib import Path

from hwnas._common._foreign import Foreign
from hwnas._costs._cost import written_budgets
from hwnas._pipeline._deliver import deliver
from hwnas._pipeline._deliver_several import close_search, deliver_devices
from hwnas._pipeline._evaluation import prepare_evaluators, start_workers
from hwnas._pipeline._measuring import resolve_measuring
from hwnas._pipeline._oneshot import take_distribution
from hwnas._pipeline._opening import tell_left_out
from hwnas._pipeline._overrides import Overrides
from hwnas._pipeline._reference_tails import save_tails
from hwnas._pipeline._restore import restore_study
from hwnas._pipeline._sample import sample
from hwnas._pipeline._set_up import set_up
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._setup_table import save_table_copy, with_kept_table
from hwnas._pipeline._several import save_device_tables
from hwnas._runs._kept_files import keep_file
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._trials_csv import TrialTable
from hwnas._runs._warm_start import copy_training
from hwnas._runs._watch import Interrupted, Lines, Watcher
from hwnas._runs._watched import WatchedSearch
from hwnas._runs._watchers import Watchers
from hwnas._workers import WorkerPlan, resolve_threads, torch_threads
from profilers import TextProgress
from search import Study

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
    plan, watcher = workers or WorkerPlan(), Watchers(watcher, [TrialTable()])
    with Foreign(_FOREIGN):
        overrides = with_kept_table(settings, out, overrides, watcher.line)
        settings = resolve_measuring(resolve_threads(settings, out, plan, watcher.line), out, overrides.table)
        setup = set_up(settings, out, watcher.line, overrides, parallel=plan.apart)
    run, journal, finished = setup.run, setup.journal, False
    try:
        with torch_threads(None if plan.parallel else run.settings.evaluation_threads), Foreign(_FOREIGN):
            study = search_architectures(setup, watcher, plan)
            if setup.costs.devices:
                close_search(setup)
            else:
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
    deliver_devices(setup, study, watcher, overrides, run_pipeline)
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
    save_device_tables(run, setup.costs.devices)
    save_tails(run, setup.costs.space_costs.table, setup.costs.tails)
    for option, file in setup.start.files.items():
        keep_file(run, option, file)
    if not study.trials:
        tell_left_out(setup, progress)
        _save_warm_start(setup, progress)
    journal = setup.journal
    watcher.begin(WatchedSearch(run, journal.records, setup.space, study.problem.objectives, journal.sync))
    with start_workers(setup, plan, progress) as workers:
        prepare_evaluators(setup, progress)
        if not study.trials:
            study = restore_study(setup, prepared=True)  # the first batch may follow from what was trained
        if study.trials:
            progress(f"continuing after {len(study.trials)} trials")
        if study.trials and before is not None:
            budgets = written_budgets(run.settings.budgets)
            progress(f"new budgets from here on: {budgets} (so far: {written_budgets(before)})")
        sample(setup, study, watcher, workers)
    return study


def _save_warm_start(setup: SearchSetup, progress: TextProgress) -> None:
    """Keep the values that the search begins with in the run, and the supernet that they come from."""
    warm_start = setup.warm_start
    if warm_start is None:
        return
    warm_start.save(setup.run.path)
    if setup.evaluator.shares_weights and copy_training(setup.run, warm_start.source):
        progress(f"the supernet is copied from {warm_start.source}")
    take_distribution(setup, warm_start.source)
