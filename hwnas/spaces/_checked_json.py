"""JSON from elsewhere, looked at value by value: every error says what is wrong, where, and what to do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hwnas._errors import SpaceError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")


class Checked:
    """A value of a JSON file with its place in it.

    Attributes:
        value: The value.
        where: Its place, such as ``nodes[3].attributes.kernel``.
    """

    def __init__(self, value: Any, where: str) -> None:
        self.value = value
        self.where = where

    def error(self, message: str) -> SpaceError:
        """Make an error that names the place."""
        return SpaceError(f"{self.where}: {message}")

    def __getitem__(self, key: str) -> Checked:
        return Checked(self.value[key], f"{self.where}.{key}")

    def get(self, key: str, default: Any) -> Checked:
        """Return the value of a key, or a default."""
        return Checked(self.value.get(key, default), f"{self.where}.{key}")

    def keys(self, *, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Refuse anything but an object with these keys."""
        known = [*required, *optional]
        if not isinstance(self.value, dict):
            raise self.error(f"must be an object with {', '.join(known)}, got {shown(self.value)}")
        for key in self.value:
            if key not in known:
                raise self.error(f"unknown key {shown(key)}; known keys: {', '.join(known)}")
        for key in required:
            if key not in self.value:
                raise self.error(f"the key {key!r} is missing; add it")

    def mapping(self, most: int) -> list[str]:
        """Require an object; return its keys."""
        if not isinstance(self.value, dict) or not 1 <= len(self.value) <= most:
            raise self.error(f"must be an object with 1 to {most} entries, got {shown(self.value)}")
        return list(self.value)

    def items(self, most: int, least: int = 1) -> Iterator[Checked]:
        """Require a list; yield its items."""
        if not isinstance(self.value, list) or not least <= len(self.value) <= most:
            count = f" of {len(self.value):,}" if isinstance(self.value, list) else ""
            raise self.error(f"must be a list of {least} to {most:,} entries, got {shown(self.value)}{count}")
        for number, item in enumerate(self.value):
            yield Checked(item, f"{self.where}[{number}]")

    def name(self) -> str:
        """Require a name of letters, digits, ``_``, ``.`` and ``-``."""
        if not isinstance(self.value, str) or not _NAME.match(self.value):
            raise self.error(f"must be a name of up to 64 letters, digits, _ . -, got {shown(self.value)}")
        return self.value

    def text(self, most: int = 1000) -> str:
        """Require a text."""
        if not isinstance(self.value, str) or len(self.value) > most:
            raise self.error(f"must be a text of at most {most} characters, got {shown(self.value)}")
        return self.value

    def whole(self, least: int, most: int) -> int:
        """Require a whole number within bounds."""
        if type(self.value) is not int or not least <= self.value <= most:
            raise self.error(f"must be a whole number of {least:,}-{most:,}, got {shown(self.value)}")
        return self.value

    def one_of(self, known: Sequence[str]) -> str:
        """Require one of some words."""
        if self.value not in known:
            raise self.error(f"must be one of {', '.join(known)}, got {shown(self.value)}")
        return str(self.value)

    def scalar(self) -> int | float | str:
        """Require a finite number or a word."""
        value = self.value
        if type(value) in (int, float) and abs(value) <= 1e9 and math.isfinite(value):
            return value  # type: ignore[no-any-return]
        if isinstance(value, str) and _NAME.match(value):
            return value
        raise self.error(f"must be a number within 1e9 or a word, got {shown(value)}")

    def depth_at_most(self, most: int) -> None:
        """Refuse objects in objects beyond a depth."""
        level, depth = [self.value], 0
        while level:
            depth += 1
            if depth > most + 1:
                raise self.error(f"is nested more than {most} deep; state it with fewer steps")
            level = [
                v
                for item in level
                if isinstance(item, (dict, list))
                for v in (item.values() if isinstance(item, dict) else item)
            ]


def shown(value: object) -> str:
    """Return a value for people, cut short."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'}"
    if type(value) is int and abs(value) > 10**15:
        return "a number beyond 1e15"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
