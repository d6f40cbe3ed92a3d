"""The pickles of CIFAR-10 read without the pickle machinery: a list of opcodes, and nothing that calls anything.

What is built are numbers, text, bytes, lists, tuples, dictionaries and arrays of bytes. An opcode outside the list ends
the reading; a name is looked up nowhere, and the values that a file may make are bounded by its size.
"""

from __future__ import annotations

import codecs
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data._names import shown

_BYTES_PER_VALUE, _FREE_VALUES = 256, 10_000
"""An image has 3,072 bytes, a label and a file name."""
_LONG_BYTES, _LONG_LINE, _DIGITS = 256, 4096, 20
_TYPE, _ARRAY = "numpy.dtype", "numpy.ndarray"
_EMPTY_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_FILLED_ARRAYS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_NAMES = (_TYPE, _ARRAY, *_EMPTY_ARRAYS, *_FILLED_ARRAYS)
_BYTE_TYPES = ("u1", "|u1", "uint8", "B")


class RefusedError(Exception):
    """A pickle asks for something that no file of the set holds; the text says for what."""


@dataclass(frozen=True)
class _Name:
    """A name that a file asks for; it stands for itself."""

    text: str


class _ByteType:
    """Stands for the type of bytes."""


class ByteArray:
    """An array of bytes.

    Attributes:
        rows: Its values; None until they are read.
    """

    def __init__(self) -> None:
        self.rows: npt.NDArray[np.uint8] | None = None

    def fill(self, shape: object, dtype: object, raw: object, *, fortran: bool) -> ByteArray:
        """Take the values out of the file's bytes, without a copy."""
        if not isinstance(dtype, _ByteType) or not isinstance(raw, bytes | memoryview) or not isinstance(shape, tuple):
            raise ValueError("no array of bytes")
        if any(type(axis) is not int or axis < 0 for axis in shape):
            raise ValueError("no shape")
        self.rows = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
        return self


class _Mark:
    """Where the values of a container begin."""


_MARK = _Mark()


def read_plain(data: bytes) -> object:
    """Return the value in a pickle.

    Raises:
        RefusedError: It asks for a function, a class, another type of array or a persistent object.
        ValueError, EOFError, struct.error: It is damaged, or holds what no such file does.
    """
    return _Machine(data).run()


class _Machine:
    def __init__(self, data: bytes) -> None:
        self._data, self._view, self._place = data, memoryview(data), 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._left = _FREE_VALUES + len(data) // _BYTES_PER_VALUE

    def run(self) -> object:
        """Execute the opcodes; return the one value that remains."""
        while (code := self._take(1)[0]) != ord("."):
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(f"the opcode {code:#04x}")
            step(self)
        if len(self._stack) != 1:
            raise ValueError("not one value")
        return self._pop()

    # What the opcodes are followed by.

    def _take(self, count: int) -> memoryview:
        piece = self._view[self._place : self._place + count]
        if len(piece) != count:
            raise EOFError("cut off")
        self._place += count
        return piece

    def number(self, form: str) -> int:
        """Read a number."""
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def line(self, longest: int = _LONG_LINE) -> bytes:
        """Read up to the end of a line."""
        end = self._data.find(b"\n", self._place, self._place + longest + 1)
        if end < 0:
            raise ValueError("a line without an end")
        content = self._data[self._place : end]
        self._place = end + 1
        return content

    def chunk(self, form: str) -> bytes | memoryview:
        """Return bytes with their number before them; long ones are not copied."""
        piece = self._take(self.number(form))
        return piece if len(piece) > _LONG_BYTES else bytes(piece)

    # The stack.

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many values")
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("nothing there")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                values = self._stack[place + 1 :]
                del self._stack[place:]
                return values
        raise ValueError("no mark")

    def _top(self, kind: type[Any]) -> Any:
        if not self._stack or type(self._stack[-1]) is not kind:
            raise ValueError(f"no {kind.__name__}")
        return self._stack[-1]

    # The opcodes.

    def mark(self) -> None:
        """Put a mark on the stack."""
        self.push(_MARK)

    def nothing(self) -> None:
        """Skip an opcode without effect."""

    def decimal(self) -> None:
        """Push a number or truth value that is written as text."""
        text = self.line(_DIGITS)
        if text in (b"00", b"01"):
            self.push(text == b"01")
        else:
            self.push(int(text.removesuffix(b"L")))

    def long(self) -> None:
        """Push a number that is written as bytes."""
        self.push(int.from_bytes(self._take(self.number("<B")), "little", signed=True))

    def text(self, form: str) -> None:
        """Push a text."""
        self.push(str(self.chunk(form), "utf-8", "surrogatepass"))

    def quoted(self) -> None:
        """Push a quoted text."""
        text = self.line(len(self._data))
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise ValueError("no string")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that mean nothing
            self.push(codecs.escape_decode(text[1:-1])[0])

    def collect(self, kind: Callable[[list[Any]], object]) -> None:
        """Push a container of the values down to the mark."""
        self.push(kind(self._pop_to_mark()))

    def tuple_of(self, count: int) -> None:
        """Push a tuple of the last values."""
        values = [self._pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self) -> None:
        """Append a value to a list."""
        value = self._pop()
        self._top(list).append(value)

    def extend(self) -> None:
        """Append the values down to the mark to a list."""
        values = self._pop_to_mark()
        self._top(list).extend(values)

    def set_item(self) -> None:
        """Set one item of a dictionary."""
        value = self._pop()
        key = self._pop()
        self._top(dict).update(_dictionary([key, value]))

    def set_items(self) -> None:
        """Set the items down to the mark."""
        values = self._pop_to_mark()
        self._top(dict).update(_dictionary(values))

    def keep(self, place: int | None = None) -> None:
        """Store the top of the stack in the memo."""
        if not self._stack:
            raise ValueError("nothing to keep")
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many values")
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def recall(self, place: int) -> None:
        """Push a value from the memo."""
        if place not in self._memo:
            raise ValueError("nothing kept there")
        self.push(self._memo[place])

    def name(self) -> None:
        """Push a name that follows as text."""
        module, name = (self.line().decode("utf-8", "replace") for _ in range(2))
        self._name(module, name)

    def stacked_name(self) -> None:
        """Push a name whose parts are on the stack."""
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError("no name")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        text = f"{module}.{name}"
        if text not in _NAMES:
            raise RefusedError(shown(text[:80]))
        self.push(_Name(text))

    def instance(self) -> None:
        """Refuse an instance of a class."""
        module, name = (self.line().decode("utf-8", "replace") for _ in range(2))
        raise RefusedError(shown(f"{module}.{name}"[:80]))

    def persistent(self) -> None:
        """Refuse a persistent object."""
        raise RefusedError("a persistent object")

    def call(self) -> None:
        """Push the result of an allowed call: a type or an array."""
        given, name = self._pop(), self._pop()
        if type(given) is not tuple or type(name) is not _Name:
            raise ValueError("no call")
        if name.text == _TYPE:
            self.push(_byte_type(given))
        elif name.text in _EMPTY_ARRAYS:
            self.push(ByteArray())
        elif name.text in _FILLED_ARRAYS and len(given) == 4:
            raw, dtype, shape, order = given
            self.push(ByteArray().fill(shape, dtype, raw, fortran=order == "F"))
        else:
            raise ValueError("no call")

    def build(self) -> None:
        """Give an array its values: version, shape, type, whether the first axis runs fastest, and the bytes."""
        state = self._pop()
        target = self._stack[-1] if self._stack else None
        if isinstance(target, ByteArray):
            if type(state) is not tuple or len(state) != 5 or type(state[3]) not in (bool, int):
                raise ValueError("no array")
            target.fill(state[1], state[2], state[4], fortran=bool(state[3]))
        elif not isinstance(target, _ByteType):  # whose byte order and alignment mean nothing
            raise ValueError("no array")


