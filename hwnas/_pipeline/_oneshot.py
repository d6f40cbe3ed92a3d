"""One-shot methods in a search: what their training counts and aims at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwnas._costs._cost import LATENCY, cost_named, cost_of_key, name_of_key
from hwnas._costs._space_costs import SpaceCosts
from hwnas._errors import BudgetError, HwnasError
from hwnas._pipeline._oneshot_strategy import OneShotStrategy
from hwnas._pipeline._setup import DeviceCosts, SearchCosts, SearchSetup
from hwnas._pipeline._setup_costs import training_cost
from hwnas._runs._device_runs import is_device_run
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import EVALUATOR_FOLDER, Run
from hwnas._runs._settings import SearchSettings
from hwnas.evaluators import Evaluator, OneShotEvaluator
from hwnas.oneshot import read_training
from hwnas.oneshot._record import FILE
from hwnas.training import CostFunction
from profilers import TextProgress
from search import Strategy

if TYPE_CHECKING:
    from hwnas.oneshot import Aim

_NETWORKS = 2000
"""Random networks whose median price is the aim where there is no budget."""


def require_one_shot(settings: SearchSettings, out: Path, strategy: Strategy, *, own_evaluator: bool) -> None:
    """Refuse what a one-shot method cannot be combined with, before data are loaded.

    The delivery for one of several devices starts from the search for all of them, and trains nothing.

    Raises:
        HwnasError: Something else evaluates, or values of another run are to count.
    """
    if not isinstance(strategy, OneShotStrategy):
        return
    if own_evaluator:
        raise HwnasError(f"strategy {strategy.method} trains the supernet that it evaluates with; leave out evaluator")
    if settings.evaluator != "supernet":
        raise HwnasError(
            f"--strategy {strategy.method} trains a supernet and evaluates with it: it needs --evaluator supernet, got "
            f"{settings.evaluator}"
        )
    if settings.goal == "best":
        raise HwnasError(
            f"--goal best is for strategies that learn from trials; {strategy.method} learns in its training what "
            "suits the budget, so leave out --goal"
        )
    if settings.warm_start is not None and not is_device_run(out, settings.warm_start):
        raise HwnasError(f"--strategy {strategy.method} trains on weights of its own; leave out --warm-start")


def bound_strategy(strategy: Strategy, run: Run, costs: SearchCosts) -> Strategy:
    """Return the strategy of a run: a one-shot method's knows where the training writes, and what networks cost."""
    if not isinstance(strategy, OneShotStrategy):
        return strategy
    return strategy.bound(run.path / EVALUATOR_FOLDER / FILE, costs.space_costs, costs.devices)


def first_budgets(setup: SearchSetup) -> Mapping[str, float]:
    """Return the budgets that the search began with, which its training aimed at."""
    phases = setup.run.phases_at(len(setup.journal.records))
    return phases[0].budgets if phases else setup.run.settings.budgets


def counted_cost(settings: SearchSettings) -> str:
    """Return the key of the cost that a training counts: a minimised one with a budget, any with one, or the first."""
    minimised = [cost_named(name).key for name in settings.minimize]
    bounded = [key for key in (*minimised, *settings.budgets) if key in settings.budgets]
    return [*bounded, *minimised][0]


def give_aim(setup: SearchSetup) -> None:
    """Tell the evaluator of a one-shot method what networks cost, and what they may."""
    evaluator: Evaluator = setup.evaluator
    if not isinstance(evaluator, OneShotEvaluator):
        return
    assert isinstance(setup.strategy, OneShotStrategy)
    settings, costs, counts = setup.run.settings, setup.costs, setup.strategy.counts_cost
    settings = replace(settings, budgets=first_budgets(setup))
    if setup.warm_start is not None:
        evaluator.trains = False
    elif costs.devices:
        evaluator.aim = {device.device.name: _aim_of_device(settings, device, counts) for device in costs.devices}
    else:
        tail = costs.tails.get(settings.latency_statistic or DEFAULT_STATISTIC, 1.0)
        evaluator.aim = _aim_of(settings, costs.space_costs, tail, costs.training, counts)


