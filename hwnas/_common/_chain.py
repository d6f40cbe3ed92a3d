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
        unhashed: Whether the first lines may be without hashes, as earlier versions of hwnas wrote them; the first
            line with a hash covers them too.
    """

    def __init__(self, unhashed: bool = False) -> None:
        self._unhashed = unhashed
        self._before = ""
        self._next: tuple[Mapping[str, object], str] | None = None

    def read(self, line: bytes) -> dict[str, Any]:
        """Return the record of the next line.

        Raises:
            ChangedLineError: Its hash does not match, or it has none where it should.
            ValueError: It is not a record at all.
        """
        record = strict_json(line)
        if not isinstance(record, dict):
            raise ValueError("a line is not a record")
        written_hash = record.pop(KEY, None)
        here = content_hash([self._before, record])
        if written_hash != here and not (written_hash is None and self._unhashed):
            raise ChangedLineError("a line was changed")
        self._before, self._unhashed = here, written_hash is None
        return record

    def written(self, record: Mapping[str, object]) -> str:
        """Return the record as the next line; `commit` makes it part of the chain once it is on disk.

        Raises:
            ValueError: A number in it is not finite.
        """
        here = content_hash([self._before, record])
        self._next = record, here
        return json.dumps({**record, KEY: here}, allow_nan=False)

    def commit(self, record: Mapping[str, object]) -> None:
        """Note that the record was written; the next line follows it."""
        known = self._next is not None and self._next[0] is record
        here = self._next[1] if known and self._next else content_hash([self._before, record])
        self._before, self._unhashed, self._next = here, False, None


def read_lines(path: Path, lines: Sequence[bytes], chain: Chain) -> list[dict[str, Any]]:
    """Return the records of a journal's lines.

    Raises:
        RunError: Naming the first line that is damaged or changed.
    """
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(chain.read(line))
        except ChangedLineError:
            raise RunError(
                f"{path} was changed in or before line {number} (its content hash does not match); restore it or "
                "choose another folder"
            ) from None
        except ValueError:
            raise RunError(f"{path} is damaged in line {number}; restore it or choose another folder") from None
    return records
