"""`Op`: an operator with its attributes, shapes and dtype, which is the key of a latency table's row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from latency_tables._errors import GraphError

Shape = tuple[int, ...]
"""Extents without the batch axis: ``(features,)``, ``(channels, length)``, ``(channels, height, width)`` or
``(channels, time, height, width)``."""

AttributeValue = int | str | tuple[int, ...]
"""An integer, a word, or a list of integers (one for each axis of a kernel, say)."""

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)\Z")


@dataclass(frozen=True)
class Op:
    """One operator as a latency table sees it.

    Two ops that share kind, attributes, shapes and dtype cost the same on one device, so `key` is what a
    table is indexed by. The batch size is not part of it; it belongs to the table's identity.

    A list of integers whose members are all equal is stored as that integer, so that one op has one key.

    Attributes:
        kind: The operator's name in the registry, such as ``"conv"``.
        inputs: Shapes of the inputs, without the batch axis.
        output: Shape of the output, without the batch axis.
        attributes: ``(name, value)`` pairs, sorted by name; a value is an integer, a word or a list of integers.
        dtype: Element type of the activations.

    Raises:
        GraphError: A name, a value or a shape is malformed.
    """

    kind: str
    inputs: tuple[Shape, ...]
    output: Shape
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not _NAME.match(self.kind) or not _NAME.match(self.dtype):
            raise GraphError(f"op: kind and dtype must be lower-case words, got {self.kind!r} and {self.dtype!r}")
        names = [name for name, _ in self.attributes]
        if names != sorted(set(names)):
            raise GraphError(f"op {self.kind}: attributes must be sorted and unique, got {names}")
        for name, value in self.attributes:
            if not _NAME.match(name) or not _is_attribute(value):
                raise GraphError(
                    f"op {self.kind}: attribute {name}={value!r} must be an integer, a word or a list of integers"
                )
        if any(isinstance(value, (list, tuple)) for _, value in self.attributes):
            pairs = tuple((name, _canonical(value)) for name, value in self.attributes)
            object.__setattr__(self, "attributes", pairs)
        for shape in (*self.inputs, self.output):
            if not shape or any(type(n) is not int or n < 1 for n in shape):
                raise GraphError(f"op {self.kind}: shapes must hold positive integers, got {shape}")

    @cached_property
    def key(self) -> str:
        """Readable identity, ``"conv float32 16x8x8 -> 24x4x4 kernel=3 stride=1x2"``; `parse` reads it back."""
        shapes = " + ".join("x".join(map(str, shape)) for shape in self.inputs)
        text = f"{self.kind} {self.dtype} {shapes} -> {'x'.join(map(str, self.output))}"
        return " ".join([text, *(f"{name}={_text(value)}" for name, value in self.attributes)])

    @cached_property
    def _attribute_map(self) -> dict[str, AttributeValue]:
        return dict(self.attributes)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return the integer attribute `name`.

        Raises:
            GraphError: The attribute is absent and there is no default, or it is not an integer.
        """
        value = self._attribute_map.get(name, default)
        if type(value) is not int:
            raise GraphError(f"op {self.key}: integer attribute {name!r} is missing")
        return value

    def integers(self, name: str, count: int, default: int | None = None) -> tuple[int, ...]:
        """Return the attribute `name` as one integer for each of `count` axes; a single integer applies to all axes.

        Raises:
            GraphError: The attribute is absent and there is no default, or it is not one or `count` integers.
        """
        value = self._attribute_map.get(name, default)
        if type(value) is int:
            return (value,) * count
        if not isinstance(value, tuple):
            raise GraphError(f"op {self.key}: integer attribute {name!r} is missing")
        if len(value) != count:
            raise GraphError(f"op {self.key}: attribute {name!r} must be one integer or {count}, got {len(value)}")
        return value

    def word(self, name: str, default: str | None = None) -> str:
        """Return the text attribute `name`.

        Raises:
            GraphError: The attribute is absent and there is no default, or it is not text.
        """
        value = self._attribute_map.get(name, default)
        if not isinstance(value, str):
            raise GraphError(f"op {self.key}: text attribute {name!r} is missing")
        return value

    def with_attributes(self, /, **values: AttributeValue) -> Op:
        """Return the op with some attributes added or replaced."""
        return replace(self, attributes=sorted_attributes({**self._attribute_map, **values}))

    @classmethod
    def parse(cls, key: str) -> Op:
        """Read an op back from its `key`.

        Raises:
            GraphError: `key` is not exactly the `key` of some op.
        """
        head, arrow, tail = key.partition(" -> ")
        words, rest = head.split(" ", 2), tail.split(" ")
        if not arrow or len(words) < 2:
            raise GraphError(f"{key!r} is not an op key")
        shapes = words[2].split(" + ") if len(words) == 3 and words[2] else []
        pairs = [item.partition("=") for item in rest[1:]]
        op = cls(
            kind=words[0],
            dtype=words[1],
            inputs=tuple(_shape(text, key) for text in shapes),
            output=_shape(rest[0], key),
            attributes=tuple((name, _value(value)) for name, _, value in pairs),
        )
        if op.key != key:
            raise GraphError(f"{key!r} is not an op key")
        return op

    def __str__(self) -> str:
        return self.key


def sorted_attributes(values: Mapping[str, AttributeValue]) -> tuple[tuple[str, AttributeValue], ...]:
    """Return attribute pairs in the order that `Op` needs: sorted by name."""
    return tuple(sorted(values.items()))


def _shape(text: str, key: str) -> Shape:
    parts = text.split("x")
    if not all(_INTEGER.match(part) for part in parts):
        raise GraphError(f"{key!r} is not an op key")
    return tuple(int(part) for part in parts)


def _value(text: str) -> AttributeValue:
    parts = text.split("x")
    if not all(_INTEGER.match(part) for part in parts):
        return text
    return int(text) if len(parts) == 1 else tuple(int(part) for part in parts)


def _text(value: AttributeValue) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_attribute(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and all(type(n) is int for n in value)
    return type(value) is int or (isinstance(value, str) and _WORD.match(value) is not None)


def _canonical(value: AttributeValue) -> AttributeValue:
    if not isinstance(value, (list, tuple)):
        return value
    return value[0] if len(set(value)) == 1 else tuple(value)
