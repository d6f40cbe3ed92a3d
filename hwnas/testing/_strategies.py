"""What every strategy must keep, on small problems with known answers."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hwnas.testing._estimates import check_estimates, check_estimates_in_short
from hwnas.testing._problems import (
    advance,
    evaluate,
    large_problem,
    linear_problem,
    merge_mirror,
    price,
    tell_until,
    toy_problem,
)
from hwnas.testing._require import errors_as_faults, require
from hwnas.testing._studies import BATCH, INITIAL, SEED, MakeStrategy
from hwnas.testing._studies import owner as _owner
from hwnas.testing._studies import restored_study as _restore
from hwnas.testing._studies import study_of as _study
from search import ENUMERATION_LIMIT, Constraint, Domain, Objective, Problem, Study, TellError, Trial

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def check_strategy(make: MakeStrategy, *, costly: bool = False) -> None:
    """Check a strategy.

    The same seed must give the same trials, an interrupted search must continue as the uninterrupted one after every
    trial, no row may be proposed twice or break a constraint, and failures, small spaces, spaces without a feasible
    row, any number of objectives, estimated ones and spaces that cannot be enumerated must be searched without an
    error.

    Args:
        make: Makes the strategy anew, as `hwnas.make_strategy` would.
        costly: Check the most important in short, for a strategy whose batches take seconds.

    Raises:
        AssertionError: The strategy breaks the contract.
    """
    for check in (check_in_short,) if costly else STRATEGY_CHECKS:
        with errors_as_faults():
            check(make)


def _require_proper(make: MakeStrategy, trials: tuple[Trial, ...], count: int, upper: float) -> None:
    """Require different canonical rows of the toy problem within a budget."""
    rows = np.array([trial.codes for trial in trials])
    require(len(rows) == count, f"{_owner(make)}: {count} trials must be proposed, got {len(rows)}")
    require((merge_mirror(rows) == rows).all(), f"{_owner(make)}: rows must be canonical")
    require(len(np.unique(rows, axis=0)) == count, f"{_owner(make)}: no row may be proposed twice")
    require((price(rows) <= upper).all(), f"{_owner(make)}: every row must keep the constraint")


def check_name(make: MakeStrategy) -> None:
    """Its name is a text, the same each time."""
    name = make().name
    require(isinstance(name, str) and name and make().name == name, f"strategy {name!r}: its name must be a fixed text")


def check_seeds(make: MakeStrategy) -> None:
    """The same seed gives the same trials, another one others."""
    first = advance(_study(make), 20).trials
    require(first == advance(_study(make), 20).trials, f"{_owner(make)}: the same seed must give the same trials")
    other = advance(_study(make, seed=SEED + 1), 20).trials
    require(first != other, f"{_owner(make)}: another seed must give other trials")


def check_propose_is_pure(make: MakeStrategy) -> None:
    """`propose` is a function of its arguments: called again, it gives the same rows."""
    study, strategy = advance(_study(make), INITIAL + BATCH), make()
    rows = [strategy.propose(study.context(), BATCH, np.random.default_rng(1)).codes for _ in range(3)]
    same = all(np.array_equal(rows[0], other) for other in rows)
    require(
        same, f"{_owner(make)}: propose must give the same rows for the same arguments; keep no state between calls"
    )


def check_no_duplicates_and_no_violations(make: MakeStrategy) -> None:
    """Rows are canonical, different and feasible, with and without features of the domain."""
    for features in (False, True):
        problem = toy_problem(upper=8.0, features=features)
        _require_proper(make, advance(_study(make, problem), 40, fail_every=7).trials, 40, 8.0)


def check_resume_after_every_trial(make: MakeStrategy) -> None:
    """A study that was cut after any trial continues as the whole one."""
    budget = 18
    whole = list(advance(_study(make), budget, fail_every=5, nan_every=8).trials)
    require(sum(not trial.ok for trial in whole) == 6, f"{_owner(make)}: 6 of {budget} trials must have failed")
    for cut in range(budget):
        restored = _restore(make, whole[:cut])
        require(list(restored.trials) == whole[:cut], f"{_owner(make)}: {cut} trials are not restored as they were")
        again = list(advance(restored, budget, fail_every=5, nan_every=8).trials)
        require(again == whole, f"{_owner(make)}: resumed after {cut} trials, the search goes on differently")


def check_resume_out_of_order(make: MakeStrategy) -> None:
    """Within a batch in flight any subset may have finished."""
    whole = advance(_study(make), 15).trials
    restored = _restore(make, list(reversed([*whole[:9], whole[10]])))
    asked = [(proposal.number, proposal.codes) for proposal in restored.ask()]
    expected = [(number, whole[number].codes) for number in (9, 11)]
    require(asked == expected, f"{_owner(make)}: of a batch in flight, the trials 9 and 11 must be asked again")
    require(
        advance(restored, 15).trials == whole, f"{_owner(make)}: resumed within a batch, the search goes on differently"
    )


def check_state_survives_json(make: MakeStrategy) -> None:
    """A study is the same after its state was written and read."""
    study = advance(_study(make), 11, fail_every=4)
    again = Study.from_state(toy_problem(), make(), json.loads(json.dumps(study.state())))
    same = again.trials == study.trials and again.ask() == study.ask() and again.state() == study.state()
    require(same, f"{_owner(make)}: a study that was stored as JSON and read must be the same")


def check_a_small_space_is_exhausted(make: MakeStrategy) -> None:
    """Every feasible row is proposed once, then none."""
    problem = toy_problem(upper=4.0)
    feasible = problem.domain.enumerate()
    feasible = feasible[price(feasible) <= 4.0]
    study = advance(_study(make, problem), 1000)
    whole = {trial.codes for trial in study.trials} == {tuple(row) for row in feasible}
    require(whole and len(study.trials) == len(feasible), f"{_owner(make)}: each of {len(feasible)} feasible rows once")
    require(study.ask() == study.ask() == [], f"{_owner(make)}: an exhausted space must give no proposal")


def check_one_and_no_feasible_row(make: MakeStrategy) -> None:
    """The only feasible row is proposed; without one, none is."""
    only = [trial.codes for trial in advance(_study(make, toy_problem(upper=1.0)), 10).trials]
    require(only == [(0, 0, 0, 0)], f"{_owner(make)}: the only feasible row must be proposed, got {only}")
    asked = _study(make, toy_problem(upper=0.5)).ask()
    require(asked == [], f"{_owner(make)}: without a feasible row none may be proposed, got {asked}")
    single = _study(make, Problem(Domain((1, 1)), (Objective("score", "max"),)))
    (proposal,) = single.ask()
    single.tell(proposal.number, {"score": 0.0})
    require(single.ask() == [], f"{_owner(make)}: a domain of one row must be exhausted after it")


def check_equal_values(make: MakeStrategy) -> None:
    """Where all rows are equally good, all are proposed."""
    study = _study(make, Problem(Domain((3, 3, 3)), (Objective("score", "max"), Objective("cost", "min"))))
    tell_until(study, 27, lambda codes: {"score": 1.0, "cost": 2.0})
    require(len(study.front()) == 27, f"{_owner(make)}: 27 equal rows make one front, got {len(study.front())}")


def check_failures(make: MakeStrategy) -> None:
    """A search goes on where every evaluation fails, and where a single one succeeds."""
    for good, front in ((None, []), (2, [2])):
        study = _study(make)
        for _ in range(4):
            for proposal in study.ask():
                succeeds = proposal.number == good
                study.tell(proposal.number, {"score": 1.0} if succeeds else None, failed=None if succeeds else "always")
        rows = {trial.codes for trial in study.trials}
        count = INITIAL + 3 * BATCH
        whole = len(study.trials) == len(rows) == count
        require(whole, f"{_owner(make)}: with failures, {count} different rows must be proposed, got {len(rows)}")
        require([trial.number for trial in study.front()] == front, f"{_owner(make)}: failed trials are on no front")


def check_a_budget_below_the_initial_design(make: MakeStrategy) -> None:
    """A search may end within its initial design."""
    study = advance(_study(make, initial=10), 4)
    numbers = [t.number for t in study.trials], [proposal.number for proposal in study.ask()]
    require(
        numbers == ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9]), f"{_owner(make)}: trials must be numbered from 0, got {numbers}"
    )


def check_any_number_of_objectives(make: MakeStrategy) -> None:
    """One, three and four objectives, all but the first with a cost function."""
    for m in (1, 3, 4):
        problem, values = linear_problem(m, expensive=1)
        study = _study(make, problem)
        tell_until(study, 24, values)
        rows = len({trial.codes for trial in study.trials})
        require(rows == 24, f"{_owner(make)}: with {m} objectives, 24 different rows must be proposed, got {rows}")


def check_measured_constraints(make: MakeStrategy) -> None:
    """A constraint that is told with each trial keeps trials from the front, and must be told."""
    objectives = (Objective("score", "max"), Objective("price", "min", cost_function=price))
    study = _study(make, Problem(Domain((3, 4, 2, 5)), objectives, (Constraint("memory", None, 3.0),)))
    while len(study.trials) < 24:
        for proposal in study.ask():
            values = evaluate(proposal)
            assert values is not None  # nothing fails here
            study.tell(proposal.number, {**values, "memory": float(sum(proposal.codes)) - 1.0})
    feasible = [trial.number for trial in study.trials if sum(trial.codes) <= 4]
    require(0 < len(feasible) < 24, f"{_owner(make)}: some of 24 trials must keep the measured constraint, not all")
    stored = all(trial.values["memory"] == sum(trial.codes) - 1.0 for trial in study.trials)
    require(stored, f"{_owner(make)}: trials must hold the measured value")
    front = {trial.number for trial in study.front()} <= set(feasible)
    seen = [trial.number for trial in study.context().successful] == feasible
    require(front and seen, f"{_owner(make)}: trials beyond a measured constraint count for nothing")
    try:
        study.tell(study.ask()[0].number, {"score": 1.0})
    except TellError as error:
        require("the value of 'memory' is missing" in str(error), f"{_owner(make)}: unexpected error: {error}")
    else:
        raise AssertionError(f"{_owner(make)}: a trial without its measured value must be refused")


def check_large_domains(make: MakeStrategy) -> None:
    """A domain of 10^18 rows is searched and resumed without being enumerated."""
    problem = large_problem(upper=30.0)
    study = advance(_study(make, problem), 24, fail_every=6)
    rows = np.array([trial.codes for trial in study.trials])
    proper = len(np.unique(rows, axis=0)) == 24 and problem.admissible(rows).all()
    require(proper, f"{_owner(make)}: 24 different feasible rows of a large domain must be proposed")
    resumed = _restore(make, list(study.trials[:20]), problem).ask()[0].codes
    require(
        resumed == study.trials[20].codes, f"{_owner(make)}: resumed in a large domain, the search goes on differently"
    )


def check_a_large_domain_with_few_feasible_rows(make: MakeStrategy) -> None:
    """Cost functions and features never get an empty array, and the seven feasible rows of a million are found."""

    def total(codes: IntArray) -> FloatArray:
        require(len(codes), f"{_owner(make)}: a cost function was called without rows")
        sums: FloatArray = codes.sum(axis=1) * 1.0
        return sums

    def features(codes: IntArray) -> FloatArray:
        require(len(codes), f"{_owner(make)}: the features of no rows were asked for")
        return codes.astype(np.float64)

    domain = Domain((10,) * 6, features=features)
    require(domain.size > ENUMERATION_LIMIT, "the domain of this check must be too large to be enumerated")
    objectives = (Objective("score", "max"), Objective("total", "min", cost_function=total))
    study = _study(make, Problem(domain, objectives, (Constraint("total", total, 1.0),)))
    sums = sorted(sum(trial.codes) for trial in advance(study, 100).trials)
    require(sums == [0, 1, 1, 1, 1, 1, 1], f"{_owner(make)}: the 7 feasible rows must be found, got {len(sums)}")
    require(study.ask() == [], f"{_owner(make)}: an exhausted large domain must give no proposal")


def check_in_short(make: MakeStrategy) -> None:
    """Rows are proper, and a resumed search continues: for strategies whose batches take seconds."""
    check_name(make)
    problem = toy_problem(upper=8.0)
    whole = advance(_study(make, problem), 12, fail_every=7).trials
    _require_proper(make, whole, 12, 8.0)
    again = advance(_restore(make, list(whole[:10]), problem), 12, fail_every=7).trials
    require(again == whole, f"{_owner(make)}: resumed after 10 trials, the search goes on differently")
    check_estimates_in_short(make)


STRATEGY_CHECKS: tuple[Callable[[MakeStrategy], None], ...] = (
    check_name,
    check_seeds,
    check_propose_is_pure,
    check_no_duplicates_and_no_violations,
    check_resume_after_every_trial,
    check_resume_out_of_order,
    check_state_survives_json,
    check_a_small_space_is_exhausted,
    check_one_and_no_feasible_row,
    check_equal_values,
    check_failures,
    check_a_budget_below_the_initial_design,
    check_any_number_of_objectives,
    check_measured_constraints,
    check_estimates,
    check_large_domains,
    check_a_large_domain_with_few_feasible_rows,
)
"""All checks of a strategy, from the simplest on."""
