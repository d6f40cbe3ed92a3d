"""Setting up a search: small steps, each of which returns what the next one needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hwnas._costs._cost import LATENCY
from hwnas._pipeline._arena import require_arena
from hwnas._pipeline._expected import expected_latency, trials_are_measured
from hwnas._pipeline._oneshot import bound_strategy
from hwnas._pipeline._opening import named_networks
from hwnas._pipeline._overrides import Overrides, require_plain
from hwnas._pipeline._problem import make_problem
from hwnas._pipeline._reach import with_kept_reach
from hwnas._pipeline._reference_tails import require_statistic, resolve_tails
from hwnas._pipeline._setup import SearchCosts, SearchInputs, SearchSetup, SearchTable
from hwnas._pipeline._setup_costs import resolve_costs
from hwnas._pipeline._setup_inputs import identity_of, make_search_backend, resolve_inputs
from hwnas._pipeline._setup_table import resolve_table
from hwnas._pipeline._several import budgets_of_any, other_latencies, resolve_devices
from hwnas._pipeline._train_precision import with_train_precision
from hwnas._runs._journal import TrialJournal
from hwnas._runs._run import Run
from hwnas._runs._settings import SearchSettings
from hwnas._runs._warm_start import WarmStart, find_warm_start
from hwnas.spaces import input_channels
from hwnas.tasks import usual_task
from profilers import TextProgress
from search import Problem


def set_up(
    settings: SearchSettings, out: Path, progress: TextProgress, overrides: Overrides, *, parallel: bool = False
) -> SearchSetup:
    """Load and check everything; measures a latency table where none fits, trains nothing.

    What can be refused without the run's files is refused before the run's folder is locked. The warm start and the
    table depend on the run's files and are looked up under the lock. Nothing is written into the folder here.

    Args:
        settings: What to search for.
        out: The run directory.
        progress: Receives progress lines.
        overrides: Objects that take the place of names in the settings.
        parallel: Whether architectures are evaluated at the same time.

    Returns:
        The setup; its run is locked until `Run.release`.

    Raises:
        HwnasError, LatencyTableError, ProfilerError, SearchError: One line each.
    """
    if settings.task is not None and settings.task == usual_task(settings.data, settings.data_options):
        settings = replace(settings, task=None)  # the default: the search is the same
    settings = with_train_precision(settings, out, own_evaluator=overrides.evaluator is not None)
    settings = with_kept_reach(settings, out, progress)
    require_plain(settings.as_dict())
    Run.check(out, settings)
    inputs = resolve_inputs(settings, out, overrides, progress, parallel=parallel)
    settings = inputs.settings
    named_networks(inputs.space, settings.begin_with)  # wrong ones are refused before anything is measured
    run = Run.check(out, settings, identity_of(settings, inputs))
    backend = overrides.backend or make_search_backend(settings, input_channels(inputs.space), progress)
    journal = run.lock()
    try:
        warm_start = find_warm_start(run, settings.warm_start, inputs.space, inputs.evaluator)
        latency = resolve_table(run, overrides, inputs.space, backend, progress)
        require_arena(run.settings, latency.backend, inputs.space)
        tails = resolve_tails(run, inputs.space, latency, progress)
        require_statistic(run, latency, tails)
        costs = replace(resolve_costs(run.settings, inputs, latency.table, progress), tails=tails)
        costs = replace(costs, devices=resolve_devices(run, inputs, costs, overrides, progress))
        return _checked_setup(run, journal, inputs, latency, costs, warm_start)
    except BaseException:
        run.release()
        raise


def _checked_setup(
    run: Run,
    journal: TrialJournal,
    inputs: SearchInputs,
    latency: SearchTable,
    costs: SearchCosts,
    warm_start: WarmStart | None,
) -> SearchSetup:
    """Return the setup, whose budgets some network of the space meets."""
    measures_trials = trials_are_measured(run.settings, latency)

    def problem_with(budgets: Mapping[str, float]) -> Problem:
        """Build the problem with other budgets."""
        return build_problem(run.settings, inputs, costs, budgets, measures_trials=measures_trials)

    return SearchSetup(
        run=run,
        journal=journal,
        backend=latency.backend,
        space=inputs.space,
        task=inputs.task,
        evaluator=inputs.evaluator,
        low_fidelity=inputs.low_fidelity,
        costs=costs,
        strategy=bound_strategy(inputs.strategy, run, costs),
        problem_with=problem_with,
        problem=problem_with(run.settings.budgets),
        warm_start=warm_start,
        measures_trials=measures_trials,
        start=inputs.start,
    )


def build_problem(
    settings: SearchSettings,
    inputs: SearchInputs,
    costs: SearchCosts,
    budgets: Mapping[str, float],
    *,
    measures_trials: bool = False,
) -> Problem:
    """Return the problem with given budgets.

    Args:
        settings: What to search for.
        inputs: Space and evaluator.
        costs: What is known of an architecture before it is evaluated.
        budgets: Upper bounds by the cost's key.
        measures_trials: Whether the latency of every trial is measured, so that the table's is an estimate.

    Raises:
        BudgetError: No network meets the budgets.
    """
    functions, limits = dict(costs.functions), dict(costs.functions)
    if costs.space_costs.table is not None:
        limits[LATENCY.key] = expected_latency(costs.space_costs, settings.latency_statistic, costs.tails)
    measured: tuple[str, ...] = ()
    if measures_trials:
        functions, measured = limits, (LATENCY.key,)
    metric = inputs.evaluator.metric
    problem = make_problem(
        inputs.space,
        functions,
        settings.minimize,
        budgets,
        metric,
        measured,
        limits=limits,
        others=other_latencies(costs.devices),
        shared=budgets_of_any(costs.devices),
    )
    return replace(problem, low_fidelity=inputs.low_fidelity is not None)