def _dictionary(values: list[Any]) -> dict[Any, Any]:
    """Return keys and values in turn; keys are short text, since others may take for ever to compare."""
    if len(values) % 2 or any(type(key) not in (str, bytes) or len(key) > _LONG_BYTES for key in values[::2]):
        raise ValueError("no dictionary")
    return dict(zip(values[::2], values[1::2], strict=True))


def _byte_type(given: tuple[Any, ...]) -> _ByteType:
    name = given[0] if given else None
    text = name.decode("latin-1") if type(name) is bytes else name
    if type(text) is not str:
        raise ValueError("no type")
    if text not in _BYTE_TYPES:
        raise RefusedError(f"arrays of type {shown(text[:20])}")
    return _ByteType()


def _step(name: str, *values: object) -> Callable[[_Machine], None]:
    return lambda machine: getattr(machine, name)(*values)


def _sized(name: str, form: str) -> Callable[[_Machine], None]:
    """Return an opcode whose number is an argument."""
    return lambda machine: getattr(machine, name)(machine.number(form))


def _bytes(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.chunk(form))


_STEPS: dict[int, Callable[[_Machine], None]] = {
    ord(code): step
    for code, step in {
        "\x80": lambda machine: machine.number("<B"),  # PROTO
        "\x95": lambda machine: machine.number("<Q"),  # FRAME
        "(": _step("mark"),
        "N": _step("push", None),
        "\x88": _step("push", True),
        "\x89": _step("push", False),
        "I": _step("decimal"),
        "L": _step("decimal"),
        "J": _sized("push", "<i"),
        "K": _sized("push", "<B"),
        "M": _sized("push", "<H"),
        "\x8a": _step("long"),
        "G": lambda machine: machine.push(struct.unpack(">d", machine._take(8))[0]),
        "S": _step("quoted"),
        "T": _bytes("<I"),
        "U": _bytes("<B"),
        "B": _bytes("<I"),
        "C": _bytes("<B"),
        "\x8e": _bytes("<Q"),
        "\x96": _bytes("<Q"),
        "V": lambda machine: machine.push(machine.line().decode("raw-unicode-escape")),
        "X": _step("text", "<I"),
        "\x8c": _step("text", "<B"),
        "\x8d": _step("text", "<Q"),
        "]": lambda machine: machine.push([]),
        ")": _step("push", ()),
        "}": lambda machine: machine.push({}),
        "l": _step("collect", list),
        "t": _step("collect", tuple),
        "d": _step("collect", _dictionary),
        "\x85": _step("tuple_of", 1),
        "\x86": _step("tuple_of", 2),
        "\x87": _step("tuple_of", 3),
        "a": _step("append"),
        "e": _step("extend"),
        "s": _step("set_item"),
        "u": _step("set_items"),
        "p": lambda machine: machine.keep(int(machine.line(_DIGITS))),
        "q": _sized("keep", "<B"),
        "r": _sized("keep", "<I"),
        "\x94": _step("keep"),
        "g": lambda machine: machine.recall(int(machine.line(_DIGITS))),
        "h": _sized("recall", "<B"),
        "j": _sized("recall", "<I"),
        "c": _step("name"),
        "\x93": _step("stacked_name"),
        "i": _step("instance"),
        "P": _step("persistent"),
        "Q": _step("persistent"),
        "R": _step("call"),
        "b": _step("build"),
    }.items()
}
"""What each opcode does, by its byte."""
