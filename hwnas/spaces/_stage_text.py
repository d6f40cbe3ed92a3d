"""Readable texts of architectures that are chains of stages of blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hwnas._errors import SpaceError
from hwnas.spaces._base import Choice, Value

Fields = tuple[tuple[str, str], ...]
"""A mark and the name of a choice, for each choice that is written."""


@dataclass(frozen=True)
class Word:
    """One word of a text: choices of its own, then blocks.

    Attributes:
        own: The choices that are written once.
        depth: Name of the choice of the number of blocks; empty where the word has no blocks.
        blocks: The choices of each block that the word can have.
    """

    own: Fields = ()
    depth: str = ""
    blocks: tuple[Fields, ...] = ()


class StageText:
    """Writes architectures as words like ``w1.0_n8k17_k3e2+k5e1``, and reads them back.

    Words are separated by ``_``. Choices of a word's own are followed by ``:`` where blocks follow; ``+`` separates
    blocks. A block that is absent is not written.

    Args:
        space: Name of the space, for errors.
        choices: The choices of the space.
        words: The words of a text; together they name every choice once.
    """

    def __init__(self, space: str, choices: Sequence[Choice], words: Sequence[Word]) -> None:
        self._space, self._words = space, tuple(words)
        self._choices = {choice.name: choice for choice in choices}
        self._columns = {choice.name: column for column, choice in enumerate(choices)}

    def format(self, values: Sequence[Value]) -> str:
        """Return the text of canonical values."""
        return "_".join(self._word(word, values) for word in self._words)

    def parse(self, text: str) -> tuple[Value, ...]:
        """Return the values that a text stands for; choices of absent blocks have their first value.

        Raises:
            SpaceError: The text is none of this space.
        """
        values = [choice.values[0] for choice in self._choices.values()]
        parts = text.strip().split("_")
        if len(parts) != len(self._words) or not all(map(self._read, self._words, parts, [values] * len(parts))):
            like = self.format([choice.values[0] for choice in self._choices.values()])
            raise SpaceError(f"space {self._space}: cannot read {text!r:.200}; it must look like {like}")
        return tuple(values)

    def _word(self, word: Word, values: Sequence[Value]) -> str:
        own = self._fields(word.own, values)
        if not word.depth:
            return own
        present = word.blocks[: int(values[self._columns[word.depth]])]
        blocks = "+".join(self._fields(fields, values) for fields in present)
        return f"{own}:{blocks}" if word.own else blocks

    def _fields(self, fields: Fields, values: Sequence[Value]) -> str:
        return "".join(f"{mark}{values[self._columns[name]]}" for mark, name in fields)

    def _read(self, word: Word, text: str, values: list[Value]) -> bool:
        """Read one word into the values; return whether it can be read."""
        own, _, blocks = text.rpartition(":") if word.depth and word.own else (text, "", text)
        if word.own and not self._read_fields(word.own, own, values):
            return False
        if not word.depth:
            return True
        written = blocks.split("+")
        if len(written) not in self._choices[word.depth].values:
            return False
        values[self._columns[word.depth]] = len(written)
        return all(
            self._read_fields(fields, block, values) for fields, block in zip(word.blocks, written, strict=False)
        )

    def _read_fields(self, fields: Fields, text: str, values: list[Value]) -> bool:
        pattern = "".join(
            f"{re.escape(mark)}({'|'.join(re.escape(str(value)) for value in self._choices[name].values)})"
            for mark, name in fields
        )
        match = re.fullmatch(pattern, text)
        if match is None:
            return False
        for (_, name), word in zip(fields, match.groups(), strict=True):
            known = self._choices[name].values
            values[self._columns[name]] = known[list(map(str, known)).index(word)]
        return True
