"""`Metric`: what networks are compared by. It knows its name, unit, direction and bounds, and how people write it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hwnas._errors import HwnasError

PERCENT = "%"
BINOMIAL = "binomial"
_NAME_LENGTH = 64
_UNIT_LENGTH = 16
_WORD = re.compile(r"[a-z][a-z0-9]{0,15}\Z")
_WRITTEN = {name.lower(): name for name in ("AP", "AP50", "AUC", "F1", "IoU", "L2", "MAE", "MSE", "RMSE")}
"""Abbreviations as people write them."""


@dataclass(frozen=True)
class Metric:
    """A number that says how good a network is.

    Attributes:
        name: The key in journals and in ``pareto.json``, like ``"accuracy"``, ``"ap50"`` or ``"mse"``.
        direction: ``"max"`` where more is better, ``"min"`` where less is.
        unit: What people read behind the number; empty for none. With ``"%"`` values are fractions, and people read
            and write them in percent.
        low: The least possible value; None where there is none.
        high: The greatest possible value; None where there is none.
        uncertainty: ``"binomial"`` where a value is the share of samples that a network gets right, so that its
            standard error follows from their number; None where it is not known.
        score: Whether the value only stands for what networks are good at (a score of untrained networks).
        precision: The number format of the networks that were evaluated, where they were quantised for it
            (``"int8"``); None where they were evaluated as they were trained.

    Raises:
        HwnasError: A field is impossible.
    """

    name: str
    direction: Literal["max", "min"] = "max"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    uncertainty: str | None = None
    score: bool = False
    precision: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= _NAME_LENGTH:
            raise HwnasError(
                f"metric: its name must be a text of 1 to {_NAME_LENGTH} characters, got {self.name!r:.80}"
            )
        where = f"metric {self.name}"
        if self.direction not in ("max", "min"):
            raise HwnasError(f"{where}: direction must be 'max' or 'min', got {self.direction!r}")
        if not isinstance(self.unit, str) or len(self.unit) > _UNIT_LENGTH or not self.unit.isprintable():
            raise HwnasError(f"{where}: its unit must be a short printable text, got {self.unit!r}")
        for bound in (self.low, self.high):
            if bound is not None and (type(bound) not in (int, float) or not math.isfinite(bound)):
                raise HwnasError(f"{where}: bounds must be finite numbers or None, got {bound!r}")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise HwnasError(f"{where}: low must be less than high, got {self.low:g} and {self.high:g}")
        if self.uncertainty not in (None, BINOMIAL):
            raise HwnasError(f"{where}: uncertainty must be {BINOMIAL!r} or None, got {self.uncertainty!r}")
        if type(self.score) is not bool:
            raise HwnasError(f"{where}: score must be True or False, got {self.score!r}")
        if self.precision is not None and not (isinstance(self.precision, str) and _WORD.match(self.precision)):
            raise HwnasError(f"{where}: precision must be a short lower-case word or None, got {self.precision!r:.40}")

    @classmethod
    def of_score(cls, name: str) -> Metric:
        """Return the metric of a score: more is better, without unit, bounds or a known uncertainty."""
        return cls(name, score=True)

    @property
    def sign(self) -> float:
        """+1 where more is better, -1 where less is: values times this are to be maximised."""
        return 1.0 if self.direction == "max" else -1.0

    @property
    def best(self) -> float | None:
        """The bound that no network can pass; None where there is none."""
        return self.high if self.direction == "max" else self.low

    @property
    def scale(self) -> float:
        """What values are multiplied with to be shown in their unit."""
        return 100.0 if self.unit == PERCENT else 1.0

    @property
    def text(self) -> str:
        """The name for people, with the precision where there is one: ``int8 accuracy``, ``mean IoU``."""
        written = written_name(self.name)
        return written if self.precision is None else f"{self.precision} {written}"

    @property
    def title(self) -> str:
        """The name for people as a title begins with it."""
        return self.text[:1].upper() + self.text[1:]

    @property
    def label(self) -> str:
        """The label of an axis: name and unit."""
        if self.score:
            return f"{self.text} (a score)"
        return f"{self.text} ({self.unit})" if self.unit else self.text

    def holds(self, value: float) -> bool:
        """Return whether a value lies within the bounds."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def require(self, value: float, where: str, error: type[HwnasError] = HwnasError) -> None:
        """Refuse a value out of bounds.

        Args:
            value: The value.
            where: Whose value it is.
            error: The class of error to raise.

        Raises:
            HwnasError: An error of the class `error`.
        """
        if self.holds(value):
            return
        bounds = [
            f"{word} {bound:g}" for word, bound in (("at least", self.low), ("at most", self.high)) if bound is not None
        ]
        hint = "; divide percent by 100, or give another metric" if self.unit == PERCENT else ""
        raise error(f"{where}: {self.name} must be {' and '.join(bounds)}, got {value:g}{hint}")

    def standard_error(self, value: float, samples: int | None) -> float | None:
        """Return the standard error of a value from so many samples; None where it is not known.

        Of a binomial share that is sqrt(p (1 - p) / n). All right or all wrong would give 0, as if a further sample
        could not be otherwise: p then counts half a sample.
        """
        if self.uncertainty != BINOMIAL or not samples or samples < 1:
            return None
        p = min(max(value, 0.5 / samples), 1 - 0.5 / samples)
        return math.sqrt(p * (1 - p) / samples)

    def format(self, value: float, error: float | None = None) -> str:
        """Format a value: ``93.06% ± 1.34%``, ``0.0125 K``; the error is one standard error."""
        return self._written(value) + (f" ± {self._written(error)}" if error is not None else "")

    def parse(self, text: str) -> float:
        """Read what people write: ``93%`` and ``0.93`` are one value, and so are ``0.0125 K`` and ``0.0125``.

        Raises:
            HwnasError: It is not such a number, or out of bounds.
        """
        number = text.strip()
        shown = bool(self.unit) and number.endswith(self.unit)
        try:
            value = float(number.removesuffix(self.unit) if shown else number)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise HwnasError(f"cannot read the {self.name} {text[:60]!r}; write a number like {self._written(0.25)}")
        value /= self.scale if shown else 1.0
        self.require(value, repr(text[:60]))
        return value

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data without the fields that have their defaults."""
        usual = Metric(self.name)
        return {
            name: value
            for name, value in asdict(self).items()
            if name in ("name", "unit", "direction") or value != getattr(usual, name)
        }

    @classmethod
    def from_dict(cls, record: object) -> Metric:
        """Read what `as_dict` gave.

        Raises:
            ValueError: It is not a metric.
        """
        try:
            if not isinstance(record, Mapping):
                raise TypeError
            return cls(**record)
        except (TypeError, HwnasError):
            raise ValueError("no metric") from None

    def _written(self, value: float) -> str:
        if self.unit == PERCENT:
            return f"{value:.2%}"
        return f"{value:.4g} {self.unit}" if self.unit else f"{value:.4g}"


def written_name(name: str) -> str:
    """Return the name of a figure as people write it: ``mean IoU`` for ``mean_iou``."""
    return " ".join(_WRITTEN.get(word, word) for word in name.split("_"))
