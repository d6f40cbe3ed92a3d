"""Small search problems with known answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from search import Constraint, Domain, Objective, Problem, Proposal, Study

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
CARDS = (3, 4, 2, 5)


def merge_mirror(codes: IntArray) -> IntArray:
    """Isomorphism of the toy: the third choice does not matter when the first is 0."""
    merged = codes.copy()
    merged[codes[:, 0] == 0, 2] = 0
    return merged


def price(codes: IntArray) -> FloatArray:
    """The toy's cost."""
    costs: FloatArray = codes @ np.array([1.0, 0.5, 0.25, 2.0]) + 1.0
    return costs


def score(codes: IntArray) -> FloatArray:
    """The toy's expensive score."""
    scores: FloatArray = np.sin(codes @ np.array([0.3, 0.9, 0.4, 0.5])) + 0.3 * codes[:, 3]
    return scores


def _as_floats(codes: IntArray) -> FloatArray:
    """Codes as features."""
    return codes.astype(np.float64)


def toy_problem(*, upper: float | None = 9.0, features: bool = False, fixed: bool = False) -> Problem:
    """120 rows, of which 100 are canonical, with an expensive score and a price.

    Args:
        upper: The largest admissible price; None for any.
        features: Whether the domain has features of its own.
        fixed: Whether the bounds of the price are stated.
    """
    domain = Domain(CARDS, canonical=merge_mirror, features=_as_floats if features else None)
    constraints = () if upper is None else (Constraint("price", price, upper),)
    worst, best = (15.0, 0.0) if fixed else (None, None)
    return Problem(
        domain,
        (Objective("score", "max"), Objective("price", "min", cost_function=price, worst=worst, best=best)),
        constraints,
    )


def told_price(codes: IntArray) -> FloatArray:
    """The toy's cost as it turns out: 20 % above `price`, up to 6 % more with the first choice, 10 % of noise."""
    noise = 0.1 * np.sin(37.0 * (codes[:, :4] @ np.array([1.0, 3.0, 7.0, 12.0])))
    costs: FloatArray = price(codes[:, :4]) * (1.2 + 0.03 * codes[:, 0] + noise)
    return costs


def estimated_problem(upper: float = 8.0, *, features: bool = False, large: bool = False) -> Problem:
    """Make the toy problem with `price` as an estimate of its cost, which is an objective and has a budget.

    Args:
        upper: The budget.
        features: Whether the domain has features of its own.
        large: Whether it has ten more choices, without influence, so that it cannot be enumerated.
    """

    def estimate(codes: IntArray) -> FloatArray:
        return price(codes[:, :4])

    domain = Domain(
        (*CARDS, *[4] * 10) if large else CARDS,
        canonical=merge_mirror,
        features=_as_floats if features else None,
    )
    objectives = (Objective("score", "max"), Objective("price", "min", cost_function=estimate, estimated=True))
    return Problem(domain, objectives, (Constraint("price", estimate, upper, estimated=True),))


def evaluate_estimated(proposal: Proposal) -> dict[str, float]:
    """Evaluate the toy with its told price."""
    values = evaluate(proposal)
    assert values is not None  # it fails only when asked to
    return {**values, "price": float(told_price(np.array([proposal.codes]))[0])}


def large_problem(choices: int = 30, upper: float | None = None) -> Problem:
    """4^30 rows (about 10^18); the last choice is ignored when the first is 0."""
    weights = np.linspace(0.5, 1.5, choices)

    def merge(codes: IntArray) -> IntArray:
        merged = codes.copy()
        merged[codes[:, 0] == 0, -1] = 0
        return merged

    def cost(codes: IntArray) -> FloatArray:
        costs: FloatArray = codes @ weights
        return costs

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


def linear_problem(m: int, expensive: int) -> tuple[Problem, Callable[[tuple[int, ...]], dict[str, float]]]:
    """Make a problem whose `m` objectives are linear in the codes.

    Args:
        m: Number of objectives; two of three are maximised.
        expensive: How many of them, from the first, have no cost function.

    Returns:
        The problem, and what computes the values of a row.
    """
    weights = np.random.default_rng(m).normal(size=(m, 4))

    def cost_function(k: int) -> Callable[[IntArray], FloatArray] | None:
        return (lambda codes: codes @ weights[k]) if k >= expensive else None

    def values(codes: tuple[int, ...]) -> dict[str, float]:
        return {f"y{k}": float(np.array(codes) @ weights[k]) for k in range(m)}

    objectives = [Objective(f"y{k}", "max" if k % 3 else "min", cost_function=cost_function(k)) for k in range(m)]
    return Problem(Domain((3, 4, 2, 5)), tuple(objectives)), values


def tell_until(study: Study, count: int, values: Callable[[tuple[int, ...]], dict[str, float]]) -> None:
    """Run a study until it has so many trials, or nothing is left."""
    while len(study.trials) < count and (proposals := study.ask()):
        for proposal in proposals:
            study.tell(proposal.number, values(proposal.codes))
