"""What hwnas keeps as JSON: read strictly, and with a hash of its content."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def content_hash(content: object) -> str:
    """A hash of JSON-able content, whatever its layout and the order of its keys.

    It finds what accident and carelessness change: a bad disk, an editor, a merge. It is no signature; whoever means
    to deceive can work it out anew.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def strict_json(text: str | bytes) -> Any:
    """Content of JSON text without constants that are no numbers, and without keys that stand twice.

    Raises:
        ValueError: it is no such text.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
