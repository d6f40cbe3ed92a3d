"""What hwnas keeps and exchanges as JSON: read strictly and within limits, and with a hash of it. Runs on devices."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from latency_tables._files import read_regular

MOST_DEPTH = 64
"""Lists and objects within each other; ours have seven."""
MOST_DIGITS = 308
"""A number of more digits is beyond a double."""
MOST_JSON_BYTES = 2**28


def content_hash(content: object) -> str:
    """A hash of JSON-able content, whatever its layout and the order of its keys.

    It finds what accident and carelessness change: a bad disk, an editor, a merge. It is no signature; whoever means
    to deceive can work it out anew.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def read_json(path: Path, most: int = MOST_JSON_BYTES) -> Any:
    """Content of a file of JSON.

    Raises:
        OSError: it cannot be read, is no regular file or larger than `most` bytes.
        ValueError: as `strict_json`.
    """
    return strict_json(read_regular(path, most))


def strict_json(text: str | bytes) -> Any:
    """Content of JSON text (bytes in UTF-8) without what one of our own files cannot hold.

    Not taken are constants that are no numbers, numbers beyond a double, keys that stand twice, and lists and objects
    more than `MOST_DEPTH` deep: all that follows may go through the result without looking out for these.

    Raises:
        ValueError: it is no such text.
    """
    if isinstance(text, (bytes, bytearray)):
        text = text.decode("utf-8")
    try:
        found = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > MOST_DEPTH:
        _require_shallow(found)
    return found


def _require_shallow(tree: object) -> None:
    level = [tree]
    for _ in range(MOST_DEPTH + 1):
        if not level:
            return
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, (dict, list))
        ]
    raise ValueError("it is nested too deeply")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{text[:40]} is beyond a double")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
)
"""One for all: making one for each line of a journal would take longer than reading it."""
