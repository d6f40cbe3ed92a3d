"""Declarations of spaces: JSON that states choices and a choice graph over the registry's operators."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import Choice, Value
from hwnas.spaces._checked_json import Checked, shown
from hwnas.spaces._choice_graph import Alternative, ChoiceGraph, Extent, Make, follow, takes_all_shapes
from hwnas.spaces._expression import MOST_EXTENT, Expression, Surroundings, read_expression
from hwnas.spaces._several import are_different
from latency_tables import GraphError, Op, Shape, read_json
from profilers import ProfilerError, ops, parts_of, primitive_of

FORMAT, VERSION = "hwnas-space", 1
KEYS = ("format", "version", "name", "input", "choices", "nodes", "output")
OPTIONAL_KEYS = ("about", "settings")
NODE_KEYS = {
    "op": (("name", "op", "inputs"), ("attributes", "when", "otherwise")),
    "sum": (("name", "sum"), ()),
    "alternatives": (("name", "choice", "alternatives"), ()),
}
MOST_FILE_BYTES = 1_000_000
_WITH_LISTS = ("detections", "reshape", "transpose")
MOST_CHOICES, MOST_VALUES, MOST_NODES, MOST_INPUTS, MOST_ATTRIBUTES = 256, 64, 2_000, 16, 16
MOST_ELEMENTS = 2**28
"""Elements of one tensor, and weights of one op."""


def read_declaration(path: Path) -> dict[str, Any]:
    """Read a file that declares a space; `DeclaredSpace` checks it.

    Raises:
        SpaceError: It cannot be read, or is no JSON object.
    """
    try:
        content = read_json(path, MOST_FILE_BYTES)
    except OSError as error:
        raise SpaceError(f"cannot read the space {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise SpaceError(f"{path} is not JSON: {error}; see docs/declared-spaces.md") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SpaceError(f'{path} does not declare a space; its first entry must be "format": "{FORMAT}"')
    return content


def checked_settings(content: Checked, given: Mapping[str, object]) -> dict[str, Value]:
    """Return the settings of a declaration, with what is given in place of its defaults.

    Raises:
        SpaceError: A setting is unknown, or is not like its default.
    """
    declared = content.get("settings", {})
    settings: dict[str, Value] = {}
    for name in declared.mapping(32) if declared.value != {} else ():
        if Checked(name, declared.where).name() == "declaration":
            raise declared.error("a setting cannot be called 'declaration'; give it another name")
        settings[name] = declared[name].scalar()
    for name, value in given.items():
        if name not in settings:
            known = ", ".join(settings) or "none"
            raise SpaceError(f"space {content.value['name']} has no setting {name!r}; it declares {known}")
        changed = value != settings[name]  # a default may be 0: a number that others are computed from
        if changed and isinstance(settings[name], int) and (type(value) is not int or not 1 <= value <= MOST_EXTENT):
            raise SpaceError(
                f"space {content.value['name']}: {name} must be a whole number of 1-{MOST_EXTENT:,}, got {shown(value)}"
            )
        settings[name] = Checked(value, f"setting {name}").scalar()
    return settings


def declared_graph(content: Checked, settings: Mapping[str, Value]) -> ChoiceGraph:
    """Build the choice graph of a declaration.

    Raises:
        SpaceError: Naming the place in the declaration, what is wrong there and what would be right.
    """
    return _Reader(content, settings).graph


def require_format(content: Checked) -> None:
    """Refuse another format, another version, or unknown keys."""
    content.keys(required=KEYS, optional=OPTIONAL_KEYS)
    content["format"].one_of((FORMAT,))
    if content["version"].value != VERSION:
        raise content["version"].error(f"must be {VERSION}, got {shown(content['version'].value)}; update hwnas")
    content["name"].name()
    content.get("about", "").text()


@cache
def makers() -> dict[str, Callable[..., Op]]:
    """Return the functions that make ops, by name; but those that need a list, which no expression gives."""
    return {
        name: function
        for name, function in vars(ops).items()
        if callable(function) and not name.startswith("_") and getattr(function, "__module__", "") == ops.__name__
        if name not in _WITH_LISTS
    }


class _Reader:
    """Builds a choice graph from a declaration."""

    def __init__(self, content: Checked, settings: Mapping[str, Value]) -> None:
        self.settings, self.graph = settings, ChoiceGraph()
        self.choices: dict[str, Choice] = {}
        for item in content["choices"].items(MOST_CHOICES):
            item.keys(required=("name", "values"))
            values = tuple(value.scalar() for value in item["values"].items(MOST_VALUES))
            if not are_different(values):
                raise item["values"].error("must be different values")
            name = item["name"].name()
            if name in self.choices:
                raise item["name"].error(f"{name!r} is used twice")
            self.choices[name] = self.graph.choice(name, values)
        self.graph.read(*[self._extent(item) for item in content["input"].items(4)])
        for item in content["nodes"].items(MOST_NODES):
            self._node(item)
        self.graph.finish(self._tensor(content["output"]))

    def _node(self, item: Checked) -> None:
        kinds = [kind for kind in NODE_KEYS if isinstance(item.value, dict) and kind in item.value]
        if len(kinds) != 1:
            raise item.error(f"must be an object with exactly one of {', '.join(NODE_KEYS)}")
        required, optional = NODE_KEYS[kinds[0]]
        item.keys(required=required, optional=optional)
        name = item["name"].name()
        try:
            if kinds[0] == "sum":
                self.graph.sum(name, *[self._tensor(part) for part in item["sum"].items(64)])
            elif kinds[0] == "op":
                self._op_node(name, item)
            else:
                choice = self._choice(item["choice"])
                self.graph.choose(name, choice, self._alternatives(item["alternatives"], choice))
        except SpaceError as error:
            if not str(error).startswith("choice graph: "):
                raise
            raise item.error(str(error).removeprefix("choice graph: ")) from None

    def _op_node(self, name: str, item: Checked) -> None:
        make = self._make(item)
        when = None
        if "when" in item.value:
            item["when"].keys(required=("choice", "values"))
            choice = self._choice(item["when"]["choice"])
            present = [self._value(value, choice) for value in item["when"]["values"].items(MOST_VALUES)]
            when = (choice, present.__contains__)
        elif "otherwise" in item.value:
            raise item["otherwise"].error('needs "when"; add that or leave it out')
        given = item.get("otherwise", make.inputs[0])
        otherwise = None if given.value is None else self._tensor(given)
        self.graph.place(name, make, when=when, otherwise=otherwise)

    def _alternatives(self, item: Checked, choice: Choice) -> dict[Value, Alternative]:
        names = {str(value): value for value in choice.values}
        for key in item.mapping(MOST_VALUES):
            if key not in names:
                raise item.error(f"{choice.name} has no value {shown(key)}; its values: {', '.join(names)}")
        missing = [name for name in names if name not in item.value]
        if missing:
            raise item.error(f"the value {missing[0]} of {choice.name} is missing; add it")
        alternatives: dict[Value, Alternative] = {}
        for key, value in names.items():
            if isinstance(item[key].value, dict):
                item[key].keys(required=("op", "inputs"), optional=("attributes",))
                alternatives[value] = self._make(item[key])
            else:
                alternatives[value] = None if item[key].value is None else self._tensor(item[key])
        return alternatives

    def _make(self, item: Checked) -> Make:
        maker = item["op"].one_of(sorted(makers()))
        inputs = [self._tensor(tensor) for tensor in item["inputs"].items(MOST_INPUTS)]
        given = item.get("attributes", {})
        parameters = list(inspect.signature(makers()[maker]).parameters.values())[1:]
        known = [each for each in parameters if each.kind is not inspect.Parameter.VAR_POSITIONAL]
        given.keys(
            required=[parameter.name for parameter in known if parameter.default is inspect.Parameter.empty],
            optional=[parameter.name for parameter in known if parameter.default is not inspect.Parameter.empty],
        )
        attributes = {key: self._expression(given[key]) for key in given.value}
        following = self._following(attributes.values())
        names = tuple(choice.name for choice in following)
        chosen = follow(lambda *values: dict(zip(names, values, strict=True)), *following)
        return Make(_DeclaredOp(item.where, maker, attributes, self.settings), *inputs, chosen=chosen)

    def _extent(self, item: Checked) -> int | Extent:
        expression = self._expression(item)
        following = self._following([expression])
        names = tuple(choice.name for choice in following)

        def extent(*values: Value) -> int:
            """Compute the extent from the values of its choices."""
            around = Surroundings(dict(zip(names, values, strict=True)), self.settings)
            return Checked(expression.value(around), item.where).whole(1, MOST_EXTENT)

        return follow(extent, *following) if following else extent()

    def _following(self, expressions: Iterable[Expression]) -> list[Choice]:
        names = dict.fromkeys(name for expression in expressions for name in expression.choices())
        return [self.choices[name] for name in names]

    def _expression(self, item: Checked) -> Expression:
        return read_expression(item, {name: choice.values for name, choice in self.choices.items()}, self.settings)

    def _choice(self, item: Checked) -> Choice:
        return self.choices[item.one_of(list(self.choices))]

    def _value(self, item: Checked, choice: Choice) -> Value:
        if item.value not in choice.values or isinstance(item.value, bool):
            raise item.error(f"must be one of {', '.join(map(str, choice.values))}, got {shown(item.value)}")
        return item.value  # type: ignore[no-any-return]

    def _tensor(self, item: Checked) -> str:
        name = item.text()
        if name not in self.graph.nodes and name != self.graph.input:
            raise item.error(f"{shown(name)} is not a node before this one; give an earlier node or input")
        return name


class _DeclaredOp:
    """Makes the op of a declared node."""

    def __init__(
        self, where: str, maker: str, attributes: Mapping[str, Expression], settings: Mapping[str, Value]
    ) -> None:
        self.where, self.maker = where, maker
        self.attributes, self.settings = attributes, settings

    def __call__(self, *shapes: Shape, chosen: Mapping[str, Value]) -> Op:
        maker = makers()[self.maker]
        read = shapes if takes_all_shapes(maker) else shapes[:1]
        around = Surroundings(chosen, self.settings, shapes[0])
        values = {name: self._attribute(name, expression.value(around)) for name, expression in self.attributes.items()}
        try:
            op = maker(*read, **values)
            weights = sum(p.size for part in parts_of(op) for p in primitive_of(part).parameters(part).values())
        except (GraphError, ProfilerError, TypeError, ValueError, ArithmeticError, IndexError) as error:
            text = ", ".join(f"{name}={value}" for name, value in values.items())
            cause = " ".join(str(error).split())
            raise SpaceError(
                f"{self.where}: {self.maker} cannot be built for input shape {', '.join(map(str, read))} with "
                f"{text or 'no attributes'}: {cause}"
            ) from None
        elements = max(weights, *(math.prod(shape) for shape in (*op.inputs, op.output)))
        if elements > MOST_ELEMENTS:
            raise SpaceError(f"{self.where}: {self.maker} has {elements:,} elements; the most is {MOST_ELEMENTS:,}")
        return op

    def _attribute(self, name: str, value: Value) -> Value:
        if isinstance(value, float):
            raise SpaceError(f'{self.where}.attributes.{name}: must be a whole number, got {value:g}; add "round"')
        if isinstance(value, int) and not 0 <= value <= MOST_EXTENT:
            raise SpaceError(f"{self.where}.attributes.{name}: must be 0-{MOST_EXTENT:,}, got {value:,}")
        return value


def first_difference(before: object, now: object, where: str = "") -> str:
    """Return the place at which two declarations differ; empty where they do not."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            place = f"{where}.{key}" if where else str(key)
            if key not in before or key not in now:
                return place
            if difference := first_difference(before[key], now[key], place):
                return difference
        return ""
    if isinstance(before, list) and isinstance(now, list):
        for number, (a, b) in enumerate(zip(before, now, strict=False)):
            if difference := first_difference(a, b, f"{where}[{number}]"):
                return difference
        return "" if len(before) == len(now) else f"{where}[{min(len(before), len(now))}]"
    return "" if before == now else where or "declaration"
