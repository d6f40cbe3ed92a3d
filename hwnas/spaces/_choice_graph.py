"""`ChoiceGraph`: a network whose nodes are guarded by choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, signature
from typing import Any

from hwnas._errors import SpaceError
from hwnas.spaces._base import Choice, Value
from latency_tables import INPUT, Op, Shape

Maker = Callable[..., Op]
"""Makes an op from the shape of its first input (of all, if it takes ``*shapes``) and from attributes by name."""
MOST_NODES = 10_000


@dataclass(frozen=True)
class Extent:
    """A value that follows from choices, such as the channels of a convolution.

    Attributes:
        choices: The choices that it follows.
        function: Takes their values, in this order, and returns the value.
    """

    choices: tuple[Choice, ...]
    function: Callable[..., Any]


def follow(function: Callable[..., Any], *choices: Choice) -> Extent:
    """State a value that follows from choices: ``follow(lambda width: 16 * width, width)``."""
    return Extent(choices, function)


class Make:
    """An alternative of a node that computes an op.

    Args:
        maker: Makes the op from the first input's shape and the attributes.
        inputs: Names of the tensors that it reads.
        attributes: Arguments of the maker by name; a `Choice` stands for its value, an `Extent` for what follows.
    """

    def __init__(self, maker: Maker, *inputs: str, **attributes: Any) -> None:
        self.maker = maker
        self.inputs = inputs
        self.fixed = {n: v for n, v in attributes.items() if not isinstance(v, (Choice, Extent))}
        self.open = {n: _extent(v) for n, v in attributes.items() if isinstance(v, (Choice, Extent))}


Alternative = Make | str | None
"""What a node is: an op, another tensor that it passes on, or nothing."""


@dataclass(frozen=True)
class Form:
    """One alternative of a node, with its columns of the codes worked out.

    Attributes:
        name: Name of the op's node in the op graph, and so of its weights.
        make: The op; None where another tensor is passed on.
        inputs: The tensors that it reads, or the one that it passes on.
        columns: Columns of the choices that the op's attributes follow, ascending.
    """

    name: str
    make: Make | None
    inputs: tuple[str, ...]
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class ChoiceNode:
    """A node of a choice graph.

    Attributes:
        name: Unique in the graph.
        guard: Column of the choice that decides between the forms; None where there is one form.
        forms: The different alternatives; None stands for nothing.
        form_of: For each value of the guard the index of its form; one entry without a guard.
        parts: The tensors that a sum adds up; None for any other node.
    """

    name: str
    guard: int | None
    forms: tuple[Form | None, ...]
    form_of: tuple[int, ...]
    parts: tuple[str, ...] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every tensor that some form reads or passes on, each once."""
        read = self.parts or tuple(name for form in self.forms if form is not None for name in form.inputs)
        return tuple(dict.fromkeys(read))

    def form_number(self, codes: Sequence[int]) -> int:
        """Return the index of the form that the codes of an architecture ``(d,)`` choose; not for a sum."""
        return self.form_of[codes[self.guard] if self.guard is not None else 0]


