"""Options of strategies: their types, defaults and allowed values, and how they are read from text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search._errors import SearchError

__all__ = ["OptionValue", "StrategyOption", "check_options", "parse_options"]

OptionValue = bool | int | float | str
"""What an option of a strategy can be set to."""


@dataclass(frozen=True)
class StrategyOption:
    """One option of a strategy.

    Attributes:
        name: Keyword of `make_strategy`, and the name in a text ``name=value``.
        default: Value where none is given; its type is the type of the option.
        help: One line that says what the option does.
        choices: Allowed words of an option whose type is `str`.
        minimum: Least allowed number; `None` for no bound.
        maximum: Greatest allowed number; `None` for no bound.
    """

    name: str
    default: OptionValue
    help: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def kind(self) -> type[OptionValue]:
        """`bool`, `int`, `float` or `str`."""
        return type(self.default)

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.kind is str:
            return f"one of {', '.join(self.choices)}"
        if self.kind is bool:
            return "true or false"
        number = "an integer" if self.kind is int else "a number"
        if self.maximum is None:
            return number if self.minimum is None else f"{number} of {self.minimum:g} or more"
        return f"{number} from {self.minimum:g} to {self.maximum:g}"

    def check(self, value: object) -> OptionValue | None:
        """Convert a value to the option's type; `None` where it is not allowed."""
        if self.kind is str:
            return value if isinstance(value, str) and value in self.choices else None
        if self.kind is bool or isinstance(value, bool):
            return value if self.kind is bool and isinstance(value, bool) else None
        if not isinstance(value, int | float if self.kind is float else int):
            return None
        number = self.kind(value)
        assert isinstance(number, int | float)
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return number if math.isfinite(number) and low <= number <= high else None

    def parse(self, text: str) -> OptionValue | None:
        """Read a value from a text; `None` where it is not allowed."""
        if self.kind is bool:
            return {"true": True, "false": False}.get(text.strip().lower())
        try:
            return self.check(self.kind(text.strip()))
        except ValueError:
            return None


def check_options(
    strategy: str, options: Sequence[StrategyOption], given: Mapping[str, object], *, kind: str = "strategy"
) -> dict[str, OptionValue]:
    """Check given options; return each in its type.

    Args:
        strategy: Name of the strategy, for errors.
        options: The options that it declares.
        given: Values by name.
        kind: What has the options, for errors.

    Raises:
        SearchError: An option is unknown or its value is not allowed.
    """
    checked: dict[str, OptionValue] = {}
    for name, value in given.items():
        option = _option(f"{kind} {strategy}", options, name)
        checked[name] = _allowed(f"{kind} {strategy}", option, option.check(value), value)
    return checked


def parse_options(
    strategy: str, options: Sequence[StrategyOption], texts: Iterable[str], *, kind: str = "strategy"
) -> dict[str, OptionValue]:
    """Read options from texts ``name=value``.

    Args:
        strategy: Name of the strategy, for errors.
        options: The options that it declares.
        texts: The texts; each states another option.
        kind: What has the options, for errors.

    Raises:
        SearchError: A text has no ``=``, an option is unknown or given twice, or its value is not allowed.
    """
    owner, parsed = f"{kind} {strategy}", dict[str, OptionValue]()
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SearchError(f"{owner}: an option must be name=value, got {text!r}")
        option = _option(owner, options, name.strip())
        if option.name in parsed:
            raise SearchError(f"{owner}: option {option.name} is given twice; keep one value")
        parsed[option.name] = _allowed(owner, option, option.parse(value), value)
    return parsed


def _option(owner: str, options: Sequence[StrategyOption], name: str) -> StrategyOption:
    """Find the option of that name."""
    for option in options:
        if option.name == name:
            return option
    allowed = f"its options are {', '.join(option.name for option in options)}" if options else "it has no options"
    raise SearchError(f"{owner} has no option {name!r}; {allowed}")


def _allowed(owner: str, option: StrategyOption, value: OptionValue | None, given: object) -> OptionValue:
    """Return the value, or raise the error for `given` where it is `None`."""
    if value is None:
        raise SearchError(f"{owner}: option {option.name} must be {option.allowed}, got {given!r}")
    return value
