"""What every strategy must keep where an objective and its budget are estimated."""

from __future__ import annotations

from hwnas.testing._problems import estimated_problem, evaluate_estimated
from hwnas.testing._require import require
from hwnas.testing._studies import MakeStrategy, owner, restored_study, study_of
from search import Problem, Study, Trial

__all__ = ["check_estimates", "check_estimates_in_short"]

_BUDGET = 8.0
_NOISE = 0.07
"""Relative standard deviation that is told of the noise of a price."""


def check_estimates(make: MakeStrategy) -> None:
    """Where cost and budget are estimated, proposals keep the corrected estimate, and told values decide.

    The initial design, the same for every strategy, breaks the budget in some trials and keeps it in others.
    """
    for large in (False, True):
        problem = estimated_problem(_BUDGET, features=large, large=large)
        study = study_of(make, problem)
        tell_estimated(study, 24)
        trials = study.trials
        require(len({trial.codes for trial in trials}) == 24, f"{owner(make)}: 24 different rows must be proposed")
        kept = [trial.number for trial in trials if trial.values["price"] <= _BUDGET]
        require(0 < len(kept) < 24, f"{owner(make)}: some of 24 trials must keep the estimated constraint, not all")
        context = study.context()
        seen = [trial.number for trial in context.successful] == kept
        front = {trial.number for trial in study.front()} <= set(kept)
        require(seen and front, f"{owner(make)}: trials whose told value breaks an estimated constraint count nowhere")
        require_exact_resumption(make, problem, trials)


def tell_estimated(study: Study, budget: int) -> None:
    """Run a study with an estimated price until `budget` trials are finished, or nothing is left."""
    while len(study.trials) < budget and (proposals := study.ask()):
        for proposal in proposals[: budget - len(study.trials)]:
            require(
                set(proposal.estimates) == {"price"}, "a proposal must hold the estimate of each estimated quantity"
            )
            require(proposal.estimates["price"] <= _BUDGET, "a proposal must keep its budget by the corrected estimate")
            values = evaluate_estimated(proposal)
            study.tell(proposal.number, values, deviations={"price": _NOISE * values["price"]})


def require_exact_resumption(
    make: MakeStrategy, problem: Problem, trials: tuple[Trial, ...], cuts: tuple[int, ...] = (4, 9, 16, 21, 23)
) -> None:
    """Require that a study with an estimated price, cut within and between batches, goes on as the whole one."""
    for cut in cuts:
        restored = restored_study(make, trials[:cut], problem)
        tell_estimated(restored, len(trials))
        require(
            restored.trials == trials,
            f"{owner(make)}: with estimates, resumed after {cut} trials, it goes on differently",
        )


def check_estimates_in_short(make: MakeStrategy) -> None:
    """With estimates, a search is resumed exactly within a batch."""
    problem = estimated_problem(_BUDGET)
    study = study_of(make, problem)
    tell_estimated(study, 12)
    require_exact_resumption(make, problem, study.trials, cuts=(10,))
