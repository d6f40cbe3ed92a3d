"""Whether a network does on the test part what it did in the search."""

from __future__ import annotations

import math

from hwnas.tasks import BINOMIAL, Metric

_SIGMAS = 4.0


def chance_gap(share: float, validation: int, test: int, trials: int, *, above: bool) -> float:
    """Return the largest chance difference between a network's shares of right answers on two parts of the data.

    Either part's share has a binomial error; `_SIGMAS` standard deviations of the difference are allowed. Where the
    search's share is the better one, its network was also chosen for it: the greatest of n normal errors is
    expected below ``sqrt(2 ln n)`` standard deviations.

    Args:
        share: Share of right answers on both parts together.
        validation: Samples of the validation part.
        test: Samples of the test part.
        trials: Number of trials that the network was chosen from.
        above: Whether the search's share is the better one.
    """
    samples = validation + test
    share = (share * samples + 2) / (samples + 4)  # never 0 or 1 (Agresti and Coull 1998)
    variance = share * (1 - share)
    gap = _SIGMAS * math.sqrt(variance / validation + variance / test)
    chosen = math.sqrt(2 * math.log(max(trials, 1)) * variance / validation) if above else 0.0
    return gap + chosen


def doubt(
    name: str, metric: Metric, searched: float, tested: float, validation: int, test: int, trials: int
) -> str | None:
    """Return a warning where a network's values differ by more than chance explains; None where they do not.

    This is known only for metrics with a binomial uncertainty.

    Args:
        name: The network's id.
        metric: What the values are.
        searched: Its value on the validation part.
        tested: Its value on the test part.
        validation: Samples of the validation part.
        test: Samples of the test part.
        trials: Number of trials that the network was chosen from.
    """
    if validation < 1 or test < 1 or metric.uncertainty != BINOMIAL:
        return None
    pooled = (searched * validation + tested * test) / (validation + test)
    better = metric.sign * searched > metric.sign * tested
    allowed = chance_gap(pooled, validation, test, trials, above=better)
    if abs(searched - tested) <= allowed:
        return None
    return (
        f"{name}: test {metric.name} {metric.format(tested)}, but {metric.format(searched)} in the search; chance "
        f"explains a difference of up to {metric.format(allowed)}: the test samples "
        "differ in kind, or the weights are damaged"
    )
