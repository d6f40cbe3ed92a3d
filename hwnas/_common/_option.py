"""An option: stated once, read and checked in the same way from the command line, from Python and from files.

Imports nothing heavy: the command line's help is made from options.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from hwnas._errors import HwnasError

Reader = Callable[[str, Any], Any]
"""Reads a value: ``(what the user calls the option, text or Python value) -> value``."""


@dataclass(frozen=True)
class Kind:
    """What values an option takes.

    Attributes:
        wanted: What a value is: ``"a whole number"``.
        types: Python types of a value that was read; files hold it as JSON does.
        read: Reads texts as typed and values that Python gives; None where values are taken as they are.
        number: Converts what is typed, where that is one number.
    """

    wanted: str
    types: tuple[type, ...]
    read: Reader | None = None
    number: Callable[[str], int | float] | None = None


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: Its name in Python, and in ``settings.json`` where it is a setting.
        help: One line of text, without the default.
        kind: What values it takes.
        default: Its default. None where it has none or where that depends on other things; `help` says which then.
        group: The heading of the help that it stands below.
        flags: How it is typed. None for ``--name``; empty where it cannot be typed; a name without dashes is a
            positional argument.
        metavar: What stands for its value in the help.
        old: Other names, mostly earlier ones, which work, too.
        least: Smallest value.
        most: Largest value.
        required: Whether it must be given.
        many: Whether several values follow each other: ``"+"``, ``"?"`` for at most one; empty otherwise.
        choices: All values, where they are few.
    """

    name: str
    help: str
    kind: Kind
    default: Any = None
    group: str = ""
    flags: tuple[str, ...] | None = None
    metavar: str | None = None
    old: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    required: bool = False
    many: str = ""
    choices: tuple[str, ...] = ()

    @property
    def typed(self) -> str:
        """How people call it, in errors: ``--data-limit``."""
        return self.flags[-1] if self.flags else dashed(self.name) if self.flags is None else self.name

    @property
    def described(self) -> str:
        """The help with the default."""
        if self.default is None or self.default is False or self.default in ("", (), {}):
            return self.help
        value = ",".join(self.default) if isinstance(self.default, tuple) else self.default
        return f"{self.help} (default {value})"

    def read(self, value: Any) -> Any:
        """Return a value as settings hold it, from a text as typed or from what Python gives; None stays None.

        Raises:
            HwnasError: It cannot be read, or is out of range.
        """
        if value is None:
            return None
        return self.require(self.kind.read(self.typed, value) if self.kind.read is not None else plain(value))

    def require(self, value: Any) -> Any:
        """Return the value, where it is one of this option.

        Raises:
            HwnasError: It has another type, or is out of range.
        """
        if not isinstance(value, self.kind.types) or (isinstance(value, bool) and bool not in self.kind.types):
            raise HwnasError(f"{self.typed} must be {self.kind.wanted}, got {shortened(value)}")
        number: Any = value
        if self.least is not None and number < self.least:
            raise HwnasError(f"{self.typed} must be {self.least} or more, got {shortened(value)}")
        if self.most is not None and number > self.most:
            raise HwnasError(f"{self.typed} must be {self.most} or less, got {shortened(value)}")
        return value


def dashed(name: str) -> str:
    """Return a name as it is typed."""
    return f"--{name.replace('_', '-')}"


