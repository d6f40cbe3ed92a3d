"""The table file: one JSON document with a version, a content hash and nothing that is executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from latency_tables._cache import CacheCurve
from latency_tables._content import MOST_JSON_BYTES, content_hash, strict_json
from latency_tables._entry import STATUSES, Entry
from latency_tables._errors import GraphError, TableFormatError
from latency_tables._files import read_regular
from latency_tables._measurement import INTERVAL_SPLIT, SPLITS, NetworkMeasurement
from latency_tables._op import Op

FORMAT = "hwnas-latency-table"
CHECKED = 3
"""From this version on, a correction must help networks that it was not fitted to, and intervals depend on the latency.
Earlier tables are priced as they were when they were made."""
VERSION = CHECKED
_LONGEST_MS, _SHORTEST_MS = 1e9, 1e-9
"""The longest and the shortest time that a file may state."""
_MOST_AT_ONCE = 2**20
"""Largest batch size and largest number of threads."""
_MOST = 2**53
"""The largest count: larger integers are not exact in JSON."""
_TIMES = ("q10_ms", "median_ms", "p90_ms", "low_ms", "high_ms")


def table_text(fields: Mapping[str, Any], validation: Mapping[str, object] | None) -> str:
    """Return the text of a table file, content hash included.

    Args:
        fields: The table's fields by the names that `parse_fields` returns.
        validation: The report on held-out networks, for people: it is computed anew from the networks when a file is
            read.
    """
    entries, cache = fields["entries"], fields["cache"]
    body: dict[str, object] = {
        "format": FORMAT,
        "version": fields["version"],
        "created": fields["created"],
        "identity": dict(fields["identity"]),
        "environment": dict(fields["environment"]),
        "settings": dict(fields["settings"]),
        "space": dict(fields["space"]),
        "notes": list(fields["notes"]),
        "cache": asdict(cache) if cache else None,
        "entries": [_entry_record(entries[op]) for op in sorted(entries, key=lambda op: op.key)],
        "networks": [asdict(network) for network in fields["networks"]],
        "validation": _validation_record(validation, fields["version"]),
    }
    return json.dumps({**body, "content_hash": content_hash(body)}, indent=1, allow_nan=False) + "\n"


def _validation_record(validation: Mapping[str, object] | None, version: int) -> dict[str, object] | None:
    """Return the report with the fields that files of a version hold."""
    if validation is None:
        return None
    later = () if version >= CHECKED else ("corrected", "ends")
    return {name: value for name, value in validation.items() if name not in later}


def read_fields(path: Path) -> dict[str, Any]:
    """Read the fields of a table from its file, as `parse_fields` returns them.

    Raises:
        TableFormatError: The file is absent, not a regular file, truncated, changed since it was written, or of an
            unknown version.
    """
    try:
        text = read_regular(path, MOST_JSON_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise TableFormatError(f"cannot read the latency table {path}: {why}") from None
    return parse_fields(text, str(path))


def parse_fields(text: str, name: str) -> dict[str, Any]:
    """Read the fields of a table from JSON text.

    Args:
        text: The text of a table file.
        name: The table's name in errors.

    Returns:
        ``identity``, ``environment``, ``settings``, ``space``, ``entries`` (by op), ``networks``, ``notes``,
        ``created``, ``cache`` and ``version``.

    Raises:
        TableFormatError: As `read_fields`.
    """
    try:
        body = strict_json(text)
    except (ValueError, RecursionError):
        raise TableFormatError(f"{name} is truncated or not JSON; measure it again with `hwnas profile`") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise TableFormatError(f"{name} is not a latency table of hwnas; `hwnas profile` writes one")
    reader = _READERS.get(body["version"]) if type(body.get("version")) is int else None
    if reader is None:
        known = ", ".join(map(str, _READERS))
        raise TableFormatError(f"{name} has format version {body.get('version')}; this hwnas reads versions {known}")
    expected = body.pop("content_hash", None)
    if expected != content_hash(body):
        raise TableFormatError(
            f"{name} was changed after it was measured (its content hash does not match); measure it again"
        )
    try:
        return reader(body)
    except KeyError as error:
        raise TableFormatError(f"{name} is not a well-formed latency table: it has no {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError, GraphError) as error:
        raise TableFormatError(f"{name} is not a well-formed latency table: {error}") from None


def _read_version_1(body: Mapping[str, Any]) -> dict[str, Any]:
    """Read a table of version 1, which has no networks for the interval alone."""
    if any(record["split"] == INTERVAL_SPLIT for record in _list(body, "networks")):
        raise ValueError(f"unknown split {INTERVAL_SPLIT!r}")
    return _read_version_2(body)


def _read_version_2(body: Mapping[str, Any]) -> dict[str, Any]:
    """Read a table of version 2, whose corrections need not help; its prices stay the same."""
    return {**_read_version_3(body), "version": 2}


def _read_version_3(body: Mapping[str, Any]) -> dict[str, Any]:
    entries = [_entry(record) for record in _list(body, "entries")]
    by_op = {entry.op: entry for entry in entries}
    if len(by_op) != len(entries):
        raise ValueError("an op has two rows")
    return {
        "identity": _identity(body["identity"]),
        "environment": _object(body["environment"], "environment"),
        "settings": _object(body["settings"], "settings"),
        "space": _space(body["space"]),
        "entries": by_op,
        "networks": tuple(_network(record) for record in _list(body, "networks")),
        "notes": tuple(_text(note, "note") for note in _list(body, "notes")),
        "created": _text(body["created"], "created"),
        "cache": _cache(body["cache"]),
        "version": VERSION,
    }


_READERS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    1: _read_version_1,
    2: _read_version_2,
    3: _read_version_3,
}


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object, got {_shown(value)}")
    return value


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(body[name], list):
        raise ValueError(f"{name} must be a list, got {_shown(body[name])}")
    return list(body[name])


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {_shown(value)}")
    return value


def _identity(value: object) -> dict[str, Any]:
    """Check the facts of a device that decide where a table is used."""
    facts = _object(value, "identity")
    for name in facts.keys() & {"device", "provider", "dtype", "protocol", "mode"}:
        _text(facts[name], name)
    for name in facts.keys() & {"batch", "threads"}:
        if not 1 <= _count(facts[name]) <= _MOST_AT_ONCE:
            raise ValueError(f"{name} must be 1-{_MOST_AT_ONCE}, got {_shown(facts[name])}")
    return facts


def _space(value: object) -> dict[str, Any]:
    space = _object(value, "space")
    _text(space["name"], "the name of the space")
    _object(space["settings"], "the settings of the space")
    return space


def _shown(value: object) -> str:
    """Return a value for people, cut short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _entry_record(entry: Entry) -> dict[str, object]:
    record: dict[str, object] = {"op": entry.op.key}
    for item in fields(entry):
        if item.name != "op":
            record[item.name] = getattr(entry, item.name)
    return record


