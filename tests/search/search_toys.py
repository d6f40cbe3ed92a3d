"""Small problems with known answers, shared by the tests of the search package."""

from __future__ import annotations

import numpy as np

from search import Constraint, Domain, Objective, Problem, Proposal, Study

CARDS = (3, 4, 2, 5)


def merge_mirror(codes: np.ndarray) -> np.ndarray:
    """Isomorphism of the toy: the third choice does not matter when the first is 0."""
    merged = codes.copy()
    merged[codes[:, 0] == 0, 2] = 0
    return merged


def price(codes: np.ndarray) -> np.ndarray:
    return codes @ np.array([1.0, 0.5, 0.25, 2.0]) + 1.0


def score(codes: np.ndarray) -> np.ndarray:
    return np.sin(codes @ np.array([0.3, 0.9, 0.4, 0.5])) + 0.3 * codes[:, 3]


def toy_problem(*, upper: float | None = 9.0, features: bool = False, fixed: bool = False) -> Problem:
    domain = Domain(CARDS, canonical=merge_mirror, features=(lambda c: c * 1.0) if features else None)
    constraints = () if upper is None else (Constraint("price", price, upper),)
    bounds = {"worst": 15.0, "best": 0.0} if fixed else {}
    return Problem(
        domain,
        (Objective("score", "max"), Objective("price", "min", cost_function=price, **bounds)),
        constraints,
    )


def large_problem(choices: int = 30, upper: float | None = None) -> Problem:
    """4^30 rows (about 10^18); the last choice is ignored when the first is 0."""
    weights = np.linspace(0.5, 1.5, choices)

    def merge(codes: np.ndarray) -> np.ndarray:
        merged = codes.copy()
        merged[codes[:, 0] == 0, -1] = 0
        return merged

    def cost(codes: np.ndarray) -> np.ndarray:
        return codes @ weights

    constraints = () if upper is None else (Constraint("cost", cost, upper),)
    objectives = (Objective("score", "max"), Objective("cost", "min", cost_function=cost))
    return Problem(Domain((4,) * choices, canonical=merge), objectives, constraints)


def evaluate(proposal: Proposal, fail_every: int = 0, nan_every: int = 0) -> dict[str, float] | None:
    """The toy's expensive score; `None` (failed) or NaN at regular trial numbers when asked for."""
    if fail_every and proposal.number % fail_every == 1:
        return None
    if nan_every and proposal.number % nan_every == 2:
        return {"score": float("nan")}
    return {"score": float(score(np.array([proposal.codes])[:, :4])[0])}


def advance(study: Study, budget: int, fail_every: int = 0, nan_every: int = 0) -> Study:
    """Runs until `budget` trials are finished or nothing is left."""
    while len(study.trials) < budget:
        proposals = study.ask()
        if not proposals:
            break
        for proposal in proposals[: budget - len(study.trials)]:
            values = evaluate(proposal, fail_every, nan_every)
            if values is None:
                study.tell(proposal.number, failed="out of memory")
            else:
                study.tell(proposal.number, values)
    return study
