"""Lines that carry a hash of themselves and of all lines before them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas._errors import RunError
from latency_tables import content_hash, strict_json

KEY = "content_hash"


class ChangedLineError(ValueError):
    """A line that is not what was written there."""


class Chain:
    """The lines of one file, in their order: what is read is what was written, or its beginning.

    A hash covers the line without it and the hash before it, so a line that was changed, put in, taken out or moved is
    found, except that lines may be missing at the end, as after a crash. That is against accident and carelessness,
    not against somebody who works the hashes out anew.

    Args:
        unhashed: whether the first lines may be without hashes, as earlier versions of hwnas wrote them; the first
            line with a hash covers them too.
    """

    def __init__(self, unhashed: bool = False) -> None:
        self._unhashed = unhashed
        self._before = ""
        self._next: tuple[Mapping[str, object], str] | None = None

    def read(self, line: bytes) -> dict[str, Any]:
        """The record of the next line.

        Raises:
            ChangedLineError: its hash does not match, or it has none where it should.
            ValueError: it is no record at all.
        """
        record = strict_json(line)
        if not isinstance(record, dict):
            raise ValueError("a line is not a record")
        found = record.pop(KEY, None)
        here = content_hash([self._before, record])
        if found != here and not (found is None and self._unhashed):
            raise ChangedLineError("a line was changed")
        self._before, self._unhashed = here, found is None
        return record

    def written(self, record: Mapping[str, object]) -> str:
        """The record as the next line; `commit` makes it part of the chain once it is on disk.

        Raises:
            ValueError: a number in it is not finite.
        """
        here = content_hash([self._before, record])
        self._next = record, here
        return json.dumps({**record, KEY: here}, allow_nan=False)

    def commit(self, record: Mapping[str, object]) -> None:
        """The record was written; the next line follows it."""
        known = self._next is not None and self._next[0] is record
        here = self._next[1] if known and self._next else content_hash([self._before, record])
        self._before, self._unhashed, self._next = here, False, None


def read_lines(path: Path, lines: Sequence[bytes], chain: Chain) -> list[dict[str, Any]]:
    """The records of a journal's lines.

    Raises:
        RunError: naming the first line that is damaged or changed.
    """
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(chain.read(line))
        except ChangedLineError:
            raise RunError(
                f"{path} was changed in or before line {number} (its content hash does not match); restore it or "
                "choose another folder"
            ) from None
        except ValueError:
            raise RunError(f"{path} is damaged in line {number}; restore it or choose another folder") from None
    return found
