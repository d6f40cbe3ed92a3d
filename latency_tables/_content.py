"""Strict reading of JSON within limits, and a hash of JSON content. Runs on devices."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from latency_tables._files import read_regular

MOST_DEPTH = 64
"""Largest depth of nested lists and objects; our files have seven."""
MOST_DIGITS = 308
"""Most digits of an integer; one with more is beyond a double."""
MOST_JSON_BYTES = 2**28


def content_hash(content: object) -> str:
    """Return a hash of JSON-able content that does not depend on its layout and the order of its keys.

    It detects accidental changes: a bad disk, an editor, a merge. It is not a signature: anybody can compute it again.
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def read_json(path: Path, most: int = MOST_JSON_BYTES) -> Any:
    """Read a JSON file.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is larger than `most` bytes.
        ValueError: As `strict_json`.
    """
    return strict_json(read_regular(path, most))


def strict_json(text: str | bytes) -> Any:
    """Parse JSON text (bytes in UTF-8), refusing what our own files never hold.

    It refuses NaN and infinities, numbers beyond a double, duplicate keys, and lists and objects nested deeper than
    `MOST_DEPTH`, so that callers need not check for them.

    Raises:
        ValueError: The text is not JSON, or holds one of these.
    """
    if isinstance(text, (bytes, bytearray)):
        text = text.decode("utf-8")
    try:
        content = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > MOST_DEPTH:
        _require_shallow(content)
    return content


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
        raise ValueError(f"integers must have at most {MOST_DIGITS} digits, got {len(text)}")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} exceeds the range of a double")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key occurs twice")
    return unique


_DECODER = json.JSONDecoder(
    parse_int=_integer, parse_float=_number, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
)
"""Shared by all calls: making a decoder for each line of a journal would take longer than reading the line."""