class ChoiceGraph:
    """A network whose nodes are guarded by choices, stated node by node.

    What follows from it: the op graph of an architecture, the parts that its costs are sums of, the extents of shared
    weights, canonical codes, the list of all ops, and mixtures of alternatives for one-shot methods.

    Attributes:
        input: Name of the tensor that enters the network.
        choices: The choices in the order of their statement, which is that of the code columns.
        nodes: The nodes by name, in the order of their statement.
        output: Name of the tensor that leaves the network.
        cuts: Numbers of nodes after which parts end although several tensors pass (`cut`).
    """

    def __init__(self) -> None:
        self.input = INPUT
        self.choices: tuple[Choice, ...] = ()
        self.nodes: dict[str, ChoiceNode] = {}
        self.output = ""
        self.cuts: set[int] = set()
        self._columns: dict[str, int] = {}
        self._names = {INPUT}
        self._input_shape: tuple[int | Choice | Extent, ...] = ()

    def choice(self, name: str, values: tuple[Value, ...]) -> Choice:
        """Append a choice.

        Raises:
            SpaceError: The name is taken, or the values are not different.
        """
        if name in self._columns:
            raise SpaceError(f"choice graph: the choice {name!r} is defined twice")
        choice = Choice(name, values)
        self._columns[name] = len(self.choices)
        self.choices = (*self.choices, choice)
        return choice

    def read(self, *shape: int | Choice | Extent) -> str:
        """State the shape of the input tensor without the batch axis; returns its name."""
        self._input_shape = shape
        return self.input

    def add(
        self,
        name: str,
        maker: Maker,
        *inputs: str,
        when: tuple[Choice, Callable[[Any], bool]] | None = None,
        otherwise: str | None = "",
        **attributes: Any,
    ) -> str:
        """Append a node that computes one op, always or where a choice says so.

        Args:
            name: Name of the node, and so of its weights.
            maker: Makes the op from the first input's shape and the attributes.
            inputs: Names of the tensors that it reads.
            when: A choice, and which of its values make the node present; None for always.
            otherwise: The tensor that an absent node passes on, by default its first input; None for nothing.
            attributes: Arguments of the maker (see `Make`).

        Returns:
            The name of its tensor.

        Raises:
            SpaceError: The name is taken, or an input or a choice is not in this graph.
        """
        make = Make(maker, *inputs, **attributes)
        return self.place(name, make, when=when, otherwise=inputs[0] if otherwise == "" else otherwise)

    def place(
        self, name: str, make: Make, *, when: tuple[Choice, Callable[[Any], bool]] | None, otherwise: str | None
    ) -> str:
        """Return as `add`, with a `Make` that is stated already."""
        if when is None:
            return self._append(name, None, [self._form(name, make)])
        choice, present = when
        options: list[Alternative] = [make if present(value) else otherwise for value in choice.values]
        return self._append(name, choice, [self._form(name, option) for option in options])

    def choose(self, name: str, choice: Choice, alternatives: Mapping[Any, Alternative]) -> str:
        """Append a node that is another thing for each value of a choice.

        Args:
            name: Name of the node; the weights of an alternative are those of ``"name.value"``.
            choice: Decides between the alternatives.
            alternatives: For each value of the choice a `Make`, the name of a tensor to pass on, or None for nothing.

        Returns:
            The name of its tensor.

        Raises:
            SpaceError: The name is taken, a value has no alternative, or an input or a choice is not in this graph.
        """
        if set(alternatives) != set(choice.values):
            raise SpaceError(f"choice graph: node {name!r} needs one alternative for each value of {choice.name!r}")
        return self._append(name, choice, [self._form(f"{name}.{v}", alternatives[v]) for v in choice.values])

    def sum(self, name: str, *parts: str) -> str:
        """Append the sum of those of the tensors that are there; nothing where none is.

        Returns:
            The name of its tensor.

        Raises:
            SpaceError: The name is taken, or a part is not in this graph.
        """
        for part in parts:
            self._require_tensor(name, part)
        if not parts:
            raise SpaceError(f"choice graph: the sum {name!r} needs at least one tensor")
        return self._state(ChoiceNode(name, None, (), (), parts))

    def cut(self) -> None:
        """Say that a part of the network ends here, although several tensors pass on to the next.

        A part ends by itself where one tensor alone passes. Costs are looked up part by part, so parts should depend on
        few choices. Each tensor that passes must be read later in every network, and no two may be the same one.
        """
        self.cuts.add(len(self.nodes))

    def finish(self, output: str) -> ChoiceGraph:
        """Say which tensor leaves the network; returns the graph.

        Raises:
            SpaceError: It is not in this graph.
        """
        self._require_tensor("output", output)
        self.output = output
        return self

    def column(self, choice: Choice) -> int:
        """Return the column of a choice in the codes.

        Raises:
            SpaceError: It is not in this graph.
        """
        column = self._columns.get(choice.name)
        if column is None or self.choices[column] != choice:
            raise SpaceError(f"choice graph: the choice {choice.name!r} is not in this graph")
        return column

    @property
    def input_columns(self) -> tuple[int, ...]:
        """Columns of the choices that the input's shape follows."""
        extents = [_extent(n) for n in self._input_shape if not isinstance(n, int)]
        return tuple(sorted({self.column(choice) for extent in extents for choice in extent.choices}))

    def input_shape(self, codes: Mapping[int, int]) -> Shape:
        """Return the shape of the input tensor for the codes of `input_columns`, by column."""
        return tuple(n if isinstance(n, int) else int(self._value(_extent(n), codes)) for n in self._input_shape)

    def op(self, make: Make, shapes: tuple[Shape, ...], codes: Mapping[int, int]) -> Op:
        """Make the op of an alternative for input shapes and the codes of its columns, by column.

        Raises:
            SpaceError: The op reads other shapes than its inputs have.
        """
        values = {name: self._value(extent, codes) for name, extent in make.open.items()}
        read = shapes if takes_all_shapes(make.maker) else shapes[:1]
        op = make.maker(*read, **make.fixed, **values)
        if op.inputs != shapes:
            raise SpaceError(
                f"choice graph: {op.kind} reads tensors of shapes {op.inputs}, but its inputs {', '.join(make.inputs)} "
                f"have shapes {shapes}"
            )
        return op

    def __iter__(self) -> Iterator[ChoiceNode]:
        return iter(self.nodes.values())

    def _value(self, extent: Extent, codes: Mapping[int, int]) -> Any:
        return extent.function(*(choice.values[codes[self._columns[choice.name]]] for choice in extent.choices))

    def _form(self, name: str, alternative: Alternative) -> Form | None:
        if alternative is None:
            return None
        if isinstance(alternative, str):
            return Form(name, None, (alternative,))
        choices = {choice for extent in alternative.open.values() for choice in extent.choices}
        return Form(name, alternative, alternative.inputs, tuple(sorted(self.column(choice) for choice in choices)))

    def _append(self, name: str, guard: Choice | None, options: list[Form | None]) -> str:
        for form in options:
            for tensor in form.inputs if form is not None else ():
                self._require_tensor(name, tensor)
        forms: list[Form | None] = []
        form_of = []
        for option in options:
            same = [i for i, form in enumerate(forms) if _same(form, option)]
            form_of.append(same[0] if same else len(forms))
            forms += [] if same else [option]
        if guard is None or len(forms) == 1:
            return self._state(ChoiceNode(name, None, tuple(forms[:1]), (0,)))
        return self._state(ChoiceNode(name, self.column(guard), tuple(forms), tuple(form_of)))

    def _state(self, node: ChoiceNode) -> str:
        names = {node.name, *(form.name for form in node.forms if form is not None)}
        if taken := sorted(names & self._names):
            raise SpaceError(f"choice graph: the name {taken[0]!r} is used twice")
        self._names |= names
        if len(self.nodes) >= MOST_NODES:
            raise SpaceError(f"choice graph: a network must have at most {MOST_NODES:,} nodes")
        self.nodes[node.name] = node
        return node.name

    def _require_tensor(self, name: str, tensor: str) -> None:
        if tensor not in self.nodes and tensor != INPUT:
            raise SpaceError(f"choice graph: node {name!r} reads {tensor!r}, which is not defined before it")


def _same(a: Form | None, b: Form | None) -> bool:
    """Return whether two values of a choice stand for the same thing."""
    if a is None or b is None:
        return a is b
    return a.make is b.make and a.inputs == b.inputs


def _extent(value: Choice | Extent) -> Extent:
    return Extent((value,), lambda chosen: chosen) if isinstance(value, Choice) else value


@cache
def takes_all_shapes(maker: Callable[..., Op]) -> bool:
    """Return whether a maker takes the shape of each input, as that of a concatenation does."""
    return any(item.kind is Parameter.VAR_POSITIONAL for item in signature(maker).parameters.values())