def plain(value: Any) -> Any:
    """Return numbers of other libraries as Python's own."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def shortened(value: object) -> str:
    """Return as much of a value as fits into a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def renamed(options: Iterable[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same values under the present names of their options.

    Raises:
        HwnasError: A value is given under an old and the present name.
    """
    names = {old: option.name for option in options for old in option.old}
    present: dict[str, Any] = {}
    for name, value in given.items():
        if (new := names.get(name, name)) in present:
            raise HwnasError(f"{new} is given twice, once as {name}; leave one out")
        present[new] = value
    return present


def parse_pairs(option: str, text: str) -> dict[str, Any]:
    """Return settings like ``"cutout=0.5,flip=true,epochs=30"`` by name.

    Args:
        option: What the user calls the option.
        text: What was typed.

    Raises:
        HwnasError: The text cannot be read, or names a setting twice.
    """
    pairs: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not name or not value or name in pairs:
            raise HwnasError(f"cannot read {option} {text!r}; write each setting once, like cutout=0.5,mixup=0.2")
        pairs[name] = _finite(option, name, value)
    return pairs


def parse_value(text: str) -> bool | int | float | str:
    """Return a truth value, a number or a word."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _finite(option: str, name: str, text: str) -> bool | int | float | str:
    value = parse_value(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise HwnasError(f"{option}: {name} must be a finite number, got {shortened(text)}")
    return value


def _read_named(option: str, value: Any) -> Any:
    """Return a dictionary, or texts ``name=value`` as typed; commas in a value make it a list."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) for text in value):
        raise HwnasError(f"{option} must be a dictionary, got {shortened(value)}")
    pairs: dict[str, Any] = {}
    for text in value:
        name, _, typed = (piece.strip() for piece in text.partition("="))
        if not name or not typed:
            raise HwnasError(f"cannot read {option} {text!r}; write it like name=value")
        if name in pairs:
            raise HwnasError(f"{option} names {name} twice; leave one out")
        parts = [_finite(option, name, part.strip()) for part in typed.split(",") if part.strip()]
        pairs[name] = parts if "," in typed else parts[0]
    return pairs


def _read_recipe(option: str, value: Any) -> Any:
    if isinstance(value, str):
        return parse_pairs(option, value)
    if not isinstance(value, Mapping):
        raise HwnasError(f"{option} must be a dictionary, got {shortened(value)}")
    return dict(value)


def _read_names(option: str, value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise HwnasError(f"{option.lstrip('-')} must be names, like 'latency' or 'latency,macs', got {value!r}")
    return tuple(value)


def _read_texts(option: str, value: Any) -> Any:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise HwnasError(f"{option} must be a string or several, got {shortened(value)}")
    return tuple(texts)


def _read_list(kind: Callable[[Any], int | float]) -> Reader:
    def read(option: str, value: Any) -> list[int | float]:
        """Read numbers that are separated by commas."""
        parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, Real) else value
        try:
            numbers = [kind(part) for part in parts]
            right = not any(
                isinstance(p, bool) or (isinstance(p, Real) and p != n) for p, n in zip(parts, numbers, strict=True)
            )
        except (TypeError, ValueError, OverflowError):
            right = False
        if not right:
            raise HwnasError(f"cannot read {option} {value!r}; write numbers with commas between, like 16,32")
        return numbers

    return read


def _read_path(option: str, value: Any) -> Any:
    from os import PathLike

    return str(value) if isinstance(value, PathLike) else value


def _read_paths(option: str, value: Any) -> Any:
    from os import PathLike

    value = (value,) if isinstance(value, (str, PathLike)) else value
    if not isinstance(value, Sequence) or not all(isinstance(path, (str, PathLike)) for path in value):
        raise HwnasError(f"{option.lstrip('-')} must be paths, got {shortened(value)}")
    return tuple(map(str, value))


TEXT = Kind("a string", (str,))
PATH = Kind("a path", (str,), _read_path)
PATHS = Kind("paths", (list, tuple))
PATH_LIST = Kind("paths", (tuple,), _read_paths)
WHOLE = Kind("a whole number", (int,), number=int)
NUMBER = Kind("a number", (int, float), number=float)
SWITCH = Kind("True or False", (bool,))
NAMES = Kind("names", (tuple,), _read_names)
TEXTS = Kind("strings", (tuple,), _read_texts)
NAMED_VALUES = Kind("a dictionary", (Mapping,), _read_named)
RECIPE = Kind("a dictionary", (Mapping,), _read_recipe)
WHOLE_LIST = Kind("whole numbers", (list,), _read_list(int))
NUMBER_LIST = Kind("numbers", (list,), _read_list(float))
ANY = Kind("a value", (object,))
