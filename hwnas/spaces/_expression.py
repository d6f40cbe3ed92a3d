"""Values in a declared space that follow from choices and settings: plain data, never evaluated as code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import Value
from hwnas.spaces._checked_json import Checked
from hwnas.spaces._rounding import divisible
from latency_tables import Shape

MOST_EXTENT = 65_536
MOST_DEPTH = 4
_SOURCES = ("choice", "setting", "extent")
STEPS = ("values", "times", "plus", "divisible", "round")
"""What is done to a source, in this order."""
_ROUND: dict[str, Callable[[float], int]] = {"down": math.floor, "up": math.ceil, "nearest": round}


@dataclass(frozen=True)
class Surroundings:
    """What an expression may refer to.

    Attributes:
        choices: Values of the choices by name.
        settings: Values of the settings by name.
        shape: Shape of the node's first input; None where there is none.
    """

    choices: Mapping[str, Value]
    settings: Mapping[str, Value]
    shape: Shape | None = None


@dataclass(frozen=True)
class Expression:
    """A value, or a source with steps that are done to it.

    Attributes:
        where: Place in the declaration, for errors.
        source: One of ``choice``, ``setting``, ``extent``, or ``value`` for a plain value.
        name: Name of the choice or setting, number of the extent, or the plain value.
        steps: Names and arguments of the steps; numbers, texts, or expressions.
        table: Results by the text of a value, for the step ``values``.
    """

    where: str
    source: str
    name: Value
    steps: tuple[tuple[str, Any], ...] = ()

    def choices(self) -> Iterator[str]:
        """Yield the names of the choices that the value follows."""
        if self.source == "choice":
            yield str(self.name)
        for _, argument in self.steps:
            for part in argument.values() if isinstance(argument, Mapping) else (argument,):
                if isinstance(part, Expression):
                    yield from part.choices()

    def value(self, around: Surroundings) -> Value:
        """Compute the value; a whole number where it is one.

        Raises:
            SpaceError: A step does not fit the value, or the number is out of range.
        """
        result = self._source(around)
        for step, argument in self.steps:
            result = self._done(step, argument, result, around)
        if isinstance(result, float) and result.is_integer():
            result = int(result)
        return result

    def _source(self, around: Surroundings) -> Value:
        if self.source == "choice":
            return around.choices[str(self.name)]
        if self.source == "setting":
            return around.settings[str(self.name)]
        if self.source == "extent":
            place = int(self.name)
            if around.shape is None or not 0 <= place < len(around.shape):
                raise SpaceError(f"{self.where}: the input has no extent {place}; its shape is {around.shape}")
            return around.shape[place]
        return self.name

    def _done(self, step: str, argument: Any, result: Value, around: Surroundings) -> Value:
        if step == "values":
            chosen = argument.get(str(result))
            if chosen is None:
                raise SpaceError(f"{self.where}.values: no entry for {result}; add one")
            return chosen.value(around)  # type: ignore[no-any-return]
        if isinstance(result, str):
            raise SpaceError(f"{self.where}.{step}: needs a number, got {result!r}")
        if step == "divisible":
            number: float = divisible(result, argument)
        elif step == "round":
            number = _ROUND[argument](result)
        else:
            other = argument.value(around)
            if isinstance(other, str):
                raise SpaceError(f"{self.where}.{step}: needs a number, got {other!r}")
            number = result * other if step == "times" else result + other
        if not abs(number) <= 1e9:
            raise SpaceError(f"{self.where}.{step}: {number:g} is out of range; values must be within 1e9")
        return number


def read_expression(
    given: Checked, choices: Mapping[str, tuple[Value, ...]], settings: Mapping[str, Value]
) -> Expression:
    """Read an expression.

    Args:
        given: A number, a word, or an object with one source and steps.
        choices: Values of the known choices by name.
        settings: The known settings by name.

    Raises:
        SpaceError: It is none, or names an unknown choice or setting.
    """
    if not isinstance(given.value, dict):
        return Expression(given.where, "value", given.scalar())
    given.depth_at_most(MOST_DEPTH)
    sources = [name for name in _SOURCES if name in given.value]
    if len(sources) != 1:
        raise given.error(f"needs exactly one of {', '.join(_SOURCES)}, got {', '.join(sources) or 'none'}")
    given.keys(required=(sources[0],), optional=STEPS)
    source = given[sources[0]]
    name: Value = source.whole(0, 8) if sources[0] == "extent" else source.text()
    known: Mapping[str, object] = choices if sources[0] == "choice" else settings
    if sources[0] != "extent" and name not in known:
        raise source.error(f"unknown {sources[0]} {name!r}; known: {', '.join(map(str, known)) or 'none'}")
    steps: list[tuple[str, Any]] = []
    for step in STEPS:
        if step not in given.value:
            continue
        argument = given[step]
        if step == "values":
            steps.append(
                (step, {key: read_expression(argument[key], choices, settings) for key in argument.mapping(64)})
            )
        elif step == "divisible":
            steps.append((step, argument.whole(1, 4096)))
        elif step == "round":
            steps.append((step, argument.one_of(tuple(_ROUND))))
        else:
            steps.append((step, read_expression(argument, choices, settings)))
    return Expression(given.where, sources[0], name, tuple(steps))
