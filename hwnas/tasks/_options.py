"""`TrainingOption`: a setting of the training that belongs to a task, like one of its augmentations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwnas._errors import EvaluatorError

_FEWEST_EPOCHS = 5


@dataclass(frozen=True)
class TrainingOption:
    """One setting of a task's training.

    Attributes:
        default: Its value where nobody gives one; a bool makes it a switch.
        low: The least number; not used by a switch.
        high: The greatest number; not used by a switch.
        about: One line of text.
        later: Whether earlier versions did not have it; runs then name it where it is not the default.
    """

    default: bool | float
    low: float = 0.0
    high: float = math.inf
    about: str = ""
    later: bool = False

    def require(self, name: str, value: object) -> None:
        """Refuse an impossible value.

        Raises:
            EvaluatorError: Naming the setting.
        """
        if isinstance(self.default, bool):
            if type(value) is not bool:
                raise EvaluatorError(f"training: {name} must be true or false, got {value!r}")
        else:
            require_number(name, value, self.low, self.high)


def amounts(settings: Mapping[str, Any], *names: str) -> tuple[float, ...]:
    """Return the values of some settings as numbers; what is absent is off, as 0 is."""
    return tuple(float(settings.get(name, 0.0)) for name in names)


def require_number(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is not a number from `low` to `high`.

    Raises:
        EvaluatorError: Naming the setting of the training.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise EvaluatorError(f"training: {name} must be {low:g} to {high:g}, got {value!r}")


def recipe_of_size(count: int, seen: int, batch: int, *, most_epochs: int = 100) -> dict[str, object]:
    """Return ``epochs`` and ``batch_size`` by the number of train samples: small data sets are repeated more often.

    Args:
        count: Train samples.
        seen: Samples that a training should see at least, repeated ones counted again.
        batch: Samples of a batch, where there are so many.
        most_epochs: Greatest number of epochs.
    """
    epochs = min(most_epochs, max(_FEWEST_EPOCHS, round(seen / count)))
    return {"epochs": epochs, "batch_size": min(batch, count)}
