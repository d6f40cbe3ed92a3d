"""Whether a network does on the test part what it did in the search."""

from __future__ import annotations

import math

_SIGMAS = 4.0


def chance_gap(accuracy: float, validation: int, test: int, trials: int, *, above: bool) -> float:
    """The most by which accuracies of one network on two parts of one data set differ by chance.

    Either part's accuracy has a binomial error; `_SIGMAS` standard deviations of the difference are allowed. Where the
    search's accuracy is the greater one, its network was also chosen for it: the greatest of n normal errors is
    expected below ``sqrt(2 ln n)`` standard deviations.

    Args:
        accuracy: accuracy on both parts together, a fraction.
        validation: images of the validation part.
        test: images of the test part.
        trials: that the network was chosen from.
        above: whether the search's accuracy is the greater one.
    """
    images = validation + test
    share = (accuracy * images + 2) / (images + 4)  # never 0 or 1 (Agresti and Coull 1998)
    variance = share * (1 - share)
    gap = _SIGMAS * math.sqrt(variance / validation + variance / test)
    chosen = math.sqrt(2 * math.log(max(trials, 1)) * variance / validation) if above else 0.0
    return gap + chosen


def doubt(name: str, searched: float, tested: float, validation: int, test: int, trials: int) -> str | None:
    """A line of warning where a network's accuracies differ by more than chance allows; None where they do not.

    Args:
        name: The network's id.
        searched: its accuracy on the validation part.
        tested: on the test part.
        validation: images of the validation part.
        test: images of the test part.
        trials: that the network was chosen from.
    """
    if validation < 1 or test < 1:
        return None
    pooled = (searched * validation + tested * test) / (validation + test)
    allowed = chance_gap(pooled, validation, test, trials, above=searched > tested)
    if abs(searched - tested) <= allowed:
        return None
    return (
        f"{name} has a test accuracy of {tested:.2%} and had {searched:.2%} in the search; chance allows a "
        f"difference of {allowed:.2%}: the test images are of another kind, or the weights were damaged"
    )