def take_distribution(setup: SearchSetup, source: str) -> None:
    """Keep what a training for several devices learned for one of them in the run that delivers for it.

    Args:
        setup: The delivery.
        source: The search for all devices.

    Raises:
        EvaluatorError: What the training wrote is missing or damaged, or cannot be written here.
    """
    if isinstance(setup.evaluator, OneShotEvaluator):
        record = read_training(Path(source) / EVALUATOR_FOLDER / FILE)
        record.of(setup.run.path.name).write(setup.run.folder(EVALUATOR_FOLDER) / FILE)


def tell_training(setup: SearchSetup, progress: TextProgress) -> None:
    """Say what the training of a one-shot method cost, and what the distribution came to."""
    if not isinstance(setup.evaluator, OneShotEvaluator) or setup.warm_start is not None:
        return
    record = read_training(setup.run.path / EVALUATOR_FOLDER / FILE)
    progress(record.cost_line)
    if record.is_shared:
        progress(f"one distribution serves {', '.join(record.devices)}")
    for device, part in record.parts.items():
        last, cost = part.epochs[-1], None if part.cost is None else cost_of_key(part.cost)
        if cost is not None and last.expected is not None:
            budget = f" (budget {cost.format(part.reference)})" if part.is_budget and part.reference else ""
            line = f"expected {cost.title} {cost.format(last.expected)}{budget}, entropy {last.entropy:.0%}"
            progress(f"{device}: {line}" if device else line)


def _aim_of_device(settings: SearchSettings, device: DeviceCosts, counts: str) -> Aim:
    """Return what a training for several devices aims at for one of them.

    Raises:
        BudgetError: No network meets all budgets of the device.
    """
    upper = device.device.latency_budget_ms
    budgets = {**settings.budgets, **({} if upper is None else {LATENCY.key: upper})}
    alone = replace(settings, devices={}, budgets=budgets)
    aim = _aim_of(alone, device.costs, device.tail, training_cost(device.table, device.costs), counts)
    _require_network(device, aim)
    return aim


def _require_network(device: DeviceCosts, aim: Aim) -> None:
    """Refuse budgets that some networks meet one by one, but none meets together, before anything is trained.

    Raises:
        BudgetError: Naming the device.
    """
    from hwnas.oneshot import Solver, uniform

    if len(aim.budgets) < 2:
        return
    try:
        Solver(device.costs).solve(uniform(device.costs.space), aim.budgets)
    except BudgetError:
        flags = " and ".join(cost_named(name).budget_option for name in aim.budgets)
        raise BudgetError(
            f"{device.device.name}: no network of the space meets {flags} together; raise one of them, or leave the "
            "device out of --tables"
        ) from None


def _aim_of(
    settings: SearchSettings, space_costs: SpaceCosts, tail: float, training: CostFunction | None, counts: str
) -> Aim:
    """Return the cost that is followed, its budget (as the table prices networks) or the median of random networks.

    Args:
        settings: What to search for, on one device.
        space_costs: Costs of the space by the device's table.
        tail: How many times the table's price the latency is that the budget binds.
        training: The latency by that table; its name tells it from others. None without a table.
        counts: When the expected cost counts.
    """
    from hwnas.oneshot import Aim, ExpectedCost

    key = counted_cost(settings)
    budgets = {k: upper / (tail if k == LATENCY.key else 1.0) for k, upper in settings.budgets.items()}
    expected = ExpectedCost(space_costs.space, cost=name_of_key(key), batch=settings.batch, costs=space_costs)
    reference = budgets.get(key)
    if reference is None:
        space = space_costs.space
        rows = np.array([space.encode(arch) for arch in space.sample(_NETWORKS, np.random.default_rng(0))])
        reference = float(np.nanmedian(space_costs.cost(key)(rows)))
    named = {name_of_key(k): upper for k, upper in budgets.items()}
    digest = training.name if training is not None and key == LATENCY.key else key
    counted = counts == "always" or (counts == "budget" and key in budgets)
    return Aim(expected, reference, key in budgets, counted, named, digest)