def _entry(record: Mapping[str, Any]) -> Entry:
    times = {name: _time(record[name]) for name in _TIMES}
    if record["status"] not in STATUSES:
        raise ValueError(f"unknown status {record['status']!r}")
    return Entry(
        op=Op.parse(record["op"]),
        status=record["status"],
        samples=_count(record["samples"]),
        stop=_text(record["stop"], "stop"),
        reason=_text(record["reason"], "reason"),
        weight_bytes=_count(record["weight_bytes"]),
        kernels=_count(record["kernels"]),
        activation_bytes=_count(record["activation_bytes"]),
        on_one_core=_flag(record.get("on_one_core")),
        **times,
    )


def _flag(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"on_one_core must be true, false or null, got {_shown(value)}")


def _cache(record: Mapping[str, Any] | None) -> CacheCurve | None:
    if record is None:
        return None
    knots = [_bytes(value) for value in _list(record, "working_bytes")]
    extra = [_time(value) for value in _list(record, "extra_ms")]
    return CacheCurve(_count(record["kernel_bytes"]), tuple(knots), tuple(extra))


def _bytes(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= _MOST:  # type: ignore[operator]
        raise ValueError(f"{_shown(value)} is not a number of bytes")
    return float(value)  # type: ignore[arg-type]


def _network(record: Mapping[str, Any]) -> NetworkMeasurement:
    times = {name: _time(record[name], positive=True) for name in ("unfitted_ms", "measured_ms", "repeat_ms")}
    if record["split"] not in SPLITS:
        raise ValueError(f"unknown split {record['split']!r}")
    return NetworkMeasurement(arch=_text(record["arch"], "arch"), split=record["split"], **times)


def _time(value: object, positive: bool = False) -> float:
    least = _SHORTEST_MS if positive else 0.0
    if type(value) not in (int, float) or not least <= value <= _LONGEST_MS:  # type: ignore[operator]
        raise ValueError(f"{_shown(value)} is not a time in milliseconds")
    return float(value)  # type: ignore[arg-type]


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"{_shown(value)} is not a count")
    return value
